"""Tensors in files: safetensors, read and written as numpy arrays."""

from collections.abc import Mapping
from pathlib import Path

from stages.core.command import InputError

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stages.core.files import new_file


def load_tensors(path: Path) -> dict[str, np.ndarray]:
    """All the tensors of a file by their names. Raises InputError when it is not safetensors."""
    try:
        return load(path.read_bytes())
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from None


def save_tensors(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Write tensors by their names; the same tensors always give the same bytes."""
    with new_file(path) as file:
        file.write(save(dict(tensors)))
