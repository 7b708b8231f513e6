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
from stages.core.drawing.tiles import tiled

SMALL, MEDIUM, LARGE = (pixels * 72 / DPI for pixels in (12, 15, 20))  # sizes of text, points

# All in pixels.
MARGIN = 24  # around everything
GAP = 4  # between tiles
LABEL = 15  # above a tile
HEADING, HEADING_LINE = 26, 19  # above a grid: its heading, and every line of it after the first
TITLE, TITLE_LINE = 36, 25
NARROWEST = 460  # of all grids together, so that the words above them have room
BAR, SHORTEST, LONGEST = 14, 120, 360  # width and length of a colour bar
NUMBERS = 76  # beside the colour bar

GROUND = 229  # grey (0 to 255) between the tiles: white tiles stand out against it

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
    NaN, nothing is drawn; greys (N × height × width, uint8) are drawn as they are. Above each tile
    is its label: its number, from 0, unless `labels` are given.
    """

    heading: str
    tiles: np.ndarray
    columns: int
    zoom: int
    labels: Sequence[str] | None = None

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
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, without the heading."""
        down, across = self.pitch
        return self.rows * down - GAP, self.columns * across - GAP

    def place(self, index: int) -> tuple[int, int]:
        """Row and column, in pixels, of the upper left corner of a tile."""
        row, column = divmod(index, self.columns)
        down, across = self.pitch
        return row * down + LABEL, column * across


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
        colours = grid.tiles[..., None].repeat(4, axis=3)
    elif grid.tiles.ndim == 4:
        shares = np.pad(np.asarray(scale.norm(grid.tiles)), ((0, 0), (0, 0), (0, 0), (0, 1)))
        colours = (shares.clip(0, 1) * 255).astype(np.uint8)
    else:
        colours = scale.cmap(np.asarray(scale.norm(grid.tiles)), bytes=True)
        colours[np.isnan(grid.tiles)] = GROUND
    zoomed = colours.repeat(grid.zoom, axis=1).repeat(grid.zoom, axis=2)
    beside = grid.pitch[1] - zoomed.shape[2]
    canvas = tiled(zoomed, grid.columns, (GAP + LABEL, beside), GROUND)
    canvas = np.pad(
        canvas, ((LABEL, 0), (0, grid.size[1] - canvas.shape[1]), (0, 0)), constant_values=GROUND
    )
    canvas[..., 3] = 255
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
    title: str, grids: Sequence[Grid], limits: tuple[float, float], cmap: str, unit: str
) -> Figure:
    """Grids below one another, with one colour scale for all numbers in them, stated by a bar.

    The scale runs between the `limits`; an end of the bar is pointed if there are values beyond it.
    In tiles of red, green and blue, each of the three is scaled by the same limits, and there is a
    bar for each, and for all three alike.
    """
    numbers = [grid.tiles for grid in grids if grid.tiles.dtype != np.uint8]
    low, high = min(map(np.nanmin, numbers)), max(map(np.nanmax, numbers))
    in_colour = numbers[0].ndim == 4
    scales: dict[str, Colormap | str] = {"": cmap}
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
    width = MARGIN + inner + MARGIN + len(scales) * (BAR + GAP) + NUMBERS
    below = round(max(text_width(name, SMALL) for name in scales)) + GAP if in_colour else 0
    height = top + sum(
        HEADING + HEADING_LINE * heading.count("\n") + grid.size[0] + MARGIN
        for heading, grid in zip(headings, grids, strict=True)
    )
    height = max(height, first + SHORTEST + below + MARGIN)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    text = partial(figure.text, transform=None, va="top", parse_math=False)  # in pixels, upwards
    text(MARGIN, height - MARGIN, title, fontsize=LARGE)

    norm = Normalize(*limits)
    scale = ScalarMappable(norm, cmap)
    for heading, grid in zip(headings, grids, strict=True):
        text(MARGIN, height - top, heading, fontsize=MEDIUM)
        top += HEADING + HEADING_LINE * heading.count("\n")
        figure.add_artist(Pixels(compose(grid, scale), MARGIN, height - top - grid.size[0]))
        for index, name in enumerate(grid.names):
            y, x = grid.place(index)
            text(MARGIN + x, height - top - y + LABEL, name, fontsize=SMALL)
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
        if name:
            text(left, height - first - length - GAP, name, fontsize=SMALL, rotation=90)
    bar.set_ylabel(unit, fontsize=SMALL)
    return figure
