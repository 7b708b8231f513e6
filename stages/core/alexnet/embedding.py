"""AlexNet's features of image files, as rows of Parquet files."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps
from torchvision.datasets.folder import IMG_EXTENSIONS

from stages.core.alexnet.network import alexnet, features
from stages.core.base.files import new_file
from stages.core.data.images import UnreadableImage, open_rgb

BATCH = 32  # images at a time through the network


class Block(NamedTuple):
    """Images, by their paths in the folder, whose features go into one Parquet file."""

    names: Sequence[str]
    file: Path


class Row(NamedTuple):
    """An image's columns before its features: its path in the folder; as its label the top-level
    subfolder, as in torchvision's ImageFolder; and its width and height in pixels, as stored."""

    path: str
    label: str | None
    width: int
    height: int


SCHEMA = pa.schema(
    {"path": pa.string(), "label": pa.string(), "width": pa.int32(), "height": pa.int32()}
)


def image_names(folder: Path) -> Iterator[str]:
    """The paths, relative to the folder, of all images in it and its subfolders, in a fixed order.

    Links are followed, unless they lead back to a folder above them.
    """

    def walk(place: Path, above: tuple[Path, ...]) -> Iterator[str]:
        real = place.resolve()
        if real in above:
            return
        with os.scandir(place) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        folders = [entry.name for entry in entries if entry.is_dir()]
        for entry in entries:
            if entry.name.lower().endswith(IMG_EXTENSIONS) and not entry.is_dir():
                yield Path(entry).relative_to(folder).as_posix()
        for name in folders:
            yield from walk(place / name, (*above, real))

    yield from walk(folder, ())


def read_image(folder: Path, name: str, size: int) -> tuple[Row, np.ndarray]:
    """An image's row, and its central square scaled to size × size × 3 (uint8).

    Raises UnreadableImage.
    """
    if os.fsencode(name).decode(errors="replace") != name:
        raise UnreadableImage("has a name that is not UTF-8")
    picture = open_rgb(folder / name, side=size)
    with Image.open(folder / name) as stored:
        width, height = stored.size
    label, inside, _ = name.partition("/")
    square = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    return Row(name, label if inside else None, width, height), np.asarray(square)


def embed_block(
    block: Block, *, folder: Path, weights: Path, size: int, pool: bool
) -> dict[str, str]:
    """Write the features of a block's images; returns the paths of unreadable ones, with reasons.

    The images are scaled to size × size. A row's features are a list of 256 × height × width
    numbers (float32), or with `pool` the means of the 256 maps. If no image is readable, no file is
    written.
    """
    model = alexnet(weights)
    rows, parts, skipped = [], [], {}
    for start in range(0, len(block.names), BATCH):
        squares = []
        for name in block.names[start : start + BATCH]:
            try:
                row, square = read_image(folder, name, size)
            except UnreadableImage as error:
                skipped[os.fsencode(name).decode(errors="replace")] = str(error)
            else:
                rows.append(row)
                squares.append(square)
        if squares:
            images = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous() / 255
            maps = features(model, images)
            parts.append((maps.mean((2, 3)) if pool else maps.flatten(1)).numpy())
    if parts:
        values = np.concatenate(parts)
        lists = pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
        table = pa.Table.from_pylist([row._asdict() for row in rows], SCHEMA)
        table = table.append_column("features", lists)
        with new_file(block.file) as file:
            pq.write_table(table, file, compression="zstd", use_dictionary=["label"])
    return skipped
