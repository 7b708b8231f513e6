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
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from stages.core.drawing.figure import DPI
from stages.core.drawing.tiles import tiled

SMALL, MEDIUM, LARGE = (pixels * 72 / DPI for pixels in (12, 15, 20))  # sizes of text, points

# All in pixels.
MARGIN = 24  # around everything
GAP = 4  # between tiles
LABEL = 15  # above a tile
HEADING = 26  # above a grid
TITLE = 36
BAR = 14  # width of the colour bar
NUMBERS = 90  # beside the colour bar
CHARACTER = 7.8  # width of a heading's character, about

GROUND = 229  # grey (0 to 255) between the tiles: white tiles stand out against it


class Grid(NamedTuple):
    """Tiles in rows of `columns`, with each element drawn as `zoom` × `zoom` pixels.

    `tiles` is N × height × width, or N × height × width × 3 for red, green and blue. Above each
    tile is its label: its number, from 0, unless `labels` are given.
    """

    heading: str
    tiles: np.ndarray
    columns: int
    zoom: int
    labels: Sequence[str] | None = None

    @property
    def rows(self) -> int:
        return -(-len(self.tiles) // self.columns)

    @property
    def pitch(self) -> tuple[int, int]:
        """Pixels from a tile to the one below it and to the one beside it."""
        height, width = self.tiles.shape[1:3]
        return height * self.zoom + GAP + LABEL, width * self.zoom + GAP

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


def percentile_limits(values: np.ndarray) -> tuple[float, float]:
    """Percentile limits for a colour scale: the 0.5th and the 99.5th."""
    low, high = values.size // 200, values.size - 1 - values.size // 200
    ordered = np.partition(values, (low, high), axis=None)
    return ordered[low].item(), ordered[high].item()


def compose(grid: Grid, scale: ScalarMappable) -> np.ndarray:
    """The whole grid as pixels, height × width × RGBA (uint8)."""
    shares = np.asarray(scale.norm(grid.tiles))
    if grid.tiles.ndim == 4:
        opaque = np.ones((*shares.shape[:3], 1), shares.dtype)
        colours = np.concatenate((shares, opaque), axis=3).clip(0, 1) * 255
    else:
        colours = scale.cmap(shares, bytes=True)
    zoomed = colours.astype(np.uint8).repeat(grid.zoom, axis=1).repeat(grid.zoom, axis=2)
    canvas = tiled(zoomed, grid.columns, (GAP + LABEL, GAP), GROUND)
    canvas = np.pad(canvas, ((LABEL, 0), (0, 0), (0, 0)), constant_values=GROUND)
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
    """Grids below one another, with one colour bar for all tiles.

    The colour scale runs between the `limits`; an end of the bar is pointed if there are values
    beyond it. In tiles of red, green and blue, each of the three is scaled by the same limits.
    """
    letters = max(len(title) * LARGE / MEDIUM, *(len(grid.heading) for grid in grids))
    inner = max(round(CHARACTER * letters), *(grid.size[1] for grid in grids))
    width = MARGIN + inner + MARGIN + BAR + NUMBERS
    height = MARGIN + TITLE + sum(HEADING + grid.size[0] + MARGIN for grid in grids)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    text = partial(figure.text, transform=None, va="top")  # in pixels, from the bottom
    text(MARGIN, height - MARGIN, title, fontsize=LARGE, parse_math=False)

    scale = ScalarMappable(Normalize(*limits), cmap)
    top = MARGIN + TITLE
    for grid in grids:
        text(MARGIN, height - top, grid.heading, fontsize=MEDIUM)
        top += HEADING
        figure.add_artist(Pixels(compose(grid, scale), MARGIN, height - top - grid.size[0]))
        for index in range(len(grid.tiles)):
            y, x = grid.place(index)
            label = grid.labels[index] if grid.labels else str(index)
            text(MARGIN + x, height - top - y + LABEL, label, fontsize=SMALL)
        top += grid.size[0] + MARGIN

    low, high = min(grid.tiles.min() for grid in grids), max(grid.tiles.max() for grid in grids)
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}
    length = min(360, height - 2 * MARGIN - TITLE - HEADING)
    bar = figure.add_axes(
        (
            (MARGIN + inner + MARGIN) / width,
            (height - MARGIN - TITLE - HEADING - length) / height,
            BAR / width,
            length / height,
        )
    )
    figure.colorbar(
        scale, cax=bar, extend=extend.get((low < limits[0], high > limits[1]), "neither")
    )
    bar.tick_params(labelsize=SMALL)
    bar.set_ylabel(unit, fontsize=SMALL)
    return figure
