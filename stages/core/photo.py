"""The photograph as a tensor."""

from pathlib import Path

from stages.core.numerics import torch

import numpy as np
from PIL import Image


def read_photo(path: Path) -> torch.Tensor:
    """An RGB image as 1 × 3 × height × width, from 0 (black) to 1."""
    pixels = torch.from_numpy(np.array(Image.open(path)))
    return pixels.permute(2, 0, 1).unsqueeze(0).contiguous() / 255
