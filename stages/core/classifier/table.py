"""The rows that `embed_images` wrote, and the groups that a user made of them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from stages.core.base.errors import InputError
from stages.core.data.digits import FEATURE_MAPS
from stages.core.exact.integers import means_of_maps

COLUMNS = ("path", "label", "digest", "features")
GROUPS = ("path", "group")


class Table(NamedTuple):
    """N images in the order of their paths: their labels (None: in no folder), the digests of their
    pixels, and the means of their 256 feature maps (float32, N × 256)."""

    paths: list[str]
    labels: list[str | None]
    digests: list[str]
    features: torch.Tensor


def read_table(folder: Path) -> Table:
    """The rows of all Parquet files in a folder. One file at a time is read into memory, of which
    the means of the maps are kept. Raises InputError if a file holds something else."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(f"{folder} has no Parquet files; `dvc repro embed_images` writes them")
    table = Table([], [], [], torch.empty(0))
    means = []
    for path in files:
        try:
            part = pq.ParquetFile(path).read([*COLUMNS])
            if missing := set(COLUMNS) - set(part.column_names):
                raise ValueError(f"it lacks the column {min(missing)}")
            numbers = pc.list_flatten(part["features"]).to_numpy()
            maps = numbers.astype(np.float32, copy=False).reshape(len(part), FEATURE_MAPS, -1, 1)
        except (pa.ArrowException, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} is no table of embedded images: {reason}") from None
        if not np.isfinite(maps).all():
            raise InputError(f"{path} has features that are not finite")
        table.paths.extend(part["path"].to_pylist())
        table.labels.extend(part["label"].to_pylist())
        table.digests.extend(part["digest"].to_pylist())
        means.append(means_of_maps(torch.tensor(maps)))
    return table._replace(features=torch.cat(means))


def read_groups(path: Path, images: Sequence[str], folder: Path) -> list[str | None]:
    """The group of each image, None if it has none, from a CSV file with the columns path, group.

    Raises InputError if the file holds something else, or names a file that is not in the folder of
    images: a typing error would let images that belong together stand on both sides.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [*csv.reader(file)] or [[]]
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} is not a table of groups: {error}") from None
    if tuple(header) != GROUPS:
        raise InputError(f"{path}: the first line should be {','.join(GROUPS)}")
    groups: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != 2 or not all(row):
            raise InputError(f"{path}, row {number}: it should be a path and a group")
        name, group = row
        if groups.setdefault(name, group) != group:
            raise InputError(f"{path}, row {number}: {name} is in another group, too")
    known = set(images)
    for name in groups:
        if name not in known and not (folder / name).is_file():
            raise InputError(f"{path}: there is no image {name} in {folder}")
    return [groups.get(name) for name in images]
