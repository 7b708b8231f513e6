"""What would excite units most, on the page: the ideal images of each model and of AlexNet."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.base.tensors import Shapes, in_words, load_tensors
from stages.core.drawing.tiles import tiled
from stages.core.learning.trained import TrainedModel
from stages.core.page.images import as_jpeg
from stages.core.page.page import Picture, picture

COLUMNS, LINE = 10, 128  # images in a row, and the grey of lines between them
BLACK = 80  # a grey below which an image looks black
STORED = 50  # side of small images as they are stored, so that lines between them are thin, pixels
SHOWN = 64  # side at which images for hidden layers are shown, at most, pixels
HIDDEN_BYTES = 40_000  # of pictures for hidden layers, of all models
ALEXNET_BYTES = 90_000  # of pictures of AlexNet's channels; where there are more, the first of them
WIDTH = 1000  # at which a row of AlexNet's channels is shown, pixels
QUALITY = 55  # of JPEG
SMALLEST = 32  # side of an image from which on it is a JPEG: in a smaller one, every pixel counts


class Answer(NamedTuple):
    """What an image is ideal for, and what the model takes it for, by their names; and the
    probability (0 to 1) of that."""

    label: str
    answer: str
    probability: float

    @property
    def is_right(self) -> bool:
        return self.answer == self.label


class Ideals(NamedTuple):
    """Ideal images for the first `shown` of a layer's `num_units` channels or `units`, in rows of
    COLUMNS, a pixel apart: what each image is, "3 × 3 pixels" say; whether one is nearly black; and
    how far to enlarge the picture."""

    layer: str
    what: str
    shown: int
    num_units: int
    units: str
    any_black: bool
    zoom: int
    picture: Picture


class OfModel(NamedTuple):
    """Ideal images of a model: of its hidden layers, and of its logits with and without something
    against noise; the model's answers to these."""

    hidden: list[Ideals]
    logits: dict[str, Picture]
    answers: dict[str, list[Answer]]


def files(folder: Path, models: Iterable[str]) -> list[Path]:
    """What is read, in the folder of the stages' outputs: of each model, and of AlexNet."""
    of_models = [folder / "ideal_inputs" / f"{name}.safetensors" for name in models]
    return [*of_models, folder / "alexnet_ideal_inputs" / "images.safetensors"]


def rows(images: np.ndarray) -> Picture:
    return picture(tiled(images, min(COLUMNS, len(images)), (1, 1), LINE), greys=256)


def enlarged(images: np.ndarray) -> np.ndarray:
    """Small images N × height × width, or with colours, their pixels as blocks of pixels."""
    zoom = max(1, STORED // max(images.shape[1:3]))
    return images.repeat(zoom, axis=1).repeat(zoom, axis=2)


def of_layer(model: TrainedModel, layer: str, images: np.ndarray) -> Ideals:
    count, *shape = images.shape
    large = enlarged(images)
    return Ideals(
        layer,
        f"{in_words(shape)} pixels",
        count,
        model.shapes[layer][1][0],
        "channels" if model.layers[layer].kind == "conv" else "units",
        bool(images.max((1, 2)).min() < BLACK),
        max(1, SHOWN // max(large.shape[1:])),
        rows(large),
    )


def shapes(hidden_layers: Iterable[str], last: str, num_labels: int) -> Shapes:
    """Of the tensors that the stage `ideal_inputs` writes."""
    found: dict[str, tuple[str, Sequence[int | str]]] = {
        layer: ("uint8", [f"{layer} {what}" for what in ("units", "rows", "columns")])
        for layer in hidden_layers
    }
    for way in (last, f"{last}.alone"):
        found[way] = ("uint8", [num_labels, "side", "side"])
        found[f"{way}.probabilities"] = ("float32", [num_labels, num_labels])
    return found


def of_models(folder: Path, models: Mapping[str, TrainedModel]) -> dict[str, OfModel]:
    """What the stage `ideal_inputs` wrote; hidden layers as far as there is room for them."""
    room = HIDDEN_BYTES
    found = {}
    for (name, model), path in zip(models.items(), files(folder, models), strict=False):
        *hidden_layers, last = (layer for layer in model.layers if model.parameters(layer))
        tensors = load_tensors(path, shapes(hidden_layers, last, len(model.labels)))
        hidden = []
        for layer in hidden_layers:
            ideals = of_layer(model, layer, tensors[layer])
            room -= len(ideals.picture.uri)
            if room < 0:
                break
            hidden.append(ideals)
        ways = {"ideal": last, "alone": f"{last}.alone"}
        found[name] = OfModel(
            hidden,
            {way: rows(tensors[key]) for way, key in ways.items()},
            {
                way: [
                    Answer(label, model.labels[int(row.argmax())], round(float(row.max()), 6))
                    for label, row in zip(
                        model.labels, tensors[f"{key}.probabilities"], strict=True
                    )
                ]
                for way, key in ways.items()
            },
        )
    return found


class OfConvolution(NamedTuple):
    """Ideal images of the first channels of one of AlexNet's convolutions, in a row."""

    layer: str
    side: int
    shown: int
    picture: Picture


def as_row(images: np.ndarray) -> Picture:
    """Images N × side × side × 3 (uint8) beside one another, as wide as all rows."""
    large = enlarged(images)
    pixels = tiled(large, len(images), (0, max(1, large.shape[1] // STORED)), LINE)
    if images.shape[1] < SMALLEST:
        uri = picture(pixels).uri
    else:
        uri = f"data:image/jpeg;base64,{as_jpeg(pixels, QUALITY)}"
    return Picture(uri, WIDTH, WIDTH // len(images))


def of_alexnet(folder: Path) -> list[OfConvolution]:
    """What the stage `alexnet_ideal_inputs` wrote: as many channels as there is room for."""
    images = load_tensors(
        files(folder, [])[-1],
        {f"conv{n}": ("uint8", ["channels", f"side {n}", f"side {n}", 3]) for n in range(1, 6)},
    )
    count = min(COLUMNS, *map(len, images.values()))
    while True:
        found = [
            OfConvolution(layer, channels.shape[1], count, as_row(channels[:count]))
            for layer, channels in sorted(images.items())
        ]
        if count == 1 or sum(len(row.picture.uri) for row in found) <= ALEXNET_BYTES:
            return found
        count -= 1
