"""Draw the weights of a trained model: a tile for each kernel, and for each linear unit that sees
the input directly."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from stages.core.base.command import run

import numpy as np

from stages.core.base.labels import one_of
from stages.core.base.params import Params, read_params
from stages.core.drawing.figure import ColourMap, names_in_font, save_figure, shortened
from stages.core.drawing.grids import SMALL, Grid, draw_grids
from stages.core.drawing.tiles import tiled
from stages.core.learning.layers import Conv, Linear, Shape
from stages.core.learning.trained import TrainedModel, load_model

WIDTH = 720  # of a grid, about; all in pixels
UNIT = 140  # of a unit's tile, at most
SMALLEST_KERNEL, LARGEST_KERNEL = 48, 96  # below the smallest, labels do not fit
MOST_UNITS = 26  # in a row
MOST_KERNELS = 16  # in a row, and in a column


class WeightGridParams(Params):
    cmap: ColourMap


def unit_grid(weight: np.ndarray, shape: Shape, seen: str, labels: Sequence[str] | None) -> Grid:
    """A tile for each unit of a linear layer (`weight`: units × inputs), which shows the weights of
    the input (`shape`: channels × height × width), the channels side by side in a square. `labels`:
    of the units, if they are logits."""
    channels, height, width = shape
    square = math.ceil(math.sqrt(channels))
    tiles = np.stack(
        [tiled(maps, square, (0, 0), 0) for maps in weight.reshape(-1, channels, height, width)]
    )
    if channels > 1:
        heading = (
            f"Weights on {channels} feature maps of {height} × {width}, in no particular order: "
            "no shape to see"
        )
    elif labels:
        heading = (
            f"The weight of every {seen}: positive speaks for the {one_of(labels)}, "
            "negative against it"
        )
    else:
        heading = f"The weight of every {seen}: positive excites the unit, negative inhibits it"
    columns = 5 if labels else min(math.isqrt(len(weight)), MOST_UNITS)
    side = tiles.shape[2]
    zoom = max(1, min(UNIT // side, WIDTH // (side * columns)))
    names = labels and [shortened(name, SMALL, side * zoom) for name in names_in_font(labels)]
    return Grid(heading, tiles, columns, zoom, names)


def kernel_grid(name: str, weight: np.ndarray) -> Grid:
    """A convolution's kernels (`weight`: outputs × inputs × height × width): a column for each
    output channel, of which there are usually more, with a tile for each input channel."""
    outputs, inputs, _, side = weight.shape
    heading = (
        f"{name}: {inputs} input channel{'s' * (inputs > 1)} → "
        f"{outputs} output channel{'s' * (outputs > 1)}"
    )
    shown = weight[:MOST_KERNELS, :MOST_KERNELS]
    if shown.shape != weight.shape:
        heading += f", the first {MOST_KERNELS} of each at most"
    if inputs > 1:
        heading += ", one column each"
    outputs, inputs, *_ = shown.shape
    labels = [f"{i} → {o}" for i in range(inputs) for o in range(outputs)]
    zoom = min(LARGEST_KERNEL // side, WIDTH // (side * outputs))
    zoom = max(zoom, math.ceil(SMALLEST_KERNEL / side))
    tiles = shown.swapaxes(0, 1).reshape(-1, side, side)
    return Grid(heading, tiles, outputs, zoom, labels)


def grids(model: TrainedModel) -> Iterator[Grid]:
    """A grid for each convolution, and for a linear layer if it is the first layer with weights."""
    is_first = True
    for name, layer in model.layers.items():
        parameters = model.parameters(name)
        if isinstance(layer, Conv):
            yield kernel_grid(name, parameters["weight"])
        elif isinstance(layer, Linear) and is_first:
            shape, _ = model.shapes[name]
            seen = "pixel" if shape == model.input_shape else "block of pixels"
            is_last = name == [*model.layers][-1]
            labels = model.labels if is_last else None
            yield unit_grid(parameters["weight"], shape, seen, labels)
        is_first = is_first and not parameters


def main(name: str, trained: Path, weights: Path) -> None:
    params = read_params("weight_grid", WeightGridParams)
    title = read_params(f"models.{name}.title", str)
    rows = [*grids(load_model(trained))]
    largest = max(np.abs(grid.tiles).max() for grid in rows)
    figure = draw_grids(title, rows, (-largest, largest), params.cmap, unit="weight")
    save_figure(figure, weights)


if __name__ == "__main__":
    run(main)
