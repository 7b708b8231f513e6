"""Learning curves, and reading them from CSV files."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

from stages.core.base.errors import InputError


class CurvePoint(NamedTuple):
    """One iteration: its batch's mean cross-entropy (nats) before the update, and the accuracies
    (0 to 1) after it."""

    iteration: int
    loss: float
    train_accuracy: float
    val_accuracy: float


def read_curve(path: Path) -> list[CurvePoint]:
    """The points of a curve, at least one. Raises InputError if the file holds something else."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        points = [CurvePoint(int(iteration), *map(float, rest)) for iteration, *rest in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is not a table of learning curves: {error}") from None
    finite = all(math.isfinite(value) for point in points for value in point)
    if tuple(header) != CurvePoint._fields or not points or not finite:
        columns = ", ".join(CurvePoint._fields)
        raise InputError(f"{path} should have finite numbers in the columns {columns}")
    return points
