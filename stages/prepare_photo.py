"""Cut a square from a photograph and scale it to the size that the lesson uses."""

import warnings
from pathlib import Path
from typing import Annotated

from stages.core.command import InputError, run

from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from stages import paths
from stages.core.files import new_file
from stages.core.params import Params, read_params

SMALLEST = 63  # pixels: from fewer, nothing is left of AlexNet's last pooling
UPPER_MIDDLE = (0.5, 0.2)  # heads are near the top of an upright photograph


class PhotoParams(Params):
    path: str
    size: Annotated[int, Field(ge=SMALLEST, le=2048)]


def open_rgb(path: Path) -> Image.Image:
    """Any image that Pillow opens, as RGB: upright as EXIF says, on white where it is transparent,
    the first frame of an animation.

    Raises InputError for a file that is no image, broken, too small, or a decompression bomb.
    """
    name = f"{paths.PARAMS}: photo.path: {path}"
    if path.exists() and not path.is_file():
        raise InputError(f"{name} is not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)
            image.load()
            image = ImageOps.exif_transpose(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS
        raise InputError(f"{name} has too many pixels; {limit:,} are allowed") from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not an image that Pillow knows") from None
    except Exception as error:  # the decoders raise whatever they stumble over
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name} cannot be read as an image: {reason}") from None
    if min(image.size) < SMALLEST:
        width, height = image.size
        raise InputError(
            f"{name} has {width} × {height} pixels; AlexNet needs {SMALLEST} × {SMALLEST} or more"
        )
    if image.mode in ("I", "F"):
        raise InputError(f"{name} has 32 bits a channel, of no known range; 8 or 16 are right")
    if image.mode.startswith("I;16"):  # keep the upper 8 bits
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def main() -> None:
    params = read_params(paths.PARAMS, "photo", PhotoParams)
    photo = open_rgb(Path(params.path))
    size = (params.size, params.size)
    square = ImageOps.fit(photo, size, Image.Resampling.BICUBIC, centering=UPPER_MIDDLE)
    with new_file(paths.PHOTO) as file:
        square.save(file, format="png")


if __name__ == "__main__":
    run(main)
