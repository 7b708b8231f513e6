"""Train one of the classifiers on the digits; write its weights, learning curves and metrics."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from stages.core.command import InputError, run
from stages.core.numerics import onednn, torch

import numpy as np
from pydantic import Field
from tqdm import tqdm

from stages import paths
from stages.core.files import new_file, write_csv
from stages.core.models import CNN, MLP, LogisticRegression, num_parameters
from stages.core.params import Count, Params, Seed, read_params
from stages.core.tensors import load_tensors, save_tensors
from stages.core.training import (
    Diverged,
    Point,
    Split,
    Update,
    accuracy,
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


def build(name: str, params: TrainParams) -> torch.nn.Module:
    """The model of that name, its initial weights drawn from the seed."""
    torch.manual_seed(params.seed)
    match name:
        case "logistic":
            return LogisticRegression()
        case "mlp":
            return MLP(params.num_hidden)
        case "cnn":
            return CNN()
    raise KeyError(name)


def make_update(model: torch.nn.Module, params: TrainParams) -> Update:
    parameters = list(model.parameters())
    if params.optimizer == "adam":
        return adam_update(parameters, params.learning_rate, params.weight_decay)
    return sgd_update(parameters, params.learning_rate, params.momentum, params.weight_decay)


def splits(digits: dict[str, np.ndarray]) -> dict[str, Split]:
    """The digits by the name of their split, pixels scaled to [0, 1]."""
    return {
        name: Split(
            torch.from_numpy(digits[f"{name}_images"]).unsqueeze(1) / 255,
            torch.from_numpy(digits[f"{name}_labels"]),
        )
        for name in ("train", "val", "test")
    }


def watched(points: Iterable[Point], name: str, last: int) -> Iterator[Point]:
    """The points, shown as they come: by a progress bar on a terminal, else by ten lines."""
    tenths = 0
    with tqdm(total=last, desc=name, unit=" iterations", disable=None) as bar:
        for point in points:
            status = (
                f"loss {point.loss:.3f}, "
                f"accuracy {point.train_accuracy:.3f} train, {point.val_accuracy:.3f} val"
            )
            bar.set_postfix_str(status)
            bar.update(point.iteration - bar.n)
            if bar.disable and point.iteration * 10 // last > tenths:
                tenths = point.iteration * 10 // last
                print(f"{name}: iteration {point.iteration} of {last}: {status}", flush=True)
            yield point


@onednn()  # the CNN's convolutions are of the kind that may use it
def main(model: str) -> None:
    section = f"train.{model}"
    params = read_params(paths.PARAMS, section, MLPParams if model == "mlp" else TrainParams)
    data = splits(load_tensors(paths.DIGITS))
    num_images = len(data["train"].labels)
    if params.batch_size > num_images:
        raise InputError(
            f"{paths.PARAMS}: {section}.batch_size is {params.batch_size:,}; "
            f"it should be at most {num_images:,}, the training images"
        )

    classifier = build(model, params)
    num_iterations = params.epochs * (num_images // params.batch_size)
    points = train(
        classifier,
        make_update(classifier, params),
        data["train"],
        data["val"],
        batch_size=params.batch_size,
        num_iterations=num_iterations,
        eval_every=params.eval_every,
        generator=torch.Generator().manual_seed(params.seed),
    )
    try:
        curve = list(watched(points, model, num_iterations))
    except Diverged as error:
        raise InputError(
            f"{paths.PARAMS}: {section} diverges, {error}; "
            "a smaller learning_rate, momentum or weight_decay is right"
        ) from None

    state_dict = classifier.state_dict()
    save_tensors({name: value.numpy() for name, value in state_dict.items()}, paths.weights(model))
    write_csv(paths.curves(model), Point._fields, curve)
    metrics = {
        "loss": curve[-1].loss,
        "train_accuracy": curve[-1].train_accuracy,
        "val_accuracy": curve[-1].val_accuracy,
        "test_accuracy": accuracy(classifier, data["test"]),
        "num_parameters": num_parameters(classifier),
    }
    with new_file(paths.metrics(model)) as file:
        file.write((json.dumps(metrics, indent=2) + "\n").encode())


if __name__ == "__main__":
    run(main, models=paths.MODELS)
