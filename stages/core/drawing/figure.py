"""What all figures share: resolution, colour maps, and how they are saved."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from PIL import Image
from pydantic import AfterValidator

from stages.core.base.files import new_file

# Neither a user's matplotlibrc nor the locale, whose language picks letter forms, may change bytes.
matplotlib.rcdefaults()
matplotlib.rcParams["text.language"] = "en"

DPI = 128  # a power of two, so pixels / DPI inches convert back to exactly as many pixels
RENDERER = RendererAgg(1, 1, DPI)  # measures text
LETTERS = get_font(findfont(FontProperties())).get_charmap()  # the font comes with matplotlib


def _colour_map(name: str) -> str:
    if name not in matplotlib.colormaps:
        raise ValueError("it should be one of matplotlib's colour maps: gray, viridis, cividis, …")
    return name


ColourMap = Annotated[str, AfterValidator(_colour_map)]


def text_width(text: str, size: float) -> float:
    """The width in pixels of a line of text, which is not a formula, in a size in points."""
    return RENDERER.get_text_width_height_descent(text, FontProperties(size=size), False)[0]


def wrapped(text: str, size: float, width: float) -> str:
    """A text in lines of at most `width` pixels, broken at spaces, and within words wider than a
    line. Other white space counts as a space."""
    lines = [""]
    for word in text.split():
        if text_width(joined := f"{lines[-1]} {word}".strip(), size) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and text_width(lines[-1] + letter, size) > width:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines).strip()


def shortened(text: str, size: float, width: float) -> str:
    """A text in one line of at most `width` pixels: the middle may be left out, for paths have what
    tells them apart at both ends."""
    if text_width(text, size) <= width:
        return text
    for left in range(len(text) - 1, 1, -1):
        short = f"{text[: left // 2]}…{text[-(left - left // 2) :]}"
        if text_width(short, size) <= width:
            return short
    return "…"


def in_font(text: str, otherwise: str) -> str:
    """The text, or something else if the figures' font lacks one of its letters."""
    return text if all(ord(letter) in LETTERS for letter in text) else otherwise


def names_in_font(labels: Sequence[str]) -> list[str]:
    """The names of labels as figures can show them: some as their numbers, from 1 on."""
    return [in_font(name, f"label {number}") for number, name in enumerate(labels, start=1)]


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
