"""The small model on top of AlexNet's features: a multinomial logistic regression."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field

from stages.core.base.errors import InputError
from stages.core.base.tensors import load_tensors, open_tensors, save_tensors
from stages.core.classifier.table import Part
from stages.core.data.digits import FEATURE_MAPS
from stages.core.exact.functions import cross_entropy, softmax
from stages.core.exact.integers import exact_mean, exact_sum, means_of_maps
from stages.core.exact.layers import Linear
from stages.core.exact.optimizers import Adam
from stages.core.exact.random import Purpose, Words
from stages.core.learning.training import logits, shuffled_batches

BATCH = 1024  # images; of fewer, all
ITERATIONS, EPOCHS = 250, 4  # at least so many updates, and so many passes over the images
LEARNING_RATE = 0.03  # at first; falls to 0 in a straight line
BLOCK = 4096  # images whose features are added up exactly at a time

SHAPES = {
    "mean": ("float32", (FEATURE_MAPS,)),
    "std": ("float32", (FEATURE_MAPS,)),
    "weight": ("float32", ("labels", FEATURE_MAPS)),
    "bias": ("float32", ("labels",)),
}


class Classifier(NamedTuple):
    """Features are standardised by `mean` and `std` (float32, K), those of the training images;
    `weight` (labels × K) and `bias` give the logits."""

    mean: torch.Tensor
    std: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def standardised(self, features: torch.Tensor) -> torch.Tensor:
        """Features N × K (float32) by the mean and standard deviation of the training images."""
        return (features - self.mean) / self.std

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """The logits (float32, N × labels) of features N × K. A row's depend on no other's."""
        model = linear(*reversed(self.weight.shape))
        model.load_state_dict({"weight": self.weight, "bias": self.bias})
        return logits(model, self.standardised(features))

    def probabilities(self, features: torch.Tensor) -> np.ndarray:
        """Of each label (float64, N × labels)."""
        return softmax(self.logits(features).numpy())[0]

    def judged(self, images: Part) -> Iterator[tuple[Part, np.ndarray]]:
        """A block of the images at a time, and their probabilities."""
        for block in images.blocks(BATCH):
            yield block, self.probabilities(block.features)

    def answers(self, images: Part) -> tuple[np.ndarray, np.ndarray]:
        """`likeliest` for all of the images."""
        found = [likeliest(probabilities) for _, probabilities in self.judged(images)]
        labels, shares = zip(*found, strict=True)
        return np.concatenate(labels), np.concatenate(shares)

    def loss(self, images: Part) -> float:
        """The mean cross-entropy (nats) of some images."""
        losses = []
        for block in images.blocks(BATCH):
            logits = self.logits(block.features).numpy()
            _, log_sums = softmax(logits)
            losses.append(log_sums - logits[np.arange(len(block)), block.labels])
        return float(np.float32(exact_mean(torch.from_numpy(np.concatenate(losses)))))

    def nearest(self, images: Part, image: torch.Tensor, count: int) -> np.ndarray:
        """The rows of those of some images that are nearest to an image's features (float32, K), by
        the Euclidean distance of standardised features."""
        place = self.standardised(image).double()
        squares = np.empty(len(images), np.float32)  # small arrays would keep memory in pieces
        for start, block in zip(range(0, len(images), BATCH), images.blocks(BATCH), strict=True):
            difference = self.standardised(block.features).double() - place
            means = means_of_maps((difference * difference)[:, None, None, :])
            squares[start : start + len(block)] = means[:, 0]
        order = np.argsort(squares, kind="stable")
        return images.rows.numpy()[order[:count]]


class About(BaseModel, strict=True, frozen=True):
    """What a file has to say besides: the labels, in the order of the logits; the side to which
    images are scaled, pixels; and the SHA-256 of AlexNet's file."""

    labels: list[str] = Field(min_length=2)
    size: int = Field(ge=1)
    alexnet: str


def linear(num_features: int, num_labels: int) -> Linear:
    """A layer of zeros: the loss is convex, so any start will do."""
    model = Linear(num_features, num_labels)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    return model


def moments(images: Part) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and standard deviation (float32, K) of the features of some images; 1 for one that
    is constant. Blocks are added up exactly, and their sums in order."""
    total = torch.zeros(images.table.shape[1], dtype=torch.float64)
    for block in images.blocks(BLOCK):
        total = total + exact_sum(block.features, [0])
    mean = total / len(images)
    squares = torch.zeros_like(mean)
    for block in images.blocks(BLOCK):
        deviations = block.features.double() - mean
        squares = squares + exact_sum(deviations * deviations, [0])
    std = torch.from_numpy(np.sqrt((squares / len(images)).numpy())).float()
    return mean.float(), torch.where(std == 0, 1, std)


def fit(images: Part, num_labels: int, weight_decay: float, seed: int) -> Classifier:
    """Minimise the mean cross-entropy of the images' labels, plus weight_decay / 2 times the sum of
    the squared weights, but not of the biases, by Adam."""
    mean, std = moments(images)
    model = linear(len(mean), num_labels)
    optimizers = [
        Adam([model.weight], learning_rate=LEARNING_RATE, weight_decay=weight_decay),
        Adam([model.bias], learning_rate=LEARNING_RATE, weight_decay=0.0),
    ]
    batch_size = min(BATCH, len(images))
    batches = shuffled_batches(len(images), batch_size, Words(seed, Purpose.ORDER))
    num_iterations = max(ITERATIONS, EPOCHS * (len(images) // batch_size))
    for iteration, indices in enumerate(islice(batches, num_iterations)):
        batch = images[indices]
        loss = cross_entropy(model((batch.features - mean) / std), batch.labels)
        gradients = torch.autograd.grad(loss, [model.weight, model.bias])
        for optimizer, gradient in zip(optimizers, gradients, strict=True):
            optimizer.learning_rate = LEARNING_RATE * (num_iterations - iteration) / num_iterations
            optimizer.update([gradient])
    return Classifier(mean, std, model.weight.detach(), model.bias.detach())


def save_classifier(model: Classifier, about: About, path: Path) -> None:
    tensors = {name: tensor.numpy() for name, tensor in model._asdict().items()}
    save_tensors(tensors, path, {"model": about.model_dump_json()})


def load_classifier(path: Path) -> tuple[Classifier, About]:
    """Read a classifier. Raises InputError if the file is none."""
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
    try:
        about = About.model_validate(json.loads(metadata["model"]))
    except (KeyError, ValueError, RecursionError):
        raise InputError(
            f"{path} is no classifier: it has no labels in its metadata; "
            "`dvc repro classify_images` writes one"
        ) from None
    model = Classifier(**{n: torch.from_numpy(t) for n, t in load_tensors(path, SHAPES).items()})
    if len(model.bias) != len(about.labels):
        raise InputError(
            f"{path} has {len(about.labels)} labels, but weights for {len(model.bias)}"
        )
    return model, about


def likeliest(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each image's likeliest label, of equal ones the first (int64, N), and its
    probability, to a millionth (float64, N)."""
    found = probabilities.argmax(1)
    shares = probabilities[np.arange(len(found)), found]
    return found, np.array([round(share, 6) for share in shares.tolist()])
