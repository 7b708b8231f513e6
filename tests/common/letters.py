"""The letters A to Z as images in MNIST's format, but of another side, with labels from 1 to 26, as
those of EMNIST are: drawn in the fonts that come with matplotlib, turned and moved a little."""

import struct
from pathlib import Path
from string import ascii_uppercase

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 24  # of an image, pixels
FONTS = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSansMono-Bold", "STIXGeneral")


def letter(name: str, font: ImageFont.FreeTypeFont, turn: float, moved: tuple[int, int]) -> bytes:
    image = Image.new("L", (SIDE, SIDE))
    place = SIDE // 2 + moved[0], SIDE // 2 + moved[1]
    ImageDraw.Draw(image).text(place, name, 255, font, anchor="mm")
    return image.rotate(turn, Image.Resampling.BILINEAR).tobytes()


def write_part(folder: Path, part: str, count: int, seed: int) -> None:
    """So many images of each letter, in turn."""
    random = np.random.default_rng(seed)
    files = Path(matplotlib.get_data_path(), "fonts/ttf")
    fonts = [ImageFont.truetype(files / f"{name}.ttf", 18) for name in FONTS]
    images = b"".join(
        letter(name, fonts[random.integers(len(FONTS))], random.uniform(-15, 15), tuple(moved))
        for moved in random.integers(-2, 3, (count, 2)).tolist()
        for name in ascii_uppercase
    )
    labels = bytes(range(1, 27)) * count
    size = len(labels)
    header = struct.pack(">4I", 0x0803, size, SIDE, SIDE), struct.pack(">2I", 0x0801, size)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(header[0] + images)
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(header[1] + labels)


def write_letters(folder: Path) -> None:
    folder.mkdir()
    write_part(folder, "train", 80, seed=0)
    write_part(folder, "t10k", 10, seed=1)
