"""The photograph as a tensor."""

from pathlib import Path

import numpy as np
import torch

from stages.core.base.errors import InputError
from stages.core.data.images import UnreadableImage, open_rgb


def read_photo(path: Path) -> torch.Tensor:
    """A square image as a tensor 1 × 3 × side × side (float32), from 0 (black) to 1.

    Raises InputError if it cannot be read or is not square.
    """
    try:
        photo = open_rgb(path)
    except UnreadableImage as error:
        raise InputError(f"{path} {error}") from None
    if photo.width != photo.height:
        raise InputError(f"{path} has {photo.width} × {photo.height} pixels; it should be square")
    pixels = torch.from_numpy(np.array(photo))
    return pixels.permute(2, 0, 1).unsqueeze(0).contiguous() / 255
