"""What all figures share: their resolution, colour maps, and how they are saved."""

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

matplotlib.rcdefaults()  # a matplotlibrc of the user's must not change the bytes

DPI = 128  # a power of two: pixels / DPI inches are exactly so many pixels again


def _colour_map(name: str) -> str:
    if name not in matplotlib.colormaps:
        raise ValueError("it should be one of matplotlib's colour maps: gray, viridis, cividis, …")
    return name


ColourMap = Annotated[str, AfterValidator(_colour_map)]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, with a single channel where the figure is all grey: a smaller file, written
    sooner."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    red, green, blue = np.moveaxis(pixels, 2, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        pixels = red
    with new_file(path) as file:
        # Feature maps repeat pixels, but seldom patterns: without looking for any, zlib takes a
        # third of the time, and files are no larger.
        image = Image.fromarray(pixels)
        image.save(file, format="png", dpi=(DPI, DPI), compress_type=zlib.Z_RLE)
