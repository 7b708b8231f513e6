"""Image files of any kind, as RGB."""

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

# Set once, not around each image: a filter that changes would change in other threads too.
warnings.filterwarnings("ignore", module="PIL")
warnings.simplefilter("error", Image.DecompressionBombWarning)


class UnreadableImage(Exception):
    """Why a file is no image: a sentence that lacks its subject, the file."""


def open_rgb(path: Path, side: int | None = None) -> Image.Image:
    """Any image that Pillow opens, as RGB: upright as EXIF says, on white where it is transparent,
    the first frame of an animation.

    When it is to be scaled down, a JPEG is decoded sooner at a half, quarter or eighth of its size,
    with at least `side` pixels left in height and width.
    Raises UnreadableImage for a file that is no image, broken, or a decompression bomb.
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
    except Exception as error:  # the decoders raise whatever they stumble over
        reason = getattr(error, "strerror", None) or error
        raise UnreadableImage(f"cannot be read as an image: {reason}") from None
    if image.mode in ("I", "F"):
        raise UnreadableImage("has 32 bits a channel, of no known range; 8 or 16 are right")
    if image.mode.startswith("I;16"):  # keep the upper 8 bits
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
