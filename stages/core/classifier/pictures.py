"""Small pictures of the images that were classified."""

from pathlib import Path

import numpy as np
from PIL import Image

from stages.core.base.errors import InputError
from stages.core.data.images import UnreadableImage
from stages.core.data.squares import read_image


def thumbnail(folder: Path, path: str, size: int, side: int) -> np.ndarray:
    """What the network sees of an image, size × size pixels, as side × side × 3 (uint8).

    Raises InputError if the image can no longer be read.
    """
    try:
        _, square = read_image(folder, path, size)
    except UnreadableImage as error:
        raise InputError(f"{folder / path} {error}; `dvc repro` embeds the images anew") from None
    image = Image.fromarray(square).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)
