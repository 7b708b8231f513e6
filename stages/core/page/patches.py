"""What excites units most, on the page: small pictures of what they see."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stages.core.base.errors import InputError
from stages.core.base.tensors import load_tensors
from stages.core.drawing.tiles import GROUND, at_side, cut_out, tiled
from stages.core.learning.layers import Conv
from stages.core.learning.trained import TrainedModel
from stages.core.page.images import as_jpeg
from stages.core.page.page import Picture, picture
from stages.core.page.tables import read_table

CHANNELS, PLACES = 4, 4  # of each of AlexNet's convolutions: the first ones, in rows and in columns
SIDE = 28  # of a patch of a digit, pixels, about
NESTED_SIDE = 240  # of the picture of receptive fields within one another, pixels
QUALITIES = (75, 60, 45, 30, 15)  # of JPEG; the first that is small enough
SHEET_BYTES = 18_000  # of the patches of a convolution, at most
MODEL_BYTES = 30_000  # of all models' patches; those that do not fit are named


class Seen(NamedTuple):
    """A layer of AlexNet: its kernel and stride, and the side, step and start of the receptive
    fields, in pixels."""

    layer: str
    kernel: int
    stride: int
    size: int
    step: int
    start: int


class Place(NamedTuple):
    """Where something excites a channel, in the photograph if `source` is photo."""

    layer: str
    source: str
    top: int
    left: int
    activation: float


def seen_of(row: Mapping[str, str]) -> Seen:
    return Seen(row["layer"], *(int(row[name]) for name in Seen._fields[1:]))


def place_of(row: Mapping[str, str]) -> Place:
    top, left = int(row["top"]), int(row["left"])
    return Place(row["layer"], row["source"], top, left, float(row["activation"]))


def small_jpeg(pixels: np.ndarray, room: int) -> Picture:
    """Pixels (height × width × 3, uint8) as a JPEG that takes about `room` bytes in the page, or as
    little more as can be."""
    for quality in QUALITIES:
        content = as_jpeg(pixels, quality)
        if len(content) <= room:
            break
    height, width, _ = pixels.shape
    return Picture(f"data:image/jpeg;base64,{content}", width, height)


def sheet(tiles: np.ndarray, second: int) -> np.ndarray:
    """Tiles (rows × columns × side × side, in grey or in colour) in one picture; those from the
    column `second` on stand apart."""
    gap = max(1, tiles.shape[2] // 24)
    groups = [
        tiled(part.reshape(-1, *part.shape[2:]), part.shape[1], (gap, gap), GROUND)
        for part in (tiles[:, :second], tiles[:, second:])
        if part.size
    ]
    between = np.full_like(groups[0][:, : 4 * gap], GROUND)
    return np.concatenate(
        [groups[0], *(part for group in groups[1:] for part in (between, group))], 1
    )


def nested(photo: np.ndarray, fields: Sequence[Seen], places: Sequence[Place]) -> dict[str, Any]:
    """The convolutions' receptive fields within one another, around the place in the photograph
    that excites the last one most: each of the unit that is nearest to the middle of that."""
    convolutions = [seen for seen in fields if seen.layer.startswith("conv")]
    last = convolutions[-1]
    found = [place for place in places if (place.layer, place.source) == (last.layer, "photo")]
    best = max(found, key=lambda place: place.activation, default=None)
    top, left = (best.top, best.left) if best else (0, 0)
    margin = last.size // 12
    side = last.size + 2 * margin
    square = cut_out(photo, top - margin, left - margin, side, GROUND)
    scaled = np.asarray(
        Image.fromarray(square).resize((NESTED_SIDE, NESTED_SIDE), Image.Resampling.BILINEAR)
    )
    boxes = []
    for seen in reversed(convolutions):
        corner = []
        for start in (top, left):
            middle = start + (last.size - seen.size) / 2
            unit = round((middle - seen.start) / seen.step)
            corner.append(seen.start + unit * seen.step - start + margin)
        boxes.append({"layer": seen.layer, "size": seen.size, "top": corner[0], "left": corner[1]})
    return {"picture": small_jpeg(scaled, SHEET_BYTES), "side": side, "boxes": boxes}


def alexnet_sheets(tiles: Mapping[str, np.ndarray], fields: Sequence[Seen]) -> list[dict[str, Any]]:
    """Of each convolution, the first channels' patches: a row for each, first those in the
    photograph, then those in the folder's images."""
    sheets = []
    for seen in fields:
        if seen.layer not in tiles:
            continue
        of_layer = tiles[seen.layer]
        count = of_layer.shape[1] // 2
        shown = min(count, PLACES)
        chosen = np.concatenate(
            (of_layer[:CHANNELS, count : count + shown], of_layer[:CHANNELS, :shown]), axis=1
        )
        pixels = sheet(chosen, shown)
        as_it_is = seen.size == of_layer.shape[2]  # nothing is scaled down
        drawn = picture(pixels) if as_it_is else small_jpeg(pixels, SHEET_BYTES)
        sheets.append(
            {
                "layer": seen.layer,
                "size": seen.size,
                "picture": drawn,
                "crisp": as_it_is,
                "channels": len(chosen),
                "places": shown,
            }
        )
    return sheets


def convolutional(models: Mapping[str, TrainedModel]) -> dict[str, list[str]]:
    """The convolutions of each model that has some and sees pixels."""
    found = {
        name: [key for key, layer in model.layers.items() if isinstance(layer, Conv)]
        for name, model in models.items()
        if model.sees_pixels
    }
    return {name: layers for name, layers in found.items() if layers}


def model_sheets(
    folder: Path, models: Mapping[str, TrainedModel]
) -> tuple[dict[str, list[dict[str, Any]]], bool]:
    """The patches of the models' convolutions, a row for each channel, as far as there is room; and
    whether there is for all."""
    found: dict[str, list[dict[str, Any]]] = {}
    room, all_of_them = MODEL_BYTES, True
    for name, convolutions in convolutional(models).items():
        path = folder / f"{name}.safetensors"
        tiles = load_tensors(path)
        excited = set(
            read_table(folder / f"{name}.csv", lambda row: (row["layer"], int(row["unit"])))
        )
        found[name] = []
        for layer in convolutions:
            if layer not in tiles or tiles[layer].ndim != 4:
                raise InputError(f"{path} has no patches of {layer}; `dvc repro` writes them")
            of_layer = tiles[layer]
            side = max(SIDE, of_layer.shape[2])
            count, side = of_layer.shape[1], max(SIDE, of_layer.shape[2])
            large = [[at_side(patch, side, GROUND) for patch in row] for row in of_layer]
            drawn = picture(sheet(np.array(large), count))
            if len(drawn.uri) > room:
                all_of_them = False
                continue
            room -= len(drawn.uri)
            found[name].append(
                {
                    "layer": layer,
                    "size": of_layer.shape[2],
                    "picture": drawn,
                    "channels": len(of_layer),
                    "all_channels": models[name].shapes[layer][1][0],
                    "silent": [
                        unit for unit in range(len(of_layer)) if (layer, unit) not in excited
                    ],
                }
            )
    return found, all_of_them


def files(alexnet: Path, patches: Path, models: Mapping[str, TrainedModel]) -> list[Path]:
    """Those that `for_template` reads."""
    names = ("receptive_fields.csv", "patches.csv", "patches.safetensors")
    of_models = [
        patches / f"{name}.{kind}"
        for name in convolutional(models)
        for kind in ("csv", "safetensors")
    ]
    return [alexnet / name for name in names] + of_models


def for_template(
    alexnet: Path, patches: Path, models: Mapping[str, TrainedModel], photo: np.ndarray
) -> dict[str, Any]:
    """What the page shows of the folders that `alexnet_patches` and `exciting_patches` wrote.

    Raises InputError if a file holds something else.
    """
    fields = read_table(alexnet / "receptive_fields.csv", seen_of)
    places = read_table(alexnet / "patches.csv", place_of)
    tiles = load_tensors(alexnet / "patches.safetensors")
    of_models, all_of_them = model_sheets(patches, models)
    return {
        "fields": fields,
        "nested": nested(photo, fields, places),
        "alexnet": alexnet_sheets(tiles, fields),
        "models": of_models,
        "all_models": all_of_them,
        "alexnet_folder": alexnet.as_posix(),
        "models_folder": patches.as_posix(),
    }
