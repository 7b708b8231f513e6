"""IDX, the format of MNIST's files.

The header is big-endian: two zero bytes, the element type (8: unsigned byte), the number of
dimensions, then the size of each dimension in 32 bits. Source: LeCun, Cortes and Burges, "The MNIST
database of handwritten digits".
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.base.errors import InputError


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """The unsigned bytes of an IDX file with `ndim` dimensions, as a read-only memory map.

    Raises InputError if the magic number, the dimensions or the length of the file is wrong.
    """
    header = 4 + 4 * ndim
    size = path.stat().st_size
    if size < header:
        raise InputError(f"{path} has {size} bytes, fewer than the {header} of an IDX header")
    with path.open("rb") as file:
        magic, *shape = struct.unpack(f">{1 + ndim}I", file.read(header))
    if magic != (expected := 0x0800 + ndim):
        raise InputError(f"{path} starts with {magic:#010x}, not with {expected:#010x} as IDX does")
    if size != (expected := header + math.prod(shape)):
        raise InputError(
            f"{path} has {size:,} bytes, but its header, "
            f"{' × '.join(map(str, shape))} elements, asks for {expected:,}"
        )
    if 0 in shape:
        raise InputError(f"{path} has {' × '.join(map(str, shape))} elements, none at all")
    return np.memmap(path, mode="r", offset=header, shape=tuple(shape))


class Labelled(NamedTuple):
    """Images (uint8, N × side × side) and their labels (int64, N)."""

    images: np.ndarray
    labels: np.ndarray


def read_part(folder: Path, part: str) -> Labelled:
    """The images of a `part`, "train" or "t10k", and their labels as the files have them."""
    paths = [folder / f"{part}-{what}-ubyte" for what in ("images-idx3", "labels-idx1")]
    for path in paths:
        if not path.exists():
            raise InputError(
                f"{path} is missing; there should be four files named like MNIST's, uncompressed"
            )
    images, labels = read_idx(paths[0], ndim=3), read_idx(paths[1], ndim=1)
    if len(images) != len(labels):
        raise InputError(f"{folder}: {part} has {len(images)} images, {len(labels)} labels")
    _, height, width = images.shape
    if height != width:
        raise InputError(
            f"{paths[0]} has images of {height} × {width} pixels, which are not square"
        )
    return Labelled(images, labels)


def read_dataset(
    folder: Path, names: Sequence[str], where: str
) -> tuple[dict[str, Labelled], list[str]]:
    """The images of a folder in MNIST's format, by their part, "train" or "t10k"; and the names of
    the labels. The values that the training images have as labels, in ascending order, become 0, 1,
    2, …; without `names`, they are the names.

    Raises InputError if the folder holds something else. `where`: the key of the names, for the
    message.
    """
    parts = {part: read_part(folder, part) for part in ("train", "t10k")}
    sides = {part: found.images.shape[1] for part, found in parts.items()}
    if sides["train"] != sides["t10k"]:
        raise InputError(
            f"{folder}: train has images of {sides['train']} × {sides['train']} pixels, "
            f"t10k of {sides['t10k']} × {sides['t10k']}"
        )
    values = np.unique(parts["train"].labels)
    if len(values) < 2:
        raise InputError(f"{folder}: all training images have the label {values[0]}")
    if unknown := sorted({*parts["t10k"].labels.tolist()} - {*values.tolist()}):
        raise InputError(f"{folder}: t10k has the label {unknown[0]}, which train does not have")
    if names and len(names) != len(values):
        raise InputError(
            f"{where} has {len(names)} names, but the images in {folder} have {len(values)} labels"
        )
    numbered = {
        part: Labelled(images, np.searchsorted(values, labels))
        for part, (images, labels) in parts.items()
    }
    return numbered, [*names] or [str(value) for value in values.tolist()]
