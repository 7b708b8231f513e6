"""Train one of the models on the digits; write its weights, learning curves, metrics and answers to
the test images, and snapshots of its first layer's weights while it learned."""

import json
import math
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

import numpy as np
from pydantic import Field

from stages.core.base.files import new_file, write_csv
from stages.core.base.labels import read_labels
from stages.core.base.params import PARAMS, Count, Name, Params, read_params
from stages.core.base.progress import progress
from stages.core.base.tensors import save_tensors
from stages.core.data.digits import read_splits
from stages.core.exact.functions import cross_entropy
from stages.core.learning.curves import CurvePoint
from stages.core.learning.layers import Layers, check_logits
from stages.core.learning.models import build, num_parameters, weights
from stages.core.learning.predictions import Prediction
from stages.core.learning.settings import TrainParams
from stages.core.learning.trained import TrainedModel, save_model
from stages.core.learning.training import (
    diverges,
    logits,
    predictions,
    train,
)


class ModelParams(TrainParams):
    title: str
    input: str
    layers: Layers
    eval_every: Count


class SnapshotParams(Params):
    snapshots: Annotated[int, Field(ge=1, le=100)]


def evenly_spaced(count: int, last: int) -> list[int]:
    """`count` iterations from 1 to `last`, both included. A count of 1 gives `last`; if there are
    fewer iterations than `count`, all of them."""
    steps = max(count - 1, 1)
    return sorted({last - (last - 1) * step // steps for step in range(count)})


def main(
    name: str,
    digits: Path,
    trained: Path,
    snapshots: Path,
    curve: Path,
    answers: Path,
    metrics: Path,
) -> None:
    read_params("models", dict[Name, object])  # or a wrong name would be found after the training
    key = f"models.{name}"
    params = read_params(key, ModelParams)
    num_snapshots = read_params("train", SnapshotParams).snapshots
    data, labels = read_splits(digits), read_labels(digits)
    num_images, *input_shape = data["train"].inputs.shape

    check_logits(params.layers, len(labels), f"{PARAMS}: {key}.layers")
    model = build(params.layers, tuple(input_shape), params.seed, f"{PARAMS}: {key}.layers")
    last = params.num_iterations(num_images, f"{PARAMS}: {key}")
    kept_iterations = evenly_spaced(num_snapshots, last)
    kept_weights = []

    with progress(last, f"iterations of {name}") as done:

        def after_update(iteration: int) -> None:
            done.update(1)
            if iteration in kept_iterations:
                first_weight = next(model.parameters())
                kept_weights.append(first_weight.detach().numpy().copy())

        points = train(
            model,
            params,
            data["train"],
            data["val"],
            num_iterations=last,
            eval_every=params.eval_every,
            where=f"{PARAMS}: {key}",
            after_update=after_update,
        )
        points_of_curve = list(points)

    test = data["test"]
    test_logits = logits(model, test.inputs)
    test_loss = cross_entropy(test_logits, test.labels).item()
    if not math.isfinite(test_loss):
        raise diverges(f"{PARAMS}: {key}", f"the loss of the test images is {test_loss}")
    tested = predictions(test_logits, test.labels)

    found = TrainedModel(tuple(input_shape), params.layers, weights(model), labels)
    save_model(found, trained)
    print(f"{trained}: the digest of the weights is {found.digest}")
    save_tensors(
        {"iteration": np.array(kept_iterations), "weight": np.stack(kept_weights)}, snapshots
    )
    write_csv(curve, CurvePoint._fields, points_of_curve)
    write_csv(
        answers,
        Prediction._fields,
        ((labels[actual], labels[answer], probability) for actual, answer, probability in tested),
    )
    results = {
        "loss": points_of_curve[-1].loss,
        "train_accuracy": points_of_curve[-1].train_accuracy,
        "val_accuracy": points_of_curve[-1].val_accuracy,
        "test_loss": test_loss,
        "test_accuracy": sum(each.predicted == each.actual for each in tested) / len(tested),
        "num_parameters": num_parameters(model),
    }
    with new_file(metrics) as file:
        file.write((json.dumps(results, indent=2) + "\n").encode())


if __name__ == "__main__":
    run(main)
