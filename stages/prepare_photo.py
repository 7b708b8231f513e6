"""Cut a square out of a photograph, and scale it to the size that the lesson uses."""

from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

from PIL import Image, ImageOps
from pydantic import Field

from stages.core.base.errors import InputError
from stages.core.base.files import new_file
from stages.core.base.params import PARAMS, Params, read_params
from stages.core.data.images import UnreadableImage, open_rgb

SMALLEST = 63  # pixels; for less, AlexNet's last pooling has no output
UPPER_MIDDLE = (0.5, 0.2)  # heads are near the top of an upright photograph


class PhotoParams(Params):
    path: str
    size: Annotated[int, Field(ge=SMALLEST, le=2048)]


def open_photo(path: Path) -> Image.Image:
    """The photograph in RGB. Raises InputError if it cannot be read or is too small."""
    name = f"{PARAMS}: photo.path: {path}"
    try:
        photo = open_rgb(path)
    except UnreadableImage as error:
        raise InputError(f"{name} {error}") from None
    width, height = photo.size
    if min(width, height) < SMALLEST:
        raise InputError(
            f"{name} has {width} × {height} pixels; AlexNet needs {SMALLEST} × {SMALLEST} or more"
        )
    return photo


def main(out: Path) -> None:
    params = read_params("photo", PhotoParams)
    photo = open_photo(Path(params.path))
    size = (params.size, params.size)
    square = ImageOps.fit(photo, size, Image.Resampling.BICUBIC, centering=UPPER_MIDDLE)
    with new_file(out) as file:
        square.save(file, format="png")


if __name__ == "__main__":
    run(main)
