"""Show what convolution and pooling do to a photograph: shapes and feature maps.

The convolutions are untrained, with weights drawn from a seed. Shapes: a kernel of k rows with
padding p and stride s turns n rows into floor((n + 2p - k) / s) + 1 (Dumoulin and Visin, "A guide
to convolution arithmetic for deep learning", 2016).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field
from torch.nn import functional as F

from stages.core.base.errors import InputError
from stages.core.base.files import new_folder, write_csv
from stages.core.base.params import PARAMS, Params, Seed, read_params
from stages.core.base.progress import progress
from stages.core.data.photo import read_photo
from stages.core.drawing.figure import ColourMap, save_figure
from stages.core.drawing.grids import GAP, GROUND, Grid, draw_grids, limits_around_zero
from stages.core.exact.layers import Conv2d, block_means, initialize
from stages.core.exact.random import Purpose, Words

PHOTO = 180  # side of a whole channel of the photograph, at most; all in pixels
WIDTH = 860  # of a row of feature maps, at most
PIECE = 16  # side of the piece of the photograph that is drawn pixel by pixel, about
ENLARGED = 200  # side of that piece as it is drawn, about
CHANNELS = ("red", "green", "blue")
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


def draw(
    convolution: Convolution,
    photo: torch.Tensor,
    maps: torch.Tensor,
    pooled: torch.Tensor,
    cmap: str,
) -> Figure:
    """The channels of the photograph, and the feature maps before and after pooling; then a piece
    of the edge, and of the maps there, which shows what padding and stride do."""
    kernel, padding, stride = convolution.kernel_size, convolution.padding, convolution.stride
    title = f"An untrained {kernel} × {kernel} convolution: padding {padding}, stride {stride}"
    grids = [*whole(convolution, photo, maps, pooled), *at_the_edge(convolution, photo, maps)]
    return draw_grids(title, grids, limits_around_zero(maps.numpy()), cmap, unit="activation")


def in_a_row(count: int, width: int) -> int:
    """How many of `count` tiles, so many pixels wide, stand in a row."""
    return max(1, min(count, WIDTH // (width + GAP)))


def greys(photo: torch.Tensor) -> np.ndarray:
    return (photo[0] * 255).round().byte().numpy()


def whole(
    convolution: Convolution, photo: torch.Tensor, maps: torch.Tensor, pooled: torch.Tensor
) -> Iterator[Grid]:
    """All at the scale of the photograph: if it is large, each pixel is the mean of some of theirs,
    and if it is small, enlarged."""
    side = photo.shape[-1]
    step, zoom = -(-side // PHOTO), max(1, PHOTO // side)

    def small(pictures: torch.Tensor) -> torch.Tensor:
        return block_means(pictures, step)

    heading = f"The photograph: 3 channels of {side} × {side}"
    if step > 1:
        heading += f", drawn at 1/{step} of their size, like the feature maps"
    yield Grid(heading, greys(small(photo)), 3, zoom, CHANNELS)
    formula = (
        f"⌊({side} + 2 · {convolution.padding} − {convolution.kernel_size}) / "
        f"{convolution.stride}⌋ + 1 = {maps.shape[-1]}"
    )
    for title, pictures, why in (
        ("After the convolution", maps, f", as {formula}"),
        ("After 2 × 2 max pooling", pooled, ""),
    ):
        _, channels, height, width = pictures.shape
        tiles = small(pictures)[0].numpy()
        columns = in_a_row(channels, tiles.shape[-1] * zoom)
        yield Grid(f"{title}: {channels} × {height} × {width}{why}", tiles, columns, zoom)


def at_the_edge(
    convolution: Convolution, photo: torch.Tensor, maps: torch.Tensor
) -> Iterator[Grid]:
    """A piece of the upper edge, pixel by pixel, where it is brightest: there the zeros of the
    padding make a difference. All places are in half pixels of the photograph, since an answer of
    the kernel, `stride` × `stride`, is drawn over the middle of what the kernel sees."""
    kernel, padding, stride = convolution.kernel_size, convolution.padding, convolution.stride
    channels = greys(photo)
    padded = np.pad(channels, ((0, 0), (padding, padding), (padding, padding)))
    first = max(0, kernel - stride) - 2 * padding  # where the first answer starts
    count = min(maps.shape[-1], max(2, PIECE // stride))  # answers across

    sums = padded[:, padding : padding + PIECE].sum((0, 1), dtype=np.int64)
    brightness = np.convolve(sums, np.ones(min(count * stride, len(sums)), np.int64), "valid")
    seen = first // 2 + padding + stride * np.arange(maps.shape[-1] - count + 1)
    brightest = brightness[seen.clip(max=len(brightness) - 1)].argmax().item()

    down = max(count, (2 * PIECE - first) // (2 * stride))
    rows = np.arange(min(first, -2 * padding), first + 2 * stride * down)
    columns = first + 2 * stride * brightest + np.arange(2 * stride * count)
    zoom = max(1, ENLARGED // max(len(rows), len(columns)))

    def piece(pictures: np.ndarray, start: int, pitch: int, blank: float) -> np.ndarray:
        """Of pictures N × height × width that start at `start`, each pixel a square of `pitch`."""
        down, across = (rows - start) // pitch, (columns - start) // pitch
        side = pictures.shape[-1]
        found = pictures[:, down.clip(0, side - 1)][:, :, across.clip(0, side - 1)]
        found[:, (down < 0) | (down >= side)] = blank
        found[:, :, (across < 0) | (across >= side)] = blank
        return found

    above = f"with {padding} row{'s' * (padding > 1)} of zeros above" if padding else "not padded"
    heading = f"A piece of the photograph's upper edge, pixel by pixel, {above}"
    yield Grid(heading, piece(padded, -2 * padding, 2, GROUND), 3, zoom, CHANNELS)
    size = f"{stride} × {stride} pixels" if stride > 1 else "pixel"
    heading = f"The same piece after the convolution: one pixel for every {size} of the photograph"
    shown = maps[0, : in_a_row(maps.shape[1], len(columns) * zoom)].numpy()
    yield Grid(heading, piece(shown, first, 2 * stride, np.nan), len(shown), zoom)


@torch.inference_mode()
def main(photo: Path, out: Path) -> None:
    params = read_params("convolve", ConvolveParams)
    pixels = read_photo(photo)
    side = pixels.shape[-1]
    for name, convolution in params.convolutions.items():
        padded = side + 2 * convolution.padding
        if padded - convolution.kernel_size < convolution.stride:
            raise InputError(
                f"{PARAMS}: convolve.convolutions.{name}: a kernel of {convolution.kernel_size} "
                f"with stride {convolution.stride} on {padded} pixels leaves less than the 2 × 2 "
                "that pooling needs"
            )
    total = len(params.convolutions)
    with new_folder(out) as folder, progress(total, "convolutions") as done:
        rows = []
        for name, convolution in params.convolutions.items():
            layer = Conv2d(**convolution.model_dump())
            initialize(layer, Words(params.seed, Purpose.WEIGHTS))  # equal sizes, equal weights
            of_photo = convolution.in_channels == pixels.shape[1]
            x = pixels if of_photo else torch.zeros(1, convolution.in_channels, side, side)
            maps = layer(x)
            pooled = F.max_pool2d(maps, 2)
            shapes = map(shape, (layer.weight, layer.bias, x, maps, pooled))
            rows.append([name, *shapes, sum(p.numel() for p in layer.parameters()), 0])
            if of_photo:
                figure = draw(convolution, pixels, maps, pooled, params.cmap)
                save_figure(figure, folder / f"{name}.png")
            done.update(1)
        write_csv(folder / "shapes.csv", HEADER, rows)


if __name__ == "__main__":
    run(main)
