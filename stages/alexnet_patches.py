"""Find the places in a folder of images, and in the photograph, that excite channels of AlexNet's
convolutions most, and cut out what the unit at each place sees."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field as Range
from torch import nn
from torchvision.models import AlexNet

from stages.core.alexnet.embedding import embedded_paths
from stages.core.alexnet.network import PIXELS, alexnet, check_side, normalized
from stages.core.base.files import new_folder, write_csv
from stages.core.base.params import Count, Params, read_params
from stages.core.base.progress import progress
from stages.core.data.photo import read_photo
from stages.core.data.squares import read_square
from stages.core.drawing.figure import save_figure
from stages.core.drawing.grids import GROUND, Grid, draw_grids
from stages.core.drawing.tiles import at_side, cut_out
from stages.core.interpretation.patches import Place, first_places, strongest
from stages.core.interpretation.receptive import Field, fields_of_modules
from stages.core.parallel.threads import in_threads

TILE = 102  # side of a patch, pixels: 9 × 11, 2 × 51, and about 99

Patches = dict[Place, np.ndarray]  # the strongest first, each with its pixels: side × side × 3


class AlexNetPatchesParams(Params):
    images: Count
    channels: Annotated[int, Range(ge=1, le=64)]
    patches: Annotated[int, Range(ge=1, le=12)]


def evenly_spread(paths: Sequence[str], count: int) -> list[str]:
    """`count` of the paths, from the first on, at steps that are as equal as can be."""
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def convolutions() -> dict[str, Field]:
    """AlexNet's five, as torchvision describes them, with their receptive fields."""
    with torch.device("meta"):
        modules = AlexNet().features
    of_modules = fields_of_modules(modules)
    names = [name for name, module in modules.named_children() if isinstance(module, nn.Conv2d)]
    return {f"conv{number}": of_modules[name] for number, name in enumerate(names, start=1)}


@torch.inference_mode()
def activations(network: AlexNet, squares: np.ndarray, channels: int) -> list[np.ndarray]:
    """The first maps (N × channels × rows × columns) after each convolution and its ReLU, for
    images N × side × side × 3 (uint8)."""
    x = normalized(torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous() / 255)
    found = []
    for layer in network.features:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(x[:, :channels].numpy().copy())  # or the other maps would stay in memory
    return found


def draw_layer(
    name: str, field: Field, groups: Sequence[Sequence[Patches]], count: int, what: str
) -> Figure:
    """Rows of patches, one for each channel: `count` of each group. `what` they are cut out of."""
    blank = np.full((TILE, TILE, 3), GROUND, np.uint8)
    tiles, labels, beside = [], [], []
    for channel, of_channel in enumerate(zip(*groups, strict=True)):
        beside.append(f"channel {channel}" + "" * any(of_channel))
        for patches in of_channel:
            missing = count - len(patches)
            tiles += [at_side(pixels, TILE, GROUND) for pixels in patches.values()]
            tiles += [blank] * missing
            labels += [f"{place.activation:.3g}" for place in patches] + [""] * missing
        if not any(of_channel):
            beside[-1] += "\nalways zero"
    heading = (
        f"Each unit sees {field.size} × {field.size} pixels. Of every channel, what excites it most "
        f"{what}; above each, the activation. What lies beyond an image is grey, as between tiles"
    )
    grid = Grid(heading, np.stack(tiles), 2 * count, 1, labels, beside, second=count)
    return draw_grids(f"AlexNet, {name}: what excites its channels most", [grid])


def main(weights: Path, embedded_images: Path, photo: Path, out: Path) -> None:
    params = read_params("alexnet_patches", AlexNetPatchesParams)
    folder, size = Path(read_params("images.path", str)), read_params("images.size", int)
    paths = embedded_paths(embedded_images)
    chosen = evenly_spread(paths, params.images)
    network = alexnet(weights)
    layers = convolutions()
    best: list[list[list[Patches]]] = [  # group, layer, channel
        [[{} for _ in range(params.channels)] for _ in layers] for _ in range(2)
    ]

    def read(paths: Sequence[str]) -> np.ndarray:
        return np.stack([read_square(folder, path, size) for path in paths])

    def read_the_photo() -> np.ndarray:
        pixels = read_photo(photo)
        check_side(pixels.shape[-1], photo)
        return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def look(job: tuple[int, int, Callable[[], np.ndarray]]) -> tuple:
        """What excites the channels most of some images, numbered from `first` on."""
        group, first, load = job
        squares = load()
        places = [
            [
                strongest(maps[:, channel], first, params.patches, field, above=0)
                for channel in range(params.channels)
            ]
            for maps, field in zip(
                activations(network, squares, params.channels), layers.values(), strict=True
            )
        ]
        return group, first, squares, places

    def jobs() -> Iterator[tuple[int, int, Callable[[], np.ndarray]]]:
        yield 1, 0, read_the_photo
        at_once = max(1, PIXELS // size**2)
        for first in range(0, len(chosen), at_once):
            yield 0, first, partial(read, chosen[first : first + at_once])
