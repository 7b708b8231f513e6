"""Which pixels speak for an answer: pictures side by side, and what their colours mean."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from stages.core.drawing.figure import DPI, shortened, wrapped
from stages.core.drawing.grids import (
    BAR,
    LARGE,
    MARGIN,
    MEDIUM,
    SMALL,
    TITLE,
    TITLE_LINE,
    Pixels,
    limits_around_zero,
)

CMAP = "RdBu_r"  # blue below zero, red above: the page's too
OUTLINE = 60  # grey (0 to 255) of the line around ink
DARKEST = 0.6  # of the grey picture below colours: on black, there would be none to see

# All in pixels.
GAP = 4  # between the pictures of a case
ACROSS, BETWEEN = 32, 16  # from a case to the one beside it, and to the one below it
LINE = 19  # of text above a case
PART = 30  # above the cases of a part: its heading; its other lines are a LINE each
LENGTH, SCALE = 300, 66  # of a colour bar; height of the words and numbers around it


class Case(NamedTuple):
    """A heading, and pictures side by side (side × side × 3, uint8), as many in every case."""

    heading: str
    pictures: Sequence[np.ndarray]


class Part(NamedTuple):
    """Cases with something in common, which its heading says."""

    heading: str
    cases: Sequence[Case]


def heading(answer: str, rival: str, lead: float) -> str:
    """Of a case: the answer, its rival, and how far it is ahead (logits)."""
    return f"{answer} rather than {rival}: {lead:+.2f}".replace("-", "\N{MINUS SIGN}")


def largest_of(maps: Sequence[np.ndarray]) -> float:
    """What the end of a colour scale stands for, the same for some maps of one shape."""
    return limits_around_zero(np.stack(maps))[1] or 1.0


def zoomed(pixels: np.ndarray, zoom: int) -> np.ndarray:
    """Each pixel as `zoom` × `zoom` pixels."""
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def as_colours(greys: np.ndarray) -> np.ndarray:
    """Greys (uint8) as red, green and blue."""
    return greys[..., None].repeat(3, axis=-1)


def coloured(values: np.ndarray, largest: float) -> np.ndarray:
    """Numbers from -largest to largest in colours (uint8)."""
    shares = np.asarray(Normalize(-largest, largest)(values))
    return matplotlib.colormaps[CMAP](shares, bytes=True)[..., :3]


def outlined(colours: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Colours with a thin line around what is ink (boolean, in as many pixels)."""
    inside = np.pad(ink, 1)
    inside = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return np.where((ink & ~inside)[..., None], np.uint8(OUTLINE), colours)


def over(colours: np.ndarray, greys: np.ndarray) -> np.ndarray:
    """Colours over a grey picture (both uint8): white stands for the picture itself."""
    light = DARKEST + (1 - DARKEST) / 255 * greys[..., None]
    return np.rint(colours * light).astype(np.uint8)


def draw_attributions(
    title: str,
    parts: Sequence[Part],
    names: Sequence[str],
    scales: Mapping[str, float],
    columns: int,
) -> Figure:
    """Cases in rows of `columns`, part by part; the `names` of the pictures stand above a part's
    first row. Below, a bar for each of the `scales`: what its colours mean, and the number (logits)
    that its ends stand for, beyond which there may be more."""
    side = next(len(case.pictures[0]) for part in parts for case in part.cases)
    width = len(names) * (side + GAP) - GAP
    inner = columns * (width + ACROSS) - ACROSS
    inner = max(inner, len(scales) * (LENGTH + ACROSS))
    title = wrapped(title, LARGE, inner)
    headings = [wrapped(part.heading, MEDIUM, inner) for part in parts]
    heights = [
        PART
        + LINE * heading.count("\n")
        + -(-len(part.cases) // columns) * (LINE + side + BETWEEN)
        + LINE
        for heading, part in zip(headings, parts, strict=True)
    ]
    top = MARGIN + TITLE + TITLE_LINE * title.count("\n")
    height = top + sum(heights) + BAR + SCALE + MARGIN
    figure = Figure(figsize=((2 * MARGIN + inner) / DPI, height / DPI), dpi=DPI)
    text = partial(figure.text, transform=None, va="top", parse_math=False)  # in pixels, upwards
    text(MARGIN, height - MARGIN, title, fontsize=LARGE)
    for part, heading, extent in zip(parts, headings, heights, strict=True):
        text(MARGIN, height - top, heading, fontsize=MEDIUM)
        first = top + PART + LINE * heading.count("\n")
        for index, case in enumerate(part.cases):
            row, column = divmod(index, columns)
            left = MARGIN + column * (width + ACROSS)
            upper = first + row * (LINE + side + BETWEEN) + LINE * (row > 0)
            text(left, height - upper, shortened(case.heading, SMALL, width), fontsize=SMALL)
            for number, (name, pixels) in enumerate(zip(names, case.pictures, strict=True)):
                x = left + number * (side + GAP)
                if row == 0:
                    text(x, height - upper - LINE, name, fontsize=SMALL, color="0.35")
                opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
                lower = upper + LINE * (1 + (row == 0)) + side
                figure.add_artist(Pixels(opaque, x, height - lower))
        top += extent
    for index, (name, largest) in enumerate(scales.items()):
        left = MARGIN + index * (LENGTH + ACROSS)
        text(left, height - top, name, fontsize=SMALL)
        below = height - top - LINE - BAR
        place = (left / (2 * MARGIN + inner), below / height)
        size = (LENGTH / (2 * MARGIN + inner), BAR / height)
        bar = figure.add_axes((*place, *size))
        mappable = ScalarMappable(Normalize(-largest, largest), CMAP)
        figure.colorbar(mappable, cax=bar, orientation="horizontal", extend="both")
        bar.tick_params(labelsize=SMALL)
        bar.set_xlabel("logits", fontsize=SMALL)
    return figure
