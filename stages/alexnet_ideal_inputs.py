"""Make the images that would excite channels of AlexNet's convolutions most, each as large as what
a unit sees."""

from pathlib import Path
from typing import Annotated, NamedTuple

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from pydantic import Field
from torch import nn

from stages.core.alexnet.network import MEAN, alexnet, normalized
from stages.core.base.files import new_folder
from stages.core.base.params import read_params
from stages.core.base.progress import progress
from stages.core.base.tensors import save_tensors
from stages.core.drawing.figure import save_figure
from stages.core.drawing.grids import Grid, draw_grids
from stages.core.interpretation.alexnet import alexnet_convolutions
from stages.core.interpretation.ascent import AscentParams, ascend, of_units, to_bytes
from stages.core.parallel.threads import in_threads

BATCH = 3  # images at a time through the network
COLUMNS = 6
TILE = 165  # side of an image in the figure, pixels: 15 × 11
SMOOTH = 32  # side from which on images are scaled smoothly; below, each pixel is a block


class AlexNetIdealInputsParams(AscentParams):
    channels: Annotated[int, Field(ge=1, le=64)]


class Job(NamedTuple):
    """Images to make: for some channels of a layer."""

    layer: str
    channels: range


def unpadded(weights: Path) -> nn.Sequential:
    """AlexNet's features, frozen, without the first convolution's padding: so what the unit in the
    middle of a map sees is the image, where that is as large, and no padding."""
    network = alexnet(weights).requires_grad_(False).features
    network[0].padding = 0
    return network


def draw(images: dict[str, np.ndarray]) -> Figure:
    """A grid for each convolution (N × side × side × 3, uint8)."""
    grids = []
    for name, pixels in images.items():
        side = pixels.shape[1]
        scaling = Image.Resampling.BICUBIC if side >= SMOOTH else Image.Resampling.NEAREST
        scaled = [Image.fromarray(image).resize((TILE, TILE), scaling) for image in pixels]
        tiles = np.stack([np.asarray(image) for image in scaled])
        grids.append(Grid(f"{name}: a unit sees {side} × {side} pixels", tiles, COLUMNS, 1))
    return draw_grids("What would excite the first channels of AlexNet's convolutions most", grids)


def main(weights: Path, out: Path) -> None:
    params = read_params("alexnet_ideal_inputs", AlexNetIdealInputsParams)
    network = unpadded(weights)
    layers = alexnet_convolutions()

    def images_for(job: Job) -> np.ndarray:
        layer = layers[job.layer]
        side = layer.field.size
        ground = np.broadcast_to(np.array(MEAN, np.float32)[:, None, None], (3, side, side))

        def up_to(x: torch.Tensor) -> torch.Tensor:
            return network[: layer.place + 1](normalized(x))

        with torch.no_grad():
            _, *shape = up_to(torch.zeros(1, 3, side, side)).shape
        wanted = of_units(shape, job.channels)
        return to_bytes(ascend(up_to, wanted, ground, params.for_field(side)))

    todo = [  # what takes longest comes first
        Job(name, range(first, min(first + BATCH, params.channels)))
        for name in reversed(layers)
        for first in range(0, params.channels, BATCH)
    ]
    found: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    with progress(len(layers) * params.channels, "images") as done:
        for job, images in zip(todo, in_threads(images_for, todo), strict=True):
            found[job.layer].append(images.transpose(0, 2, 3, 1))
            done.update(len(job.channels))
    made = {name: np.concatenate(parts) for name, parts in found.items()}
    with new_folder(out) as folder:
        save_tensors(made, folder / "images.safetensors")
        save_figure(draw(made), folder / "images.png")


if __name__ == "__main__":
    run(main)
