"""IDX, the format of MNIST's files.

The header is big-endian: two zero bytes, the element type (8: unsigned byte), the number of
dimensions, then the size of each dimension in 32 bits. Source: LeCun, Cortes and Burges, "The MNIST
database of handwritten digits".
"""

import math
import struct
from pathlib import Path

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


def read_digits(mnist: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (uint8, N × 28 × 28) and labels (uint8, N) of MNIST's `part`: "train" or "t10k"."""
    images = read_idx(mnist / f"{part}-images-idx3-ubyte", ndim=3)
    labels = read_idx(mnist / f"{part}-labels-idx1-ubyte", ndim=1)
    if len(images) != len(labels):
        raise InputError(f"{mnist}: {part} has {len(images)} images, {len(labels)} labels")
    if images.shape[1:] != (28, 28) or labels.max() > 9:
        raise InputError(
            f"{mnist}: {part} has images of {images.shape[1]} × {images.shape[2]} pixels and "
            f"labels up to {labels.max()}; MNIST has 28 × 28 pixels and labels up to 9"
        )
    return images, labels
