"""What the page needs to train a model: digits, packed, and what may be changed, and how far."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stages.core.base.params import Params
from stages.core.learning.curves import CurvePoint
from stages.core.learning.layers import Conv, Dropout, Linear
from stages.core.learning.settings import AdamParams, SGDParams, TrainParams
from stages.core.learning.trained import TrainedModel
from stages.core.page.chart import thinned
from stages.core.page.models import layer_list

OPTIMIZERS: dict[str, type[Params]] = {"adam": AdamParams, "sgd": SGDParams}
# The numbers that can be changed, and the sections of parameters that limit them.
NUMBERS: dict[type[Params], Sequence[str]] = {
    SGDParams: ("learning_rate", "momentum", "weight_decay"),
    TrainParams: ("batch_size", "epochs", "seed"),
    Linear: ("units",),
    Conv: ("channels",),
    Dropout: ("p",),
}
LIMITS = ("type", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")  # of JSON Schema


def limits() -> dict[str, dict[str, Any]]:
    """The type and the range of each number, in the words of JSON Schema."""
    found = {}
    for kind, fields in NUMBERS.items():
        properties = kind.model_json_schema()["properties"]
        for field in fields:
            about = properties[field]
            found[field] = {key: about[key] for key in LIMITS if key in about}
    return found


def optimizers() -> dict[str, list[str]]:
    """The numbers of each kind of optimizer."""
    names = NUMBERS[SGDParams]
    return {
        kind: [name for name in names if name in params.model_fields]
        for kind, params in OPTIMIZERS.items()
    }


class PackedDigits(NamedTuple):
    """The first so many training images and the validation images after them, in base64: bytes in
    which each 0 stands for zeros, one more than the byte after it says. Not compressed by a
    library: those differ in what they make of it."""

    train: int
    val: int
    images: str
    labels: str


def pack(image: np.ndarray) -> bytes:
    """At most 256 zeros become two bytes."""
    zeros = rb"\0{1,256}"
    return re.sub(zeros, lambda found: bytes([0, len(found[0]) - 1]), image.tobytes(), flags=re.S)


def digits_that_fit(
    images: np.ndarray, labels: np.ndarray, num_train: int, room: int
) -> PackedDigits:
    """Of training images with the validation images behind them as many as fit into so many bytes:
    at least four fifths of them for training."""
    parts: list[bytes] = []
    size = 0
    for image in images:
        part = pack(image)
        size += len(part) + 1  # and its label
        if -(-size // 3) * 4 + 8 > room:
            break
        parts.append(part)
    count = len(parts)
    num_val = len(images) - num_train
    train = min(num_train, count - min(num_val, count // 5))
    val = min(num_val, count - train)
    content = b"".join(parts[: train + val]), labels[: train + val].astype(np.uint8).tobytes()
    return PackedDigits(train, val, *(base64.b64encode(part).decode() for part in content))


def training(
    models: Mapping[str, TrainedModel],
    about: Mapping[str, dict],
    curves: Mapping[str, Sequence[CurvePoint]],
    digits: Mapping[str, np.ndarray],
    room: int,
) -> dict[str, Any]:
    """What it takes to train the models that see pixels, with digits that fit into so many bytes:
    there may be none of either."""
    pixels = [name for name, model in models.items() if model.sees_pixels]
    images, labels = (
        np.concatenate([digits[f"{split}_{what}"] for split in ("train", "val")])
        for what in ("images", "labels")
    )
    counts = {split: len(digits[f"{split}_labels"]) for split in ("train", "val")}
    packed_digits = digits_that_fit(images, labels, counts["train"], room)
    settings = ("optimizer", "batch_size", "epochs", "eval_every", "seed")
    return {
        "models": {
            name: {key: about[name][key] for key in settings}
            | {
                "layers": layer_list(models[name]),
                "digest": models[name].digest,
                "curve": [[round(value, 6) for value in point] for point in thinned(curves[name])],
            }
            for name in pixels
        },
        "batches": {name: about[name]["batch_size"] for name in models},
        "limits": limits(),
        "optimizers": optimizers(),
        "digits": packed_digits._asdict() | {"all": counts},
    }
