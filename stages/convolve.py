"""Show what convolution and pooling do to a photograph: the shapes and the feature maps.

The convolutions are untrained, their weights drawn from a seed. Shapes: of n rows of input, a
kernel of k rows with padding p and stride s leaves floor((n + 2p - k) / s) + 1 (Dumoulin and
Visin, "A guide to convolution arithmetic for deep learning", 2016).
"""

from typing import Annotated

from stages.core.numerics import torch

from matplotlib.figure import Figure
from pydantic import Field, field_validator
from torch import nn
from torch.nn import functional as F

from stages import paths
from stages.core.command import InputError, run
from stages.core.figures import ColourMap, Grid, draw_grids, middle, save_figure
from stages.core.files import write_csv
from stages.core.params import Params, Seed, read_params
from stages.core.photo import read_photo

LARGEST_TILE = 320  # pixels
HEADER = ("convolution", "kernel", "bias", "input", "output", "pooled")
COUNTS = ("convolution_parameters", "pooling_parameters")


class Convolution(Params):
    name: Annotated[str, Field(pattern="^[a-z0-9_]+$")]
    in_channels: Annotated[int, Field(ge=1, le=64)]
    out_channels: Annotated[int, Field(ge=1, le=64)]
    kernel_size: Annotated[int, Field(ge=1)]
    padding: Annotated[int, Field(ge=0, le=64)]
    stride: Annotated[int, Field(ge=1, le=64)]


class ConvolveParams(Params):
    seed: Seed
    cmap: ColourMap
    convolutions: Annotated[list[Convolution], Field(min_length=1)]

    @field_validator("convolutions")
    @classmethod
    def named_apart(cls, convolutions: list[Convolution]) -> list[Convolution]:
        if len({convolution.name for convolution in convolutions}) < len(convolutions):
            raise ValueError("each should have a name of its own")
        return convolutions


def shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def draw(
    case: Convolution, maps: torch.Tensor, pooled: torch.Tensor, step: int, cmap: str
) -> Figure:
    """The channels before and after pooling, a pixel for the mean of `step` × `step` elements."""
    grids = [
        Grid(
            f"{title}: {shape(x[0]).replace('x', ' × ')}",
            F.avg_pool2d(x, step)[0].numpy(),
            columns,
            zoom=1,
        )
        for title, x, columns in (
            ("After the convolution", maps, 5),
            ("After 2 × 2 max pooling", pooled, 10),
        )
    ]
    title = (
        f"An untrained {case.kernel_size} × {case.kernel_size} convolution, "
        f"padding {case.padding}, stride {case.stride}"
    )
    return draw_grids(title, grids, middle(maps.numpy()), cmap, unit="activation")


@torch.inference_mode()
def main() -> None:
    params = read_params(paths.PARAMS, "convolve", ConvolveParams)
    photo = read_photo(paths.PHOTO)
    side = photo.shape[-1]
    rows = []
    for index, case in enumerate(params.convolutions):
        key = f"{paths.PARAMS}: convolve.convolutions.{index}"
        if case.kernel_size > side + 2 * case.padding:
            raise InputError(
                f"{key}.kernel_size is {case.kernel_size}; "
                f"the photograph with its padding has {side + 2 * case.padding} pixels"
            )
        torch.manual_seed(params.seed)  # equal sizes get equal weights
        layer = nn.Conv2d(
            case.in_channels, case.out_channels, case.kernel_size, case.stride, case.padding
        )
        of_photo = case.in_channels == photo.shape[1]
        x = photo if of_photo else torch.zeros(1, case.in_channels, side, side)
        maps = layer(x)
        if maps.shape[-1] < 2:
            raise InputError(f"{key}.stride is {case.stride}; it leaves too little to pool")
        pooled = F.max_pool2d(maps, 2)
        shapes = map(shape, (layer.weight, layer.bias, x, maps, pooled))
        num_parameters = layer.weight.numel() + layer.bias.numel()
        rows.append([case.name, *shapes, num_parameters, 0])
        if of_photo:
            figure = draw(case, maps, pooled, -(-side // LARGEST_TILE), params.cmap)
            save_figure(figure, paths.CONVOLUTION / f"{case.name}.png")
    write_csv(paths.CONVOLUTION / "shapes.csv", HEADER + COUNTS, rows)


if __name__ == "__main__":
    run(main)
