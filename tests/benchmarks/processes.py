"""What stages pay for imports, and what 64 feature maps cost, as one image and as axes each."""

import gc
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from stages.core.alexnet.network import alexnet
from stages.core.data.photo import read_photo
from stages.core.drawing.figure import DPI, save_figure
from stages.core.drawing.grids import Grid, draw_grids, limits_around_zero

from benchmarks.side_by_side import medians, print_table, seconds
from common import paths
from common.graph import commands

ROUNDS = 9
IMPORTS = "import numpy, matplotlib.figure"
DRAWING = ("learning_curves@logistic", "weight_grid@logistic", "weight_grid@cnn")


def stages_that_draw() -> None:
    taken = medians(
        ROUNDS,
        **{IMPORTS: lambda: seconds("python", "-c", IMPORTS)},
        **{name: partial(seconds, *commands()[name]) for name in DRAWING},
    )
    print_table(
        *(
            {"a process": name, "s": s, "ratio": s / taken[IMPORTS], "target": "≤ 1.5"}
            for name, s in taken.items()
        )
    )


def grid_of_maps(maps: np.ndarray, path: Path) -> None:
    grid = Grid("", maps, columns=8, zoom=max(1, 157 // maps.shape[-1]))
    limits = limits_around_zero(maps)
    save_figure(draw_grids("64 feature maps", [grid], limits, "gray", "activation"), path)


def axes_for_maps(maps: np.ndarray, path: Path) -> None:
    """The lesson's way, in a picture of the same size."""
    with Image.open(path) as picture:
        figure = Figure(figsize=[pixels / DPI for pixels in picture.size], dpi=DPI)
    for index, tile in enumerate(maps, start=1):
        figure.add_subplot(8, 8, index).imshow(tile, cmap="gray")
    figure.savefig(path)


def timed(draw: Callable[[np.ndarray, Path], None], maps: np.ndarray, path: Path) -> float:
    start = time.perf_counter()
    draw(maps, path)
    return time.perf_counter() - start


@torch.inference_mode()
def drawing() -> None:
    """AlexNet's maps of the photograph, after its first convolution and after its second."""
    features = alexnet(paths.ALEXNET).features
    conv1 = features[0](read_photo(paths.PHOTO))
    conv2_pool = features[1:6](conv1.clone())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "maps.png")
        for maps in (conv1[0].numpy(), conv2_pool[0, :64].numpy()):
            taken = medians(
                ROUNDS,
                grid=lambda maps=maps: timed(grid_of_maps, maps, path),
                axes=lambda maps=maps: timed(axes_for_maps, maps, path),
            )
            rows.append(
                {
                    "64 maps": f"{maps.shape[1]} × {maps.shape[2]}",
                    "as axes, s": taken["axes"],
                    "as a grid, s": taken["grid"],
                    "ratio": taken["grid"] / taken["axes"],
                    "target": "≤ 0.1",
                }
            )
    print_table(*rows)


if __name__ == "__main__":
    gc.enable()  # as it is while a stage runs, and in a notebook
    stages_that_draw()
    drawing()
