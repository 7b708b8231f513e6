"""Tensor files: safetensors, read and written as numpy arrays."""

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

DTYPES = {"float32": "F32", "int64": "I64", "uint8": "U8"}  # the format's names

# The tensors that a file should have: dtypes and shapes by name. Strings in a shape are symbolic
# dimensions, 1 or more; equal names mean equal sizes.
Shapes = Mapping[str, tuple[str, Sequence[int | str]]]


def load_tensors(path: Path, shapes: Shapes | None = None) -> dict[str, np.ndarray]:
    """All tensors of a file, by name.

    Raises InputError if it is not a valid safetensors file, if its tensors are not those in
    `shapes`, or if a number in it is not finite.
    """
    with open_tensors(path, shapes) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise InputError(f"{path}: {name} has numbers that are not finite")
    return tensors


@contextmanager
def open_tensors(path: Path, shapes: Shapes | None = None) -> Iterator[safe_open]:
    """Open a file to read tensors in slices: `file.get_slice(name)[start:stop]`.

    Raises InputError if it is not a valid safetensors file, or if its tensors are not those in
    `shapes`.
    """
    path.open("rb").close()  # this error names the file; the library's does not
    try:
        with safe_open(path, "numpy") as file:
            if shapes is not None:
                check_shapes(file, path, shapes)
            yield file
    except SafetensorError as error:
        raise InputError(f"{path} is not a valid safetensors file: {error}") from None


def check_shapes(file: safe_open, path: Path, shapes: Shapes) -> None:
    """Raises InputError unless the file has exactly these tensors."""
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
    """A shape for messages: 3 × 28 × 28."""
    return " × ".join(map(str, shape)) or "without dimensions"


def save_tensors(
    tensors: Mapping[str, np.ndarray], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by name; the same tensors always give the same bytes.

    `metadata` may have one entry at most: the library writes several in no fixed order.
    """
    assert metadata is None or len(metadata) == 1
    # The library writes a tensor as it lies in memory, transposed or not.
    in_order = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with new_file(path) as file:
        file.write(save(in_order, metadata))


@contextmanager
def new_tensors(
    path: Path, shapes: Mapping[str, tuple[str, Sequence[int]]], metadata: dict[str, str]
) -> Iterator[BinaryIO]:
    """Open a file for tensors that do not fit into memory together. The caller writes their
    elements in the order of `shapes`, which gives the dtype and shape of each.

    The library can only write all tensors at once. The format: the header's length in eight bytes,
    the header as JSON, the elements (https://github.com/huggingface/safetensors#format). The bytes
    are the same as the library's if int64 comes before float32, and names are sorted within each.
    """
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, (dtype, shape) in shapes.items():
        start, end = end, end + np.dtype(dtype).itemsize * math.prod(shape)
        header[name] = {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the elements to eight bytes
    with new_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        yield file
