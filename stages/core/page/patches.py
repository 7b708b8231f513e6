"""What excites units most, on the page: small pictures of what they see."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stages.core.base.errors import InputError
from stages.core.base.tables import read_table
from stages.core.base.tensors import load_tensors
from stages.core.drawing.tiles import GROUND, at_side, cut_out, tiled
from stages.core.learning.layers import Conv
from stages.core.learning.trained import TrainedModel
from stages.core.page.images import as_jpeg
from stages.core.page.page import Picture, picture

LAYERS = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")  # of AlexNet
CONVOLUTIONS = tuple(layer for layer in LAYERS if layer.startswith("conv"))
CHANNELS, PLACES = 4, 4  # of each of AlexNet's convolutions: the first ones, in rows and in columns
SIDE = 28  # of a patch of a digit, pixels, about
NESTED_SIDE = 240  # of the picture of receptive fields within one another, pixels
QUALITIES = (75, 60, 45, 30, 15)  # of JPEG; the first that is small enough
SHEET_BYTES = 18_000  # of the patches of one of AlexNet's convolutions
MODEL_BYTES = 30_000  # of all models' patches; the page says so if some do not fit


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
    """The upper left pixel of what excites a channel, in the photograph if `source` is photo."""

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
    """Pixels (height × width × 3, uint8) as a JPEG that takes at most `room` bytes in the page, if
    its quality may be that low."""
    for quality in QUALITIES:
        content = as_jpeg(pixels, quality)
        if len(content) <= room:
            break
    height, width, _ = pixels.shape
    return Picture(f"data:image/jpeg;base64,{content}", width, height)


def gap(tiles: np.ndarray) -> int:
    """Pixels between tiles (rows × columns × side × side, in grey or in colour)."""
    return max(1, tiles.shape[2] // 24)


def sheet(tiles: np.ndarray) -> np.ndarray:
    """The tiles in one picture."""
    return tiled(tiles.reshape(-1, *tiles.shape[2:]), tiles.shape[1], (gap(tiles),) * 2, GROUND)


def nested(photo: np.ndarray, fields: Sequence[Seen], places: Sequence[Place]) -> dict[str, Any]:
    """The convolutions' receptive fields within one another, each that of the unit nearest to the
    middle, around the place in the photograph that excites the last convolution most."""
    convolutions = [seen for seen in fields if seen.layer in CONVOLUTIONS]
    last = convolutions[-1]
    found = [place for place in places if (place.layer, place.source) == (last.layer, "photo")]
    best = max(found, key=lambda place: place.activation, default=None)
    top, left = (best.top, best.left) if best else (0, 0)
    margin = last.size // 12
    side = last.size + 2 * margin
    square = Image.fromarray(cut_out(photo, top - margin, left - margin, side, GROUND))
    small = square.resize((NESTED_SIDE, NESTED_SIDE), Image.Resampling.BILINEAR)

    def nearest(seen: Seen, start: int) -> int:
        """Where its square begins, in the picture, along one side."""
        unit = round((start + (last.size - seen.size) / 2 - seen.start) / seen.step)
        return seen.start + unit * seen.step - start + margin

    return {
        "picture": small_jpeg(np.asarray(small), SHEET_BYTES),
        "side": side,
        "boxes": [
            {
                "layer": seen.layer,
                "size": seen.size,
                "top": nearest(seen, top),
                "left": nearest(seen, left),
            }
            for seen in reversed(convolutions)
        ],
    }


def alexnet_sheets(tiles: Mapping[str, np.ndarray], fields: Sequence[Seen]) -> list[dict[str, Any]]:
    """Of each convolution, the first channels' patches: a row for each, first those in the
    photograph, then those in the folder's images."""
    sheets = []
    for seen in fields:
        if seen.layer not in CONVOLUTIONS:
            continue
        of_layer = tiles[seen.layer][:CHANNELS]
        in_images, in_photo = np.split(of_layer, 2, axis=1)
        shown = min(in_images.shape[1], PLACES)
        left, right = sheet(in_photo[:, :shown]), sheet(in_images[:, :shown])
        between = np.full_like(left[:, : 4 * gap(of_layer)], GROUND)
        pixels = np.concatenate((left, between, right), axis=1)
        as_it_is = seen.size == of_layer.shape[2]  # the patches are not scaled down
        sheets.append(
            {
                "layer": seen.layer,
                "size": seen.size,
                "picture": picture(pixels) if as_it_is else small_jpeg(pixels, SHEET_BYTES),
                "crisp": as_it_is,
                "channels": len(of_layer),
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
        model = models[name]
        shapes = {
            layer: ("uint8", (f"{layer} units", "patches", f"{layer} side", f"{layer} side"))
            for layer in model.layers
            if model.parameters(layer)
        }
        tiles = load_tensors(folder / f"{name}.safetensors", shapes)
        excited = set(
            read_table(folder / f"{name}.csv", lambda row: (row["layer"], int(row["unit"])))
        )
        found[name] = []
        for layer in convolutions:
            of_layer = tiles[layer]
            side = max(SIDE, of_layer.shape[2])
            large = [[at_side(patch, side, GROUND) for patch in row] for row in of_layer]
            drawn = picture(sheet(np.array(large)))
            if len(drawn.uri) > room:
                all_of_them = False
                continue
            room -= len(drawn.uri)
            silent = [unit for unit in range(len(of_layer)) if (layer, unit) not in excited]
            found[name].append(
                {
                    "layer": layer,
                    "size": of_layer.shape[2],
                    "picture": drawn,
                    "channels": len(of_layer),
                    "all_channels": model.shapes[layer][1][0],
                    "silent": silent,
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
    table_of_fields, table_of_places, file = files(alexnet, patches, {})
    fields = read_table(table_of_fields, seen_of)
    if tuple(seen.layer for seen in fields) != LAYERS:
        raise InputError(f"{table_of_fields} should have a row for each of {', '.join(LAYERS)}")
    shapes = {
        layer: ("uint8", ("channels", "patches", f"{layer} side", f"{layer} side", 3))
        for layer in CONVOLUTIONS
    }
    of_models, all_of_them = model_sheets(patches, models)
    return {
        "fields": fields,
        "nested": nested(photo, fields, read_table(table_of_places, place_of)),
        "alexnet": alexnet_sheets(load_tensors(file, shapes), fields),
        "models": of_models,
        "all_models": all_of_them,
        "alexnet_folder": alexnet.as_posix(),
        "models_folder": patches.as_posix(),
    }
