"""Tensors in files: safetensors, read and written as numpy arrays."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from stages.core.errors import InputError
from stages.core.files import new_file

DTYPES = {"float32": "F32", "int64": "I64"}  # as the format names them


def load_tensors(path: Path) -> dict[str, np.ndarray]:
    """All the tensors of a file by their names. Raises InputError when it is not safetensors."""
    try:
        return load(path.read_bytes())
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from None


@contextmanager
def open_tensors(path: Path) -> Iterator[safe_open]:
    """A file of tensors that are read in parts: `file.get_slice(name)[start:stop]`.

    Raises InputError when it is not safetensors.
    """
    path.stat()  # its error names the file, the library's does not
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from None


def save_tensors(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Write tensors by their names; the same tensors always give the same bytes."""
    with new_file(path) as file:
        file.write(save(dict(tensors)))


@contextmanager
def new_tensors(path: Path, shapes: Mapping[str, tuple[str, Sequence[int]]]) -> Iterator[BinaryIO]:
    """Open a file for tensors that are together too large for memory: the caller writes their
    elements in the order of `shapes`, which gives each its dtype and its shape.

    The library writes whole tensors alone. The format: eight bytes of the header's length, the
    header in JSON, the elements (https://github.com/huggingface/safetensors#format). The bytes are
    the library's if the order is: int64 before float32, each by their names.
    """
    header, end = {}, 0
    for name, (dtype, shape) in shapes.items():
        start, end = end, end + np.dtype(dtype).itemsize * math.prod(shape)
        header[name] = {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the elements begin at a multiple of eight
    with new_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        yield file
