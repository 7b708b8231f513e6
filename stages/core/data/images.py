"""Image files of any kind, as RGB."""

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

# Set once, not around each image, since threads share warning filters.
warnings.filterwarnings("ignore", module="PIL")
warnings.simplefilter("error", Image.DecompressionBombWarning)


class UnreadableImage(Exception):
    """Why a file cannot be read as an image: a sentence without its subject, the file."""


def open_rgb(path: Path, side: int | None = None) -> Image.Image:
    """Open any image that Pillow reads, as RGB: turned upright by its EXIF data, transparency on
    white, the first frame of an animation.

    Give `side` if the image will be scaled down: a JPEG is then decoded, faster, at a half, quarter
    or eighth of its size, with at least `side` pixels in height and width.
    Raises UnreadableImage if the file is not an image, broken, or a decompression bomb.
    """
    try:
        image: Image.Image = Image.open(path)
        if side is not None:
            image.draft("RGB", (side, side))
        image.load()
        image = ImageOps.exif_transpose(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS
        raise UnreadableImage(f"has too many pixels; {limit:,} are allowed") from None
    except UnidentifiedImageError:
        raise UnreadableImage("is not an image that Pillow knows") from None
    except Exception as error:  # broken images raise errors of any kind
        reason = getattr(error, "strerror", None) or error
        raise UnreadableImage(f"cannot be read as an image: {reason}") from None
    if image.mode in ("I", "F"):
        raise UnreadableImage("has 32 bits per channel, of no known range; it should have 8 or 16")
    if image.mode.startswith("I;16"):  # keep the upper 8 bits
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
