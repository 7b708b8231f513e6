"""What a trained model answers to the test images, and where it is wrong."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stages.core.base.errors import InputError


class Prediction(NamedTuple):
    """The label of an image and the model's answer, by their numbers; and the probability (0 to 1)
    of that answer. In a file, they are names."""

    actual: int
    predicted: int
    probability: float


def read_predictions(path: Path, count: int, labels: Sequence[str]) -> list[Prediction]:
    """A prediction for each of so many test images, in their order. Raises InputError if the file
    holds something else."""
    numbers = {name: number for number, name in enumerate(labels)}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        predictions = [Prediction(numbers[a], numbers[p], float(share)) for a, p, share in rows]
    except KeyError as error:
        raise InputError(
            f"{path} has the label {error}, which is none of the {len(labels)}"
        ) from None
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is not a table of predictions: {error}") from None
    right = all(0 <= found.probability <= 1 for found in predictions)
    if tuple(header) != Prediction._fields or not right:
        columns = ", ".join(Prediction._fields)
        raise InputError(f"{path} should have labels and probabilities in the columns {columns}")
    if len(predictions) != count:
        raise InputError(
            f"{path} has {len(predictions):,} predictions; "
            f"it should have {count:,}, one for each test image"
        )
    return predictions


def confusion_matrix(actual: ArrayLike, predicted: ArrayLike, num_labels: int) -> np.ndarray:
    """How many images of each label (rows) got which answer (columns)."""
    counts = np.zeros((num_labels, num_labels), np.int64)
    np.add.at(counts, (np.asarray(actual), np.asarray(predicted)), 1)
    return counts


def worst_mistakes(predictions: Sequence[Prediction]) -> list[int]:
    """The indices of the images with a wrong answer, from the highest probability of it down; of
    equal ones, the first comes first."""
    wrong = [i for i, found in enumerate(predictions) if found.predicted != found.actual]
    return sorted(wrong, key=lambda i: -predictions[i].probability)
