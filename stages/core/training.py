"""Training a classifier, and measuring it."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from stages.core.numerics import torch

from torch import nn
from torch.nn import functional as F

EVAL_BATCH = 128  # images whose activations stay in a processor's cache


class Split(NamedTuple):
    """Images (float32, N × channels × height × width) with their labels (int64, N)."""

    images: torch.Tensor
    labels: torch.Tensor


class Point(NamedTuple):
    """A point of the learning curves: the loss of a batch before the update that it leads to, and
    the accuracies after that update, the `iteration`-th."""

    iteration: int
    loss: float
    train_accuracy: float
    val_accuracy: float


class Diverged(Exception):
    """The loss or the weights are no longer numbers."""


def make_optimizer(
    name: str, model: nn.Module, learning_rate: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Adam or SGD, in the fused form: the others take Adam's square roots through a library of
    vector functions that differs between processors. Momentum is SGD's alone."""
    parameters = model.parameters()
    if name == "adam":
        return torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay, fused=True)
    return torch.optim.SGD(
        parameters, learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True
    )


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> float:
    """Update the model on one batch; its mean cross-entropy (nats) before the update."""
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


@torch.inference_mode()
def accuracy(model: nn.Module, split: Split) -> float:
    """The share of images whose largest logit is that of their label."""
    correct = sum(
        (model(images).argmax(1) == labels).sum().item()
        for images, labels in zip(
            split.images.split(EVAL_BATCH), split.labels.split(EVAL_BATCH), strict=True
        )
    )
    return correct / len(split.labels)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train_split: Split,
    val_split: Split,
    *,
    batch_size: int,
    epochs: int,
    eval_every: int,
    generator: torch.Generator,
) -> Iterator[Point]:
    """Train the model, and yield a point after every `eval_every` updates and after the last.

    The images are shuffled by the generator in every epoch; an incomplete last batch is dropped.
    Raises Diverged when the loss or, in the end, a weight is infinite or not a number.
    """
    num_images = len(train_split.labels)
    last = epochs * (num_images // batch_size)
    iteration = 0
    for _ in range(epochs):
        order = torch.randperm(num_images, generator=generator)
        for batch in order[: num_images - num_images % batch_size].split(batch_size):
            loss = train_step(
                model, optimizer, train_split.images[batch], train_split.labels[batch]
            )
            iteration += 1
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at iteration {iteration}")
            if iteration % eval_every == 0 or iteration == last:
                yield Point(
                    iteration, loss, accuracy(model, train_split), accuracy(model, val_split)
                )
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise Diverged("the weights are not finite in the end")
