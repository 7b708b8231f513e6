"""Find the places in a folder of images, and in the photograph, that excite channels of AlexNet's
convolutions most, and cut out what the unit at each place sees."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from stages.core.base.command import run

import numpy as np
import pydantic
import torch
from matplotlib.figure import Figure
from torch import nn
from torchvision.models import AlexNet

from stages.core.alexnet.embedding import embedded_paths
from stages.core.alexnet.network import PIXELS, alexnet, check_side, normalized
from stages.core.base.files import new_folder, write_csv
from stages.core.base.params import Count, Params, read_params
from stages.core.base.progress import progress
from stages.core.base.spread import evenly_spread
from stages.core.base.tensors import save_tensors
from stages.core.data.photo import read_photo
from stages.core.data.squares import read_square
from stages.core.drawing.figure import save_figure
from stages.core.drawing.grids import Grid, draw_grids
from stages.core.drawing.tiles import GROUND, at_side, cut_out
from stages.core.interpretation.alexnet import alexnet_convolutions, alexnet_layers
from stages.core.interpretation.patches import Place, first_places, strongest
from stages.core.interpretation.receptive import Field
from stages.core.parallel.threads import in_threads

TILE = 102  # side of a patch in a figure, pixels: 9 × 11, 2 × 51, or a little more than 99
SMALL = 48  # in the file for the page, at most


class AlexNetPatchesParams(Params):
    images: Count
    channels: Annotated[int, pydantic.Field(ge=1, le=64)]
    patches: Annotated[int, pydantic.Field(ge=1, le=12)]


class Look(NamedTuple):
    """Images N × side × side × 3 (uint8), the first of which has the number `first`, and the places
    in them that excite the channels of each layer most."""

    squares: np.ndarray
    first: int
    places: list[list[list[Place]]]


Patches = dict[Place, np.ndarray]  # what the units see: side × side × 3 (uint8)


@torch.inference_mode()
def look(network: AlexNet, squares: np.ndarray, first: int, channels: int, patches: int) -> Look:
    """Run images through the network. What counts is what the ReLU after each convolution lets
    through."""
    x = normalized(torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous() / 255)
    places = []
    convolutions = iter(alexnet_convolutions().values())
    for layer in network.features:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            field = next(convolutions).field
            maps = x[:, :channels].numpy().swapaxes(0, 1)
            places.append([strongest(each, first, patches, field, above=0) for each in maps])
    return Look(squares, first, places)


def strongest_of(looks: Iterable[Look], channels: int, count: int) -> dict[str, list[Patches]]:
    """The patches of each channel of each layer, the strongest first; only they are kept."""
    convolutions = alexnet_convolutions()
    best: dict[str, list[Patches]] = {name: [{} for _ in range(channels)] for name in convolutions}
    for squares, first, places in looks:
        for (name, layer), of_layer in zip(convolutions.items(), places, strict=True):
            for channel, found in enumerate(of_layer):
                known = best[name][channel]
                best[name][channel] = {
                    place: known[place]
                    if place in known
                    else cut_out(
                        squares[place.image - first],
                        *layer.field.corner(place.row, place.column),
                        layer.field.size,
                        GROUND,
                    )
                    for place in first_places([*known, *found], count)
                }
    return best


def tiles_of(groups: Sequence[Sequence[Patches]], count: int, side: int) -> np.ndarray:
    """Channels × (groups · count) × side × side × 3 (uint8): for each channel the `count` patches
    of each group, at that size; GROUND where there are fewer."""
    tiles = np.full((len(groups[0]), len(groups), count, side, side, 3), GROUND, np.uint8)
    for group, of_group in enumerate(groups):
        for channel, patches in enumerate(of_group):
            for rank, pixels in enumerate(patches.values()):
                tiles[channel, group, rank] = at_side(pixels, side, GROUND)
    return tiles.reshape(len(tiles), -1, side, side, 3)


def draw_layer(
    name: str, field: Field, groups: Sequence[Sequence[Patches]], count: int, where: str
) -> Figure:
    """A row for each channel, with up to `count` patches of each group."""
    labels, beside = [], []
    for channel, of_channel in enumerate(zip(*groups, strict=True)):
        beside.append(f"channel {channel}" + ("" if any(of_channel) else "\nalways zero"))
        for patches in of_channel:
            said = [f"{place.activation:.3g}" for place in patches]
            labels += said + [""] * (count - len(said))
    heading = (
        f"A unit sees {field.size} × {field.size} pixels. A row for each of the first "
        f"{len(beside)} channels: the places {where}, the strongest first; above each, the "
        "activation. Grey is beyond the edge of an image."
    )
    tiles = tiles_of(groups, count, TILE).reshape(-1, TILE, TILE, 3)
    grid = Grid(heading, tiles, 2 * count, 1, labels, beside, second=count)
    return draw_grids(f"What excites AlexNet's {name} most", [grid])


def main(weights: Path, embedded_images: Path, photo: Path, out: Path) -> None:
    params = read_params("alexnet_patches", AlexNetPatchesParams)
    folder, size = Path(read_params("images.path", str)), read_params("images.size", int)
    paths = embedded_paths(embedded_images)
    chosen = evenly_spread(paths, params.images)
    pixels = read_photo(photo)
    check_side(pixels.shape[-1], photo)
    network = alexnet(weights)
    at_once = max(1, PIXELS // size**2)

    def look_at(first: int) -> Look:
        some = chosen[first : first + at_once]
        squares = np.stack([read_square(folder, path, size) for path in some])
        return look(network, squares, first, params.channels, params.patches)

    def looks() -> Iterable[Look]:
        with progress(len(chosen), "images") as done:
            for found in in_threads(look_at, range(0, len(chosen), at_once)):
                yield found
                done.update(len(found.squares))

    in_images = strongest_of(looks(), params.channels, params.patches)
    whole = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    seen = look(network, whole, 0, params.channels, params.patches)
    in_photo = strongest_of([seen], params.channels, params.patches)

    fields = {name: layer.field for name, layer in alexnet_convolutions().items()}
    rows = []
    for name, field in fields.items():
        for channel in range(params.channels):
            for source, files, found in (
                ("images", chosen, in_images),
                ("photo", [photo.as_posix()], in_photo),
            ):
                for rank, place in enumerate(found[name][channel], start=1):
                    where = *field.corner(place.row, place.column), field.size
                    row = name, channel, source, rank, files[place.image], *where
                    rows.append((*row, place.activation))
    some = f"{len(chosen):,} of the {len(paths):,}" if len(chosen) < len(paths) else "the"
    said = f"that excite it most in {some} images of {folder.as_posix()}, and in the photograph"
    with new_folder(out) as made:
        columns = "layer", "channel", "source", "rank", "path", "top", "left", "side", "activation"
        write_csv(made / "patches.csv", columns, rows)
        write_csv(
            made / "receptive_fields.csv",
            ("layer", "kernel", "stride", *Field._fields),
            (
                (name, layer.kernel, layer.stride, *layer.field)
                for name, layer in alexnet_layers().items()
            ),
        )
        groups = {name: (in_images[name], in_photo[name]) for name in fields}
        small = {
            name: tiles_of(groups[name], params.patches, min(field.size, SMALL))
            for name, field in fields.items()
        }
        save_tensors(small, made / "patches.safetensors")
        for name, field in fields.items():
            figure = draw_layer(name, field, groups[name], params.patches, said)
            save_figure(figure, made / f"{name}.png")


if __name__ == "__main__":
    run(main)
