"""Train one of the classifiers on the digits; write its weights, learning curves and metrics, and
its first layer's weights as they were while it learned."""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Annotated

from stages.core.command import run

import numpy as np
from pydantic import ConfigDict, Field, RootModel
from tqdm import tqdm

from stages import paths
from stages.core.classifiers import build, learn, num_iterations, read_splits, read_train_params
from stages.core.curves import Point
from stages.core.files import new_file, write_csv
from stages.core.models import num_parameters
from stages.core.params import read_params
from stages.core.tensors import save_tensors
from stages.core.training import accuracy


class Snapshots(RootModel[Annotated[int, Field(ge=1, le=100)]]):
    model_config = ConfigDict(strict=True)


def evenly_spaced(count: int, last: int) -> list[int]:
    """So many of the iterations from 1 to the last, both included; one alone is the last. All of
    them when there are no more."""
    steps = max(count - 1, 1)
    return sorted({last - (last - 1) * step // steps for step in range(count)})


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


def main(model: str) -> None:
    params = read_train_params(paths.PARAMS, model)
    data = read_splits(paths.digits(model), model)
    num_images, *shape = data["train"].inputs.shape
    where = f"{paths.PARAMS}: train.{model}"
    last = num_iterations(params, num_images, where)
    chosen = evenly_spaced(read_params(paths.PARAMS, "train.snapshots", Snapshots).root, last)
    classifier = build(model, params, num_inputs=math.prod(shape))
    snapshots = []

    def keep(iteration: int) -> None:
        if iteration in chosen:
            first_weight = next(classifier.parameters())
            snapshots.append(first_weight.detach().numpy().copy())

    points = learn(
        classifier,
        params,
        data["train"],
        data["val"],
        where=where,
        num_iterations=last,
        eval_every=params.eval_every,
        after_update=keep,
    )
    curve = list(watched(points, model, last))

    state_dict = classifier.state_dict()
    save_tensors({name: value.numpy() for name, value in state_dict.items()}, paths.weights(model))
    save_tensors(
        {"iteration": np.array(chosen), "weight": np.stack(snapshots)}, paths.snapshots(model)
    )
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
