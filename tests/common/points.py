"""Tables of where images lie, as `principal_axes` writes them, made up."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.core.base.files import write_csv

SPACES = ("pixels", "features")
COLUMNS = ("x", "y", "neighbour", "right")


def write_points(
    path: Path,
    heading: str,
    called: Sequence[object],
    labels: Sequence[str],
    columns: Mapping[str, Sequence[object]] | None = None,
) -> None:
    """Points at random, each the neighbour of the one before it; `columns` are other ones."""
    rng = np.random.default_rng(0)
    header, table = [heading, "label"], [called, labels]
    for name, column in (columns or {}).items():
        header.append(name)
        table.append(column)
    for space in SPACES:
        header += [f"{space}_{column}" for column in COLUMNS]
        table += rng.normal(size=(2, len(called))).round(3).tolist()
        table.append([*called[1:], called[0]])
        near = [*labels[1:], labels[0]]
        table.append([int(a == b) for a, b in zip(labels, near, strict=True)])
    write_csv(path, header, [*zip(*table, strict=True)])
