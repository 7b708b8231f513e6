"""Show what convolution and pooling do to a photograph: shapes and feature maps.

The convolutions are untrained, with weights drawn from a seed. Shapes: a kernel of k rows with
padding p and stride s turns n rows into floor((n + 2p - k) / s) + 1 (Dumoulin and Visin, "A guide
to convolution arithmetic for deep learning", 2016).
"""

from pathlib import Path
from typing import Annotated

from stages.core.base.command import run
import torch

from matplotlib.figure import Figure
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from stages.core.base.errors import InputError
from stages.core.base.files import new_folder, write_csv
from stages.core.base.params import PARAMS, Params, Seed, read_params
from stages.core.data.photo import read_photo
from stages.core.drawing.figure import ColourMap, save_figure
from stages.core.drawing.grids import Grid, draw_grids, percentile_limits

LARGEST_TILE, SMALLEST_TILE = 320, 160  # pixels
HEADER = (
    "convolution",
    "kernel",
    "bias",
    "input",
    "output",
    "pooled",
    "convolution_parameters",
    "pooling_parameters",
)


class Convolution(Params):
    in_channels: Annotated[int, Field(ge=1, le=64)]
    out_channels: Annotated[int, Field(ge=1, le=64)]
    kernel_size: Annotated[int, Field(ge=1)]
    padding: Annotated[int, Field(ge=0, le=64)]
    stride: Annotated[int, Field(ge=1, le=64)]


class ConvolveParams(Params):
    seed: Seed
    cmap: ColourMap
    convolutions: dict[Annotated[str, Field(pattern="^[a-z0-9_]{1,50}$")], Convolution]


def shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def draw(convolution: Convolution, maps: torch.Tensor, pooled: torch.Tensor, cmap: str) -> Figure:
    """The channels before and after pooling, on one colour scale. Large maps are shrunk, a pixel
    for the mean of `step` × `step` elements; small ones are enlarged."""
    step = -(-maps.shape[-1] // LARGEST_TILE)
    zoom = max(1, SMALLEST_TILE // maps.shape[-1])
    grids = []
    for title, x, columns in (
        ("After the convolution", maps, 5),
        ("After 2 × 2 max pooling", pooled, 10),
    ):
        _, channels, height, width = x.shape
        heading = f"{title}: {channels} × {height} × {width}"
        tiles = F.avg_pool2d(x, step)[0].numpy()
        grids.append(Grid(heading, tiles, min(columns, channels), zoom))
    title = (
        f"An untrained {convolution.kernel_size} × {convolution.kernel_size} convolution, "
        f"padding {convolution.padding}, stride {convolution.stride}"
    )
    return draw_grids(title, grids, percentile_limits(maps.numpy()), cmap, unit="activation")


@torch.inference_mode()
def main(photo: Path, out: Path) -> None:
    params = read_params("convolve", ConvolveParams)
    pixels = read_photo(photo)
    side = pixels.shape[-1]
    with new_folder(out) as folder:
        rows = []
        for name, convolution in params.convolutions.items():
            padded = side + 2 * convolution.padding
            if padded - convolution.kernel_size < convolution.stride:
                raise InputError(
                    f"{PARAMS}: convolve.convolutions.{name}: a kernel of "
                    f"{convolution.kernel_size} with stride {convolution.stride} on {padded} "
                    "pixels leaves less than the 2 × 2 that pooling needs"
                )
            torch.manual_seed(params.seed)  # the same sizes get the same weights
            layer = nn.Conv2d(**convolution.model_dump())
            of_photo = convolution.in_channels == pixels.shape[1]
            x = pixels if of_photo else torch.zeros(1, convolution.in_channels, side, side)
            maps = layer(x)
            pooled = F.max_pool2d(maps, 2)
            shapes = map(shape, (layer.weight, layer.bias, x, maps, pooled))
            rows.append([name, *shapes, sum(p.numel() for p in layer.parameters()), 0])
            if of_photo:
                figure = draw(convolution, maps, pooled, params.cmap)
                save_figure(figure, folder / f"{name}.png")
        write_csv(folder / "shapes.csv", HEADER, rows)


if __name__ == "__main__":
    run(main)
