"""Grids of feature maps or weights, drawn pixel by pixel.

A grid is one array, with a place for each tile. Its elements are drawn as whole pixels, so nothing
is resampled, and a grid takes a single image instead of a set of axes for each tile.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from stages.core.drawing.figure import DPI, text_width, wrapped
from stages.core.drawing.tiles import GROUND

SMALL, MEDIUM, LARGE = (pixels * 72 / DPI for pixels in (12, 15, 20))  # sizes of text, points

# All in pixels.
MARGIN = 24  # around everything
GAP = 4  # between tiles
APART = 32  # between tiles of two groups
LABEL = 15  # above a tile
HEADING, HEADING_LINE = 26, 19  # above a grid: its heading, and every line of it after the first
TITLE, TITLE_LINE = 36, 25
NARROWEST = 460  # of all grids together, so that the words above them have room
BAR, SHORTEST, LONGEST = 14, 120, 360  # width and length of a colour bar
NUMBERS = 76  # beside the colour bar

# What a pixel looks like if one of its three weights is not zero, or all of them alike.
CHANNELS = {
    "red": ((0, 0.5, 0.5), (1, 0.5, 0.5)),
    "green": ((0.5, 0, 0.5), (0.5, 1, 0.5)),
    "blue": ((0.5, 0.5, 0), (0.5, 0.5, 1)),
    "all three": ((0, 0, 0), (1, 1, 1)),
}


class Grid(NamedTuple):
    """Tiles in rows of `columns`, with each element drawn as `zoom` × `zoom` pixels.

    `tiles` is N × height × width, or N × height × width × 3 for red, green and blue. Where it is
    NaN, nothing is drawn; bytes (uint8) are drawn as they are. Above each tile is its label: its
    number, from 0, unless `labels` are given. `beside`: words to the left of each row, which may
    have several lines. From the column `second` on, tiles stand apart, as a group of their own.
    """

    heading: str
    tiles: np.ndarray
    columns: int
    zoom: int
    labels: Sequence[str] | None = None
    beside: Sequence[str] = ()
    second: int | None = None

    @property
    def names(self) -> list[str]:
        return [*self.labels] if self.labels else [str(index) for index in range(len(self.tiles))]

    @property
    def rows(self) -> int:
        return -(-len(self.tiles) // self.columns)

    @property
    def pitch(self) -> tuple[int, int]:
        """Pixels from a tile to the one below it and to the one beside it: small tiles stand as far
        apart as their labels need."""
        height, width = self.tiles.shape[1:3]
        widest = max(round(text_width(name, SMALL)) for name in self.names)
        return height * self.zoom + GAP + LABEL, max(width * self.zoom, widest) + GAP

    @property
    def indent(self) -> int:
        """Pixels to the left of the tiles, for the words beside them."""
        lines = [line for words in self.beside for line in words.split("\n")]
        return max((round(text_width(line, SMALL)) + 3 * GAP for line in lines), default=0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, without the heading."""
        down, across = self.pitch
        between = 0 if self.second is None else APART
        return self.rows * down - GAP, self.indent + self.columns * across - GAP + between

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and column, in pixels, of the upper left corner of each tile."""
        down, across = self.pitch
        second = self.columns if self.second is None else self.second
        cells = (divmod(index, self.columns) for index in range(len(self.tiles)))
        return [
            (row * down + LABEL, self.indent + column * across + APART * (column >= second))
            for row, column in cells
        ]


def limits_around_zero(values: np.ndarray) -> tuple[float, float]:
    """Limits for a colour scale: zero is in the middle, or at the lower end if nothing is negative.

    One value in a hundred may lie beyond them, so that a few large ones do not leave the rest pale.
    """
    sizes = np.abs(values)
    place = sizes.size - 1 - sizes.size // 100
    largest = np.partition(sizes, place, axis=None)[place].item()
    return -largest if values.min() < 0 else 0.0, largest


def compose(grid: Grid, scale: ScalarMappable) -> np.ndarray:
    """The whole grid as pixels, height × width × RGBA (uint8)."""
    if grid.tiles.dtype == np.uint8:
        colours = grid.tiles if grid.tiles.ndim == 4 else grid.tiles[..., None].repeat(3, axis=3)
    elif grid.tiles.ndim == 4:
        colours = (np.asarray(scale.norm(grid.tiles)).clip(0, 1) * 255).astype(np.uint8)
    else:
        colours = scale.cmap(np.asarray(scale.norm(grid.tiles)), bytes=True)[..., :3]
        colours[np.isnan(grid.tiles)] = GROUND
    zoomed = colours.repeat(grid.zoom, axis=1).repeat(grid.zoom, axis=2)
    height, width = zoomed.shape[1:3]
    canvas = np.full((*grid.size, 4), GROUND, np.uint8)
    canvas[..., 3] = 255
    for tile, (y, x) in zip(zoomed, grid.places, strict=True):
        canvas[y : y + height, x : x + width, :3] = tile
    return canvas


class Pixels(Artist):
    """RGBA pixels, drawn unchanged, their lower left corner `x` pixels from the left and `y` from
    the bottom.

    Matplotlib's figimage does the same, but resamples first, which takes most of the time.
    """

    def __init__(self, pixels: np.ndarray, x: float, y: float) -> None:
        super().__init__()
        self.pixels, self.x, self.y = pixels, x, y

    def draw(self, renderer: RendererBase) -> None:
        renderer.draw_image(renderer.new_gc(), self.x, self.y, self.pixels[::-1])  # rows go upwards


def draw_grids(
    title: str,
    grids: Sequence[Grid],
    limits: tuple[float, float] = (0, 1),
    cmap: str = "gray",
    unit: str = "",
) -> Figure:
    """Grids below one another, with one colour scale for all numbers in them, stated by a bar.

    The scale runs between the `limits`; an end of the bar is pointed if there are values beyond it.
    In tiles of red, green and blue, each of the three is scaled by the same limits, and there is a
    bar for each, and for all three alike. Where there are only bytes, there is no bar.
    """
    numbers = [grid.tiles for grid in grids if grid.tiles.dtype != np.uint8]
    low = min(map(np.nanmin, numbers), default=limits[0])
    high = max(map(np.nanmax, numbers), default=limits[1])
    in_colour = any(tiles.ndim == 4 for tiles in numbers)
    scales: dict[str, Colormap | str] = {"": cmap} if numbers else {}
    if in_colour:
        scales = {
            name: LinearSegmentedColormap.from_list(name, ends) for name, ends in CHANNELS.items()
        }
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (low < limits[0], high > limits[1]), "neither"
    )

    inner = max(NARROWEST, *(grid.size[1] for grid in grids))
    title = wrapped(title, LARGE, inner)
    headings = [wrapped(grid.heading, MEDIUM, inner) for grid in grids]
    top = MARGIN + TITLE + TITLE_LINE * title.count("\n")
    first = top + HEADING + HEADING_LINE * headings[0].count("\n")
    bars = MARGIN + len(scales) * (BAR + GAP) + NUMBERS if scales else MARGIN
    width = MARGIN + inner + bars
    below = round(max(text_width(name, SMALL) for name in scales)) + GAP if in_colour else 0
    height = top + sum(
        HEADING + HEADING_LINE * heading.count("\n") + grid.size[0] + MARGIN
        for heading, grid in zip(headings, grids, strict=True)
    )
    height = max(height, first + SHORTEST + below + MARGIN) if scales else height
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    text = partial(figure.text, transform=None, va="top", parse_math=False)  # in pixels, upwards
    text(MARGIN, height - MARGIN, title, fontsize=LARGE)

    norm = Normalize(*limits)
    scale = ScalarMappable(norm, cmap)
    for heading, grid in zip(headings, grids, strict=True):
        text(MARGIN, height - top, heading, fontsize=MEDIUM)
        top += HEADING + HEADING_LINE * heading.count("\n")
        figure.add_artist(Pixels(compose(grid, scale), MARGIN, height - top - grid.size[0]))
        for name, (y, x) in zip(grid.names, grid.places, strict=True):
            text(MARGIN + x, height - top - y + LABEL, name, fontsize=SMALL)
        for row, words in enumerate(grid.beside):
            y = row * grid.pitch[0] + LABEL
            text(MARGIN + GAP, height - top - y, words, fontsize=SMALL, linespacing=1.4)
        top += grid.size[0] + MARGIN

    length = min(LONGEST, height - first - MARGIN - below)
    for index, (name, colours) in enumerate(scales.items()):
        left = MARGIN + inner + MARGIN + index * (BAR + GAP)
        place = (left / width, (height - first - length) / height, BAR / width, length / height)
        bar = figure.add_axes(place)
        figure.colorbar(ScalarMappable(norm, colours), cax=bar, extend=extend)
        bar.tick_params(labelsize=SMALL)
        if index < len(scales) - 1:
            bar.set_yticks([])
        else:
            bar.set_ylabel(unit, fontsize=SMALL)
        if name:
            text(left, height - first - length - GAP, name, fontsize=SMALL, rotation=90)
    return figure
