"""Tensors in files: safetensors, read and written as numpy arrays."""

import json
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stages.core.base.errors import InputError
from stages.core.base.files import new_file

DTYPES = {"float32": "F32", "int64": "I64", "uint8": "U8"}  # as the format names them

# The tensors that a file should have, with dtypes and shapes. Strings in a shape are symbolic
# dimensions, of 1 or more; equal names mean equal sizes.
Shapes = Mapping[str, tuple[str, Sequence[int | str]]]


def load_tensors(path: Path, shapes: Shapes | None = None) -> dict[str, np.ndarray]:
    """All the tensors of a file by their names.

    Raises InputError when it is not safetensors, has other tensors than `shapes` says, or numbers
    that are not finite.
    """
    with open_tensors(path, shapes) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise InputError(f"{path}: {name} has numbers that are not finite")
    return tensors


@contextmanager
def open_tensors(path: Path, shapes: Shapes | None = None) -> Iterator[safe_open]:
    """A file of tensors that are read in parts: `file.get_slice(name)[start:stop]`.

    Raises InputError when it is not safetensors, or has other tensors than `shapes` says.
    """
    path.open("rb").close()  # its error names the file, the library's does not
    try:
        with safe_open(path, "numpy") as file:
            if shapes is not None:
                check_shapes(file, path, shapes)
            yield file
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from None


def check_shapes(file: safe_open, path: Path, shapes: Shapes) -> None:
    if set(file.keys()) != set(shapes):
        names = reprlib.repr(sorted(file.keys()))
        raise InputError(f"{path} has the tensors {names}; it should have {sorted(shapes)}")
    sizes: dict[int | str, int] = {}
    for name, (dtype, shape) in shapes.items():
        tensor = file.get_slice(name)
        found = tensor.get_shape()
        fits = tensor.get_dtype() == DTYPES[dtype] and len(found) == len(shape)
        for size, expected in zip(found, shape, strict=False):
            if isinstance(expected, str):
                expected = sizes.setdefault(expected, max(size, 1))
            fits &= size == expected
        if not fits:
            raise InputError(
                f"{path}: {name} is {tensor.get_dtype()} {in_words(found)}; "
                f"it should be {DTYPES[dtype]} {in_words(shape)}"
            )


def in_words(shape: Sequence[int | str]) -> str:
    return " × ".join(map(str, shape)) or "without dimensions"


def save_tensors(
    tensors: Mapping[str, np.ndarray], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by their names; the same tensors always give the same bytes.

    The library writes several `metadata` in no fixed order, so there may be one at most.
    """
    assert metadata is None or len(metadata) == 1
    with new_file(path) as file:
        file.write(save(dict(tensors), metadata))


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
