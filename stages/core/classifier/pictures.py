"""Small pictures of the images that were classified."""

from pathlib import Path

import numpy as np
from PIL import Image

from stages.core.data.squares import read_square


def thumbnail(folder: Path, path: str, size: int, side: int) -> np.ndarray:
    """What the network sees of an image, size × size pixels, as side × side × 3 (uint8).

    Raises InputError if the image can no longer be read.
    """
    square = Image.fromarray(read_square(folder, path, size))
    return np.asarray(square.resize((side, side), Image.Resampling.BILINEAR))
