"""Find the places in test images that excite the units of a trained model most, layer by layer, and
cut out what the unit at each place sees."""

from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

import numpy as np
import pydantic
import torch

from stages.core.base.files import write_csv
from stages.core.base.labels import one_of
from stages.core.base.params import Count, Params, read_params
from stages.core.base.tensors import open_tensors, save_tensors
from stages.core.data.digits import read_splits
from stages.core.drawing.figure import names_in_font, save_figure, shortened
from stages.core.drawing.grids import SMALL, Grid, draw_grids
from stages.core.drawing.tiles import GROUND, at_side, cut_out, framed
from stages.core.interpretation.patches import Place, first_places, strongest
from stages.core.interpretation.receptive import Field, fields_in_image
from stages.core.learning.layers import ReLU
from stages.core.learning.models import frozen
from stages.core.learning.trained import TrainedModel, load_model

BATCH = 256  # images at a time through the model
TILE = 56  # side of a tile in a figure, pixels, about
FRAME = (255, 140, 0)  # around what a unit sees, in the image
LONGEST = 120  # width of a label beside a row, pixels

Places = list[list[Place]]  # of each channel or unit of a layer, the strongest first


class ExcitingPatchesParams(Params):
    images: Count
    units: Annotated[int, pydantic.Field(ge=1, le=64)]
    patches: Annotated[int, pydantic.Field(ge=1, le=12)]


def is_rectified(model: TrainedModel, layer: str) -> bool:
    """Whether a ReLU follows before the next layer with weights, so what is below 0 counts for
    nothing."""
    names = [*model.layers]
    for name in names[names.index(layer) + 1 :]:
        if isinstance(model.layers[name], ReLU) or model.parameters(name):
            return not model.parameters(name)
    return False


@torch.inference_mode()
def strongest_places(
    model: TrainedModel, inputs: torch.Tensor, units: int, count: int
) -> dict[str, Places]:
    """The `count` strongest places for each of the first channels or units of each layer with
    weights."""
    seen, modules = fields_in_image(model), frozen(model)
    weighted = [name for name in model.layers if model.parameters(name)]
    least = {name: 0 if is_rectified(model, name) else -np.inf for name in weighted}
    best: dict[str, Places] = {
        name: [[] for _ in range(min(units, model.shapes[name][1][0]))] for name in weighted
    }
    for first in range(0, len(inputs), BATCH):
        x = inputs[first : first + BATCH]
        for name, module in modules.named_children():
            x = module(x)
            for unit, places in enumerate(best.get(name, [])):
                maps = x[:, unit].reshape(len(x), *(x.shape[2:] or (1, 1))).numpy()
                found = strongest(maps, first, count, seen[name], least[name])
                best[name][unit] = first_places([*places, *found], count)
    return best


def pixels_of(places: Places, field: Field | None, images: np.ndarray, count: int) -> np.ndarray:
    """What the units see at their places: units × `count` × side × side (uint8), and GROUND where
    there are fewer."""
    side = field.size if field else images.shape[1]
    pixels = np.full((len(places), count, side, side), GROUND, np.uint8)
    for of_unit, found in zip(pixels, places, strict=True):
        for square, place in zip(of_unit, found, strict=False):
            corner = field.corner(place.row, place.column) if field else (0, 0)
            square[:] = cut_out(images[place.image], *corner, side, GROUND)
    return pixels


def names_of_rows(model: TrainedModel, layer: str, places: Places, what: str) -> list[str]:
    """Those of channels or units; logits are named after their labels."""
    names = [f"{what} {number}" for number in range(len(places))]
    if layer == [*model.layers][-1]:
        labels = names_in_font(model.labels)[: len(places)]
        names = [f"{one_of(labels)} {shortened(label, SMALL, LONGEST)}" for label in labels]
    return [
        name if found else f"{name}\nnever above zero"
        for name, found in zip(names, places, strict=True)
    ]


def enlarged(square: np.ndarray, side: int) -> np.ndarray:
    """A square of grey pixels, in red, green and blue, and so many pixels a side."""
    return at_side(square, side, GROUND)[..., None].repeat(3, axis=2)


def with_frame(image: np.ndarray, place: Place, field: Field, zoom: int) -> np.ndarray:
    """The enlarged image, with a frame around what the unit at a place sees."""
    top, left = (zoom * pixel for pixel in field.corner(place.row, place.column))
    return framed(enlarged(image, zoom * len(image)), top, left, zoom * field.size, FRAME)


def grid(
    model: TrainedModel,
    layer: str,
    places: Places,
    pixels: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
) -> Grid:
    """A row for each channel or unit: what it sees at its strongest places, and where these are, if
    it does not see the whole image. `pixels`: as of `pixels_of`."""
    field = fields_in_image(model)[layer]
    count, side = pixels.shape[1], images.shape[1]
    zoom = max(1, TILE // side)
    answers = [shortened(name, SMALL, zoom * side) for name in names_in_font(model.labels)]
    tiles, above = [], []
    for found, squares in zip(places, pixels, strict=True):
        tiles += [enlarged(square, zoom * side) for square in squares]
        blanks = [""] * (count - len(found))
        above += [f"{place.activation:.3g}" for place in found] + blanks
        if field:
            tiles += [with_frame(images[place.image], place, field, zoom) for place in found]
            tiles += [np.full_like(tiles[0], GROUND) for _ in blanks]
            above += [answers[labels[place.image]] for place in found] + blanks

    total = model.shapes[layer][1][0]
    what = "channel" if field else "unit"
    which = f"the first {len(places)} of {total}" if len(places) < total else f"{total}"
    sees = f"{field.size} × {field.size} pixels" if field else "the whole image"
    heading = (
        f"{layer}: {which} {what}s; a unit sees {sees}. The strongest places first; above each, "
        "the activation"
    )
    if field:
        heading += f"; to the right, where that is, and the {one_of(model.labels)}"
    columns, second = (2 * count, count) if field else (count, None)
    rows = names_of_rows(model, layer, places, what)
    return Grid(heading, np.stack(tiles), columns, 1, above, rows, second)


def main(
    name: str,
    trained: Path,
    inputs: Path,
    digits: Path,
    figure: Path,
    table: Path,
    patches: Path,
) -> None:
    params = read_params("exciting_patches", ExcitingPatchesParams)
    title = read_params(f"models.{name}.title", str)
    model = load_model(trained)
    split = read_splits(inputs)["test"]
    with open_tensors(digits) as file:
        images = file.get_tensor("test_images")
    count = min(params.images, len(images))
    best = strongest_places(model, split.inputs[:count], params.units, params.patches)
    seen = fields_in_image(model)

    rows = []
    for layer, places in best.items():
        field = seen[layer]
        side = field.size if field else images.shape[1]
        for unit, found in enumerate(places):
            for rank, place in enumerate(found, start=1):
                corner = field.corner(place.row, place.column) if field else (0, 0)
                rows.append((layer, unit, rank, place.image, *corner, side, place.activation))
    columns = ("layer", "unit", "rank", "image", "top", "left", "side", "activation")
    write_csv(table, columns, rows)
    pixels = {
        layer: pixels_of(places, seen[layer], images, params.patches)
        for layer, places in best.items()
    }
    save_tensors(pixels, patches)
    some = f"{count:,} of {len(images):,}" if count < len(images) else f"all {count:,}"
    grids = [
        grid(model, layer, places, pixels[layer], images, split.labels.numpy())
        for layer, places in best.items()
    ]
    save_figure(draw_grids(f"{title}: what excites it most in {some} test images", grids), figure)


if __name__ == "__main__":
    run(main)
