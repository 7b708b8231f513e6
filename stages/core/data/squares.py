"""Images of a folder as a network sees them: scaled squares."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from stages.core.base.errors import InputError
from stages.core.data.images import UnreadableImage, open_with_size

THUMBNAIL = 16  # its side, pixels


class Row(NamedTuple):
    """An image's columns before its features: its path in the folder; as its label the top-level
    subfolder, as in torchvision's ImageFolder; its width and height in pixels, as stored; the
    SHA-256 of what the network sees, by which equal images are found; and that as THUMBNAIL ×
    THUMBNAIL grey levels, by which nearly equal ones are found."""

    path: str
    label: str | None
    width: int
    height: int
    digest: str
    thumbnail: bytes


def read_image(folder: Path, path: str, size: int) -> tuple[Row, np.ndarray]:
    """An image's row, and its central square scaled to size × size × 3 (uint8).

    Raises UnreadableImage.
    """
    try:
        name = os.fsencode(path).decode()  # in the user's locale, `path` may be something else
    except UnicodeDecodeError:
        raise UnreadableImage("has a name that is not UTF-8") from None
    picture, (width, height) = open_with_size(folder / path, side=size)
    label, inside, _ = name.partition("/")
    square = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    digest = hashlib.sha256(square.tobytes()).hexdigest()
    grey = square.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    row = Row(name, label if inside else None, width, height, digest, grey.tobytes())
    return row, np.asarray(square)


def read_square(folder: Path, path: str, size: int) -> np.ndarray:
    """What the network sees of an image that could be read before: size × size × 3 (uint8).

    Raises InputError if it no longer can.
    """
    try:
        return read_image(folder, path, size)[1]
    except UnreadableImage as error:
        raise InputError(f"{folder / path} {error}; `dvc repro` embeds the images anew") from None
