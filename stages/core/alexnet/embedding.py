"""AlexNet's features of image files, as rows of Parquet files."""

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torchvision.models import AlexNet

from stages.core.alexnet.network import alexnet, features
from stages.core.base.errors import InputError
from stages.core.base.files import new_file
from stages.core.data.images import UnreadableImage
from stages.core.data.squares import THUMBNAIL, Row, read_image
from stages.core.exact.integers import means_of_maps

BATCH = 32  # images at a time through the network

# What cannot be read counts as an image if its name ends like an image's, or if it begins like one.
SUFFIX = re.compile(
    r"\.(apng|arw|avif|bmp|cr2|cr3|dds|dib|dng|eps|exr|gif|heic|heif|hif|icb|icns|ico|j2c|j2k|jfif|"
    r"jp2|jpc|jpe|jpeg|jpf|jpg|jpx|jxl|nef|orf|pbm|pcx|pfm|pgm|png|pnm|ppm|psd|qoi|raf|ras|rw2|sgi|"
    r"svg|tga|tif|tiff|vda|vst|webp|xbm|xpm)$",
    re.IGNORECASE,
)
CONTENT = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|II\*\0|MM\0\*|RIFF.{4}WEBP|.{4}ftyp(avi|hei|hev|mif|msf)|"
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51|8BPS|qoif",
    re.DOTALL,
)
HEIC = re.compile(rb".{4}ftyp(hei|hev|mif|msf)", re.DOTALL)

# Folders of files that programs keep for themselves. Some of them are images, but not the user's.
CLUTTER = {
    ".ipynb_checkpoints": "is in a folder of notebook checkpoints",
    "__MACOSX": "is in a folder of macOS's metadata",
    "@eaDir": "is in a folder of a file server's thumbnails",
    "$RECYCLE.BIN": "is in Windows's recycle bin",
}


class Skipped(NamedTuple):
    """A file without a row: its path in the folder, why, and whether it counts as an image."""

    path: str
    reason: str
    is_image: bool


class Embedded(NamedTuple):
    """An image's row, and its features (float32)."""

    row: Row
    features: np.ndarray


class Batch(NamedTuple):
    """What became of some files."""

    rows: list[Embedded]
    skipped: list[Skipped]


SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "label": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "digest": pa.string(),
        "thumbnail": pa.binary(THUMBNAIL**2),
    }
)


def batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """So many paths at a time as go through the network together."""
    for start in range(0, len(paths), BATCH):
        yield paths[start : start + BATCH]


def printable(path: str) -> str:
    """The path, with a mark for each byte that is not UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def without_clutter(paths: Sequence[str]) -> tuple[list[str], list[Skipped]]:
    """The files that may be images, and those that are hidden or in folders that programs keep for
    themselves."""
    images, skipped = [], []
    for path in paths:
        *folders, name = path.split("/")
        reasons = [CLUTTER[folder] for folder in folders if folder in CLUTTER]
        if any(folder.startswith(".") for folder in folders):
            reasons.append("is in a hidden folder")
        if name.startswith("."):
            reasons.append("is a hidden file")
        if reasons:
            skipped.append(Skipped(printable(path), reasons[0], is_image=False))
        else:
            images.append(path)
    return images, skipped


def why_skipped(folder: Path, path: str, error: UnreadableImage) -> Skipped:
    """Tells an image that cannot be read from a file that is no image."""
    try:
        with (folder / path).open("rb") as file:
            start = file.read(12)
    except OSError:
        start = b""
    reason = str(error)
    if HEIC.match(start):
        reason = "is a HEIC image, which Pillow does not read; convert it to JPEG or PNG"
    is_image = bool(SUFFIX.search(path) or CONTENT.match(start))
    return Skipped(printable(path), reason if is_image else "is not an image", is_image)


def read_images(
    paths: Sequence[str], folder: Path, size: int
) -> tuple[list[tuple[Row, np.ndarray]], list[Skipped]]:
    """`read_image` for each path: what was read, and what was skipped."""
    images, skipped = [], []
    for path in paths:
        try:
            images.append(read_image(folder, path, size))
        except UnreadableImage as error:
            skipped.append(why_skipped(folder, path, error))
    return images, skipped


def skipped_images(paths: Sequence[str], *, folder: Path, size: int) -> list[Skipped]:
    """Those of the files that `embed_images` would skip, without computing features."""
    return read_images(paths, folder, size)[1]


@lru_cache(maxsize=1)
def network(weights: Path, changed: int) -> AlexNet:
    """The network, loaded once by each process, unless the file of the weights has changed."""
    return alexnet(weights)


def embed_images(
    paths: Sequence[str], *, folder: Path, weights: Path, size: int, pool: bool
) -> Batch:
    """The features of images in a folder, scaled to size × size.

    A row's features are 256 × height × width numbers, or with `pool` the means of the 256 maps.
    """
    images, skipped = read_images(paths, folder, size)
    if not images:
        return Batch([], skipped)
    rows, squares = zip(*images, strict=True)
    values = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous() / 255
    maps = features(network(weights, weights.stat().st_mtime_ns), values)
    numbers = (means_of_maps(maps) if pool else maps.flatten(1)).numpy()
    return Batch(list(map(Embedded, rows, numbers)), skipped)


def write_rows(rows: Sequence[Embedded], path: Path) -> None:
    """Write a Parquet file: the columns of `Row`, and the features as lists of a fixed size."""
    values = np.stack([features for _, features in rows])
    lists = pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
    table = pa.Table.from_pylist([row._asdict() for row, _ in rows], SCHEMA)
    table = table.append_column("features", lists)
    with new_file(path) as file:
        pq.write_table(table, file, compression="zstd", use_dictionary=["label"])


def embedded_paths(folder: Path) -> list[str]:
    """The paths of the images whose rows are in a folder of Parquet files, in order.

    Raises InputError if there is no such file, or if a file holds something else.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(f"{folder} has no Parquet files; `dvc repro embed_images` writes them")
    paths: list[str] = []
    for path in files:
        try:
            paths += pq.ParquetFile(path).read(["path"])["path"].to_pylist()
        except (pa.ArrowException, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} is no table of embedded images: {reason}") from None
    return paths
