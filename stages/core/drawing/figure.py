"""What all figures share: resolution, colour maps, and how they are saved."""

import zlib
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pydantic import AfterValidator

from stages.core.base.files import new_file

# Neither a user's matplotlibrc nor the locale, whose language picks letter forms, may change bytes.
matplotlib.rcdefaults()
matplotlib.rcParams["text.language"] = "en"

DPI = 128  # a power of two, so pixels / DPI inches convert back to exactly as many pixels


def _colour_map(name: str) -> str:
    if name not in matplotlib.colormaps:
        raise ValueError("it should be one of matplotlib's colour maps: gray, viridis, cividis, …")
    return name


ColourMap = Annotated[str, AfterValidator(_colour_map)]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG. An all-grey figure gets a single channel: the file is smaller, and written
    faster."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    red, green, blue = np.moveaxis(pixels, 2, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        pixels = red
    with new_file(path) as file:
        # Feature maps repeat pixels, but seldom longer patterns: run-length encoding takes a third
        # of zlib's usual time, and the files are no larger.
        image = Image.fromarray(pixels)
        image.save(file, format="png", dpi=(DPI, DPI), compress_type=zlib.Z_RLE)
