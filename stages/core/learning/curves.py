"""Learning curves, and the tables that keep them."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

from stages.core.base.errors import InputError


class CurvePoint(NamedTuple):
    """The loss of a batch before the update that it leads to, and the accuracies after that update,
    the `iteration`-th."""

    iteration: int
    loss: float
    train_accuracy: float
    val_accuracy: float


def read_curve(path: Path) -> list[CurvePoint]:
    """The points of a table, at least one. Raises InputError when it holds something else."""
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
