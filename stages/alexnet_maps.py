"""Run AlexNet's trained convolutions over the photograph, and draw their feature maps."""

from pathlib import Path

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from torchvision.models import AlexNet

from stages.core.alexnet.network import alexnet, check_side, normalized
from stages.core.base.files import new_folder, write_csv
from stages.core.base.params import Params, read_params
from stages.core.base.progress import progress
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.data.photo import read_photo
from stages.core.drawing.figure import ColourMap, save_figure
from stages.core.drawing.grids import Grid, draw_grids, limits_around_zero

FIRST = 64  # feature maps that are drawn
FILTER_COLUMNS, MAP_COLUMNS = 8, 6
CONV1, CONV1_RELU, CONV2_POOL = 0, 1, 5  # indices into `features`


class AlexNetMapsParams(Params):
    normalize: bool
    cmap: ColourMap


def draw_filters(kernels: np.ndarray) -> Figure:
    """The kernels of the first convolution (64 × 3 × 11 × 11) in colour, zero as middle grey."""
    tiles = kernels.transpose(0, 2, 3, 1)
    heading = "64 filters of 3 × 11 × 11, the weights on red, green and blue in these colours"
    grid = Grid(heading, tiles, FILTER_COLUMNS, zoom=10)
    title = "The filters of AlexNet's first convolution"
    return draw_grids(title, [grid], limits_around_zero(tiles), "gray", unit="weight")


def draw_maps(title: str, maps: torch.Tensor, cmap: str) -> Figure:
    """The first 64 feature maps of 1 × channels × height × width."""
    _, channels, height, width = maps.shape
    tiles = maps[0, :FIRST].numpy()
    which = f"The first {FIRST} of {channels}" if channels > FIRST else f"{channels}"
    heading = f"{which} feature maps, {height} × {width} each"
    grid = Grid(heading, tiles, MAP_COLUMNS, zoom=max(1, 157 // width))
    return draw_grids(title, [grid], limits_around_zero(tiles), cmap, unit="activation")


@torch.inference_mode()
def main(weights: Path, photo: Path, out: Path) -> None:
    params = read_params("alexnet_maps", AlexNetMapsParams)
    pixels = read_photo(photo)
    check_side(pixels.shape[-1], photo)
    with torch.device("meta"):
        network = AlexNet()  # as torchvision describes it
    x = normalized(pixels) if params.normalize else pixels
    outputs = []
    for layer in alexnet(weights).features:
        x = layer(x.clone())  # the ReLUs overwrite their input
        outputs.append(x)
    shapes = [
        (
            f"features.{index}",
            type(layer).__name__,
            "x".join(map(str, output.shape)),
            sum(parameter.numel() for parameter in layer.parameters()),
        )
        for index, (layer, output) in enumerate(zip(network.features, outputs, strict=True))
    ]
    kernels = load_tensors(weights)[f"features.{CONV1}.weight"]
    figures = {
        "filters": draw_filters(kernels),
        "conv1": draw_maps("After AlexNet's first convolution", outputs[CONV1], params.cmap),
        "conv1_relu": draw_maps(
            "After AlexNet's first convolution and its ReLU", outputs[CONV1_RELU], params.cmap
        ),
        "conv2_pool": draw_maps(
            "After AlexNet's second convolution, ReLU and pooling", outputs[CONV2_POOL], params.cmap
        ),
    }
    with new_folder(out) as folder, progress(len(figures), "figures") as done:
        (folder / "architecture.txt").write_text(f"{network}\n", encoding="utf-8", newline="\n")
        save_tensors({"features": x.numpy()}, folder / "features.safetensors")
        write_csv(folder / "shapes.csv", ("layer", "kind", "output", "parameters"), shapes)
        for name, figure in figures.items():
            save_figure(figure, folder / f"{name}.png")
            done.update(1)


if __name__ == "__main__":
    run(main)
