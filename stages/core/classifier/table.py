"""The rows that `embed_images` wrote, and the groups that a user made of them."""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from stages.core.base.errors import InputError
from stages.core.base.files import unnamed_file
from stages.core.data.digits import FEATURE_MAPS
from stages.core.data.squares import THUMBNAIL
from stages.core.exact.integers import means_of_maps

COLUMNS = ("path", "label", "digest", "thumbnail", "features")
ON_DISK = np.dtype(
    [
        ("digest", "S64"),
        ("thumbnail", np.uint8, THUMBNAIL**2),
        ("features", np.float32, FEATURE_MAPS),
    ]
)
GROUPS = ("path", "group")


class Table(NamedTuple):
    """N images in the order of their paths, and their labels (None: in no folder). On disk, mapped
    into memory: the digests of their pixels (bytes, N), their thumbnails (uint8, N × 256), and the
    means of their 256 feature maps (float32, N × 256)."""

    paths: list[str]
    labels: list[str | None]
    digests: np.ndarray
    thumbnails: np.ndarray
    features: torch.Tensor


@dataclass(frozen=True)
class Part:
    """N images of a table, which may be too many for memory: the table's features, on disk; the
    rows of these images in it, and their labels (int64, N)."""

    table: torch.Tensor
    rows: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | torch.Tensor) -> "Part":
        return Part(self.table, self.rows[which], self.labels[which])

    def blocks(self, size: int) -> Iterator["Part"]:
        """So many of the images at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    @property
    def features(self) -> torch.Tensor:
        """Those of these images (float32, N × 256), in memory."""
        return self.table[self.rows]


def read_table(folder: Path, place: Path) -> Table:
    """The rows of all Parquet files in a folder. One file at a time is read into memory. What there
    is too much of is kept in an unnamed file in the folder `place`. Raises InputError if a file
    holds something else."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(f"{folder} has no Parquet files; `dvc repro embed_images` writes them")
    paths: list[str] = []
    labels: list[str | None] = []
    with unnamed_file(place) as file:
        for path in files:
            try:
                part = pq.ParquetFile(path).read([*COLUMNS])
                if missing := set(COLUMNS) - set(part.column_names):
                    raise ValueError(f"it lacks the column {min(missing)}")
                numbers = pc.list_flatten(part["features"]).to_numpy()
                maps = numbers.astype(np.float32, copy=False)
                maps = maps.reshape(len(part), FEATURE_MAPS, -1, 1)
                rows = np.empty(len(part), ON_DISK)
                rows["digest"] = part["digest"].to_pylist()
                grey = np.frombuffer(b"".join(part["thumbnail"].to_pylist()), np.uint8)
                rows["thumbnail"] = grey.reshape(len(part), -1)
            except (pa.ArrowException, ValueError, AttributeError) as error:
                reason = " ".join(str(error).split())
                raise InputError(f"{path} is no table of embedded images: {reason}") from None
            if not np.isfinite(maps).all():
                raise InputError(f"{path} has features that are not finite")
            paths += part["path"].to_pylist()
            labels += (label and sys.intern(label) for label in part["label"].to_pylist())
            rows["features"] = means_of_maps(torch.tensor(maps))
            file.write(rows.tobytes())
        file.flush()
        kept = np.memmap(file, ON_DISK, "r+", shape=len(paths))
    features = torch.from_numpy(kept["features"])
    return Table(paths, labels, kept["digest"], kept["thumbnail"], features)


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
