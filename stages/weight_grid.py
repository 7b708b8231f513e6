"""Draw the weights of a trained classifier: a tile for each digit, hidden unit, or kernel."""

import math

from stages.core.command import run

import numpy as np

from stages import paths
from stages.core.errors import InputError
from stages.core.figures import ColourMap, Grid, draw_grids, save_figure
from stages.core.params import Params, read_params
from stages.core.tensors import load_tensors

WIDTH = 720  # pixels, about, of a grid of digits
SHAPES: dict[str, dict[str, tuple[int | str, ...]]] = {
    "logistic": {"layer.weight": (10, 784), "layer.bias": (10,)},
    "mlp": {
        "layer1.weight": ("hidden", 784),
        "layer1.bias": ("hidden",),
        "layer2.weight": (10, "hidden"),
        "layer2.bias": (10,),
    },
    "cnn": {
        "conv1.weight": (4, 1, 3, 3),
        "conv1.bias": (4,),
        "conv2.weight": (8, 4, 3, 3),
        "conv2.bias": (8,),
        "fc.weight": (10, 392),
        "fc.bias": (10,),
    },
    "probe": {"layer.weight": (10, "features"), "layer.bias": (10,)},
}


class WeightGridParams(Params):
    cmap: ColourMap


def digit_grid(heading: str, weight: np.ndarray, columns: int) -> Grid:
    """A tile of 28 × 28 for each row of a linear layer's weight, N × 784."""
    return Grid(
        heading,
        weight.reshape(-1, 28, 28),
        columns,
        zoom=max(1, min(5, WIDTH // (28 * columns))),
    )


def feature_grid(weight: np.ndarray) -> Grid:
    """A tile for each row of a linear layer's weight, 10 × (256 · side · side): 16 × 16 squares,
    each with the side × side weights of a feature map."""
    side = math.isqrt(weight.shape[1] // 256)
    if weight.shape[1] != 256 * side * side:
        raise InputError(f"{weight.shape[1]} features are not those of 256 square feature maps")
    heading = f"The weights of 256 feature maps of {side} × {side}; their order shows no shape"
    squares = weight.reshape(-1, 16, 16, side, side).transpose(0, 1, 3, 2, 4)
    zoom = max(1, 140 // (16 * side))
    return Grid(heading, squares.reshape(-1, 16 * side, 16 * side), columns=5, zoom=zoom)


def kernel_grid(heading: str, weight: np.ndarray) -> Grid:
    """A row for each output of a convolution's weight, outputs × inputs × height × width.

    With a single input the tiles stand side by side in one row.
    """
    outputs, inputs, height, width = weight.shape
    labels = [f"{i} → {o}" for o in range(outputs) for i in range(inputs)]
    columns = inputs if inputs > 1 else outputs
    return Grid(heading, weight.reshape(-1, height, width), columns, zoom=32, labels=labels)


def grids(model: str, weights: dict[str, np.ndarray]) -> tuple[str, list[Grid]]:
    """The figure's title and its grids."""
    match model:
        case "logistic":
            heading = "The weight of every pixel: positive speaks for the digit, negative against"
            return "Logistic regression", [digit_grid(heading, weights["layer.weight"], columns=5)]
        case "mlp":
            weight = weights["layer1.weight"]
            title = f"MLP, number of hidden units: {len(weight)}"
            heading = "The weight of every pixel: positive excites the unit, negative inhibits it"
            return title, [digit_grid(heading, weight, columns=math.isqrt(len(weight)))]
        case "cnn":
            first = "conv1: 1 input channel → 4 output channels"
            second = "conv2: 4 input channels → 8 output channels, a row each"
            return "CNN: the 3 × 3 kernels of both convolutions", [
                kernel_grid(first, weights["conv1.weight"]),
                kernel_grid(second, weights["conv2.weight"]),
            ]
        case "probe":
            title = "Logistic regression on AlexNet's features"
            return title, [feature_grid(weights["layer.weight"])]
    raise KeyError(model)


def main(model: str) -> None:
    params = read_params(paths.PARAMS, "weight_grid", WeightGridParams)
    shapes = {name: ("float32", shape) for name, shape in SHAPES[model].items()}
    title, rows = grids(model, load_tensors(paths.weights(model), shapes))
    largest = max(np.abs(grid.tiles).max() for grid in rows)
    figure = draw_grids(title, rows, (-largest, largest), params.cmap, unit="weight")
    save_figure(figure, paths.figure(model, "weights"))


if __name__ == "__main__":
    run(main, models=paths.MODELS)
