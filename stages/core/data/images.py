"""Image files of many kinds, as RGB."""

import ctypes
import logging
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageChops, ImageFile, ImagePalette, TiffImagePlugin, UnidentifiedImageError
from PIL.ExifTags import Base as Tag

# Known by their content. None of them runs a program, as Pillow does for PostScript.
FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000"]
FORMATS += ["ICO", "QOI", "SGI", "PCX"]
TGA_NAMES = (".tga", ".icb", ".vda", ".vst")  # TGA has no signature
SAVE_AS = "save it as JPEG, or as PNG with 8 bits per channel"

MAX_PIXELS = 200_000_000
LARGE = 25_000_000  # pixels
VALUES = range(2**16)  # of 16 bits

TURNS = {  # by the orientation in an image's metadata
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Set once, not around each image, since threads share them.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # or errors go to standard error too,
with suppress(OSError, AttributeError):  # and those of libtiff, where it is a library of its own
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns of more, and refuses twice as many
TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader confuses planes and subsampled colours
_one_large = Lock()


class UnreadableImage(Exception):
    """Why a file cannot be read as an image: a sentence without its subject, the file."""


def open_rgb(path: Path, side: int | None = None) -> Image.Image:
    """Open an image file of any of FORMATS or TGA as RGB with 8 bits per channel: turned upright by
    its metadata, transparency on white, the first frame of an animation or page of a document. Of
    16 bits the upper 8 are kept; colour profiles are ignored.

    Give `side` if the image will be scaled down: a JPEG is then decoded, faster, at a half, quarter
    or eighth of its size, and other images of more than LARGE pixels are scaled down by a whole
    number; at least `side` pixels in height and width are left.
    Decoding takes from 4 to 14 bytes of memory per pixel; 25 for WebP and JPEG 2000, and for
    transparency without `side`: 5 GB for MAX_PIXELS. A process decodes images of more than LARGE
    pixels one at a time.
    Raises UnreadableImage if the file is not such an image, broken, has more than MAX_PIXELS, or
    has numbers of which no range is known (floats, signed, 32 bits).
    """
    return open_with_size(path, side)[0]


def open_with_size(path: Path, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """The same, and the image's width and height as stored: neither turned nor scaled."""
    try:
        if path.exists() and not path.is_file():
            raise UnreadableImage("is not a file")
        formats = [*FORMATS, "TGA"] if path.suffix.lower() in TGA_NAMES else FORMATS
        with Image.open(path, formats=formats) as image:
            size = image.size
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                size = image.tag_v2[Tag.ImageWidth], image.tag_v2[Tag.ImageLength]
            return _rgb(image, path, side), size
    except UnreadableImage:
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(f"has too many pixels; {MAX_PIXELS:,} are allowed") from None
    except UnidentifiedImageError:
        raise UnreadableImage(_unknown(path)) from None
    except Exception as error:  # broken images raise errors of any kind
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if reason.startswith("decoder error"):  # a number of Pillow's
            reason = "its data are broken, or compressed in an unknown way"
        raise UnreadableImage(f"cannot be read as an image: {' '.join(reason.split())}") from None


def _unknown(path: Path) -> str:
    """Why Pillow does not know what is in a file."""
    with path.open("rb") as file:
        start = file.read(16)
    for name in ("JPEG", "PNG", "TIFF", "BMP", "PPM"):
        accept = Image.OPEN[name][1]
        if accept and accept(start):
            return f"is a {name} file of a kind that cannot be read; {SAVE_AS}"
    return f"is not an image of a kind that can be read: {', '.join(FORMATS)}, TGA; {SAVE_AS}"


def _rgb(image: ImageFile.ImageFile, path: Path, side: int | None) -> Image.Image:
    """The pixels of an image that was just opened."""
    to_decode = image.width * image.height
    if side is not None:
        image.draft("RGB", (side, side))
        if not image.info.get("progressive"):  # such a JPEG is decoded whole
            to_decode = image.width * image.height
    with _one_large if to_decode > LARGE else nullcontext():
        pixels = _decoded(image, path)
        mode = "RGBA" if pixels.has_transparency_data else "RGB"
        if pixels.mode != mode:
            pixels = pixels.convert(mode)
        if side is not None and pixels.width * pixels.height > LARGE:
            pixels = pixels.reduce(max(1, min(pixels.size) // (2 * side)))
        orientation = _orientation(image)
        if orientation in TURNS:
            pixels = pixels.transpose(TURNS[orientation])
        if mode == "RGBA":
            white = Image.new("RGBA", pixels.size, "white")
            pixels = Image.alpha_composite(white, pixels).convert("RGB")
    return pixels


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(Tag.Orientation, 1)
    except Exception:  # the metadata are broken, not the pixels
        return 1


def _decoded(image: ImageFile.ImageFile, path: Path) -> Image.Image:
    """The pixels in one of Pillow's modes with 8 bits per channel, perhaps with a key
    `transparency`. Corrects what Pillow gets wrong."""
    decoder, _, offset, args = image.tile[0] if image.tile else ("", None, 0, "")
    rawmode, *rest = args if isinstance(args, tuple) else (args,)
    if decoder == "ppm" and image.mode in ("L", "I", "RGB"):
        return _scaled_ppm(image, path, offset, largest=rest[0])
    inverted = opaque = False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image)
        inverted = image.tag_v2.get(Tag.PhotometricInterpretation, 0) == 0
    elif image.format == "TGA":
        assert image.fp is not None
        image.fp.seek(17)
        opaque = image.fp.read(1)[0] & 15 == 0  # the number of alpha bits
    image.load()
    key = image.info.get("transparency")  # as many bits as stored

    if image.mode.startswith("I;16") or (image.format, image.mode) == ("PPM", "I"):
        shift = 4 if rawmode == "I;12" else 8
        values = image.convert("I")
        grey = values.point([(value >> shift) % 256 ^ 255 * inverted for value in VALUES], "L")
        if key is not None:
            del grey.info["transparency"]
            grey.putalpha(values.point([255 * (value != key) for value in VALUES], "L"))
        return grey
    if image.mode in ("I", "F"):
        raise UnreadableImage("has 32 bits per channel, of no known range; it should have 8 or 16")
    if image.mode in ("La", "RGBa"):
        return image.convert(image.mode.upper())
    if opaque:
        return image.convert("RGB")
    if image.format == "PNG" and key is not None and image.mode != "P":
        if rawmode == "RGB;16B":
            return _with_alpha_of_16_bits(image, key, path)
        largest = {"L;2": 3, "L;4": 15}.get(rawmode, 255)
        if isinstance(key, int):
            image.info["transparency"] = (key & largest) * 255 // largest
        else:
            image.info["transparency"] = tuple(value & largest for value in key)
    return image


def _scaled_ppm(image: Image.Image, path: Path, offset: int, largest: int) -> Image.Image:
    """A binary PGM or PPM whose white is not 255: Pillow takes minutes for it."""
    channels = (3,) if image.mode == "RGB" else ()
    shape = (image.height, image.width, *channels)
    count = int(np.prod(shape))
    stored = np.fromfile(path, ">u2" if largest > 255 else "u1", count, offset=offset)
    if stored.size < count:
        raise UnreadableImage("is truncated")
    to_8_bits = np.minimum(VALUES, largest) * 0xFFFF // largest >> 8
    return Image.fromarray(to_8_bits.astype(np.uint8)[stored].reshape(shape))


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse what Pillow would get wrong, before it is decoded."""
    tags = image.tag_v2
    if tags.get(Tag.TileWidth, 1) * tags.get(Tag.TileLength, 1) > MAX_PIXELS:
        raise Image.DecompressionBombError
    if 2 in tags.get(Tag.SampleFormat, ()) and max(tags.get(Tag.BitsPerSample, (1,))) <= 16:
        raise UnreadableImage("has signed numbers, of no known range; they should be unsigned")
    if tags.get(Tag.NewSubfileType, 0) & 1:
        raise UnreadableImage(f"starts with a preview, as raw photographs do; {SAVE_AS}")
    if tags.get(Tag.PlanarConfiguration, 1) == 2 and image.mode in ("LA", "La", "PA"):
        raise UnreadableImage(f"has its transparency in a plane of its own; {SAVE_AS}")
    if image.mode in ("P", "PA") and max(tags[Tag.ColorMap]) < 256:  # 8 bits, against the standard
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[Tag.ColorMap]))


def _with_alpha_of_16_bits(high: Image.Image, key: tuple[int, ...], path: Path) -> Image.Image:
    """A PNG's upper bytes, with its pixels of the 16-bit colour `key` transparent."""
    with Image.open(path, formats=["PNG"]) as low:
        low.tile = [low.tile[0]._replace(args="RGB;16L")]  # so Pillow takes the lower bytes
        low.load()
    alphas = []
    for half, shift in ((high, 8), (low, 0)):
        half.info["transparency"] = tuple(value >> shift & 255 for value in key)
        alphas.append(half.convert("RGBA").getchannel("A"))
    del high.info["transparency"]
    high.putalpha(ImageChops.lighter(*alphas))
    return high
