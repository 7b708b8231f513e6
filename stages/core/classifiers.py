"""The classifiers by their names: their parameters, what they see, and how they learn."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from stages.core.numerics import torch

from pydantic import Field
from torch import nn

from stages.core.curves import Point
from stages.core.digits import FEATURES, IMAGES, SPLITS
from stages.core.errors import InputError
from stages.core.models import CNN, MLP, LogisticRegression
from stages.core.params import Count, Params, Seed, read_params
from stages.core.tensors import load_tensors
from stages.core.training import (
    Diverged,
    Split,
    Update,
    adam_update,
    sgd_update,
    train,
)


class TrainParams(Params):
    optimizer: Literal["adam", "sgd"]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    batch_size: Count
    epochs: Count
    eval_every: Count
    seed: Seed


class MLPParams(TrainParams):
    num_hidden: Annotated[int, Field(ge=1, le=1024)]


def read_train_params(path: Path, name: str) -> TrainParams:
    """The section `train.NAME` of a params file."""
    return read_params(path, f"train.{name}", MLPParams if name == "mlp" else TrainParams)


def read_splits(path: Path, name: str) -> dict[str, Split]:
    """The splits by their names, as the classifier `name` sees them: pixels scaled to [0, 1], or
    features. Raises InputError when the file has something else."""
    tensors = load_tensors(path, FEATURES if name == "probe" else IMAGES)
    splits = {}
    for split in SPLITS:
        labels = torch.from_numpy(tensors[f"{split}_labels"])
        if labels.min() < 0 or labels.max() > 9:
            raise InputError(
                f"{path}: {split}_labels are from {labels.min()} to {labels.max()}; "
                "they should be digits"
            )
        if name == "probe":
            inputs = torch.from_numpy(tensors[f"{split}_features"])
        else:
            inputs = torch.from_numpy(tensors[f"{split}_images"]).unsqueeze(1) / 255
        splits[split] = Split(inputs, labels)
    return splits


def build(name: str, params: TrainParams, num_inputs: int) -> nn.Module:
    """The classifier of that name, its initial weights drawn from the seed."""
    torch.manual_seed(params.seed)
    match name:
        case "logistic" | "probe":
            return LogisticRegression(num_inputs)
        case "mlp" if isinstance(params, MLPParams):
            return MLP(params.num_hidden)
        case "cnn":
            return CNN()
    raise KeyError(name)


def make_update(model: nn.Module, params: TrainParams) -> Update:
    parameters = list(model.parameters())
    if params.optimizer == "adam":
        return adam_update(parameters, params.learning_rate, params.weight_decay)
    return sgd_update(parameters, params.learning_rate, params.momentum, params.weight_decay)


def num_iterations(params: TrainParams, num_images: int, where: str) -> int:
    """Iterations in all epochs. Raises InputError when the images do not fill a batch; it says
    `where` the parameters stand."""
    if params.batch_size > num_images:
        raise InputError(
            f"{where}.batch_size is {params.batch_size:,}; "
            f"it should be at most {num_images:,}, the training images"
        )
    return params.epochs * (num_images // params.batch_size)


def learn(
    model: nn.Module,
    params: TrainParams,
    train_split: Split,
    val_split: Split,
    *,
    where: str,
    num_iterations: int,
    eval_every: int,
    after_update: Callable[[int], None] = lambda iteration: None,
) -> Iterator[Point]:
    """Train the model as its parameters say, in smaller batches where there are fewer images.

    Raises InputError when it diverges; it says `where` the parameters stand.
    """
    try:
        yield from train(
            model,
            make_update(model, params),
            train_split,
            val_split,
            batch_size=min(params.batch_size, len(train_split.labels)),
            num_iterations=num_iterations,
            eval_every=eval_every,
            generator=torch.Generator().manual_seed(params.seed),
            after_update=after_update,
        )
    except Diverged as error:
        raise InputError(
            f"{where} diverges, {error}; a smaller learning_rate, momentum or weight_decay is right"
        ) from None
