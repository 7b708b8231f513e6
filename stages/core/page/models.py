"""The models as the page shows them: their layers, and which of them answer in it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stages.core.learning.layers import Conv
from stages.core.learning.trained import TrainedModel

WEIGHT_BYTES = 2_900_000  # of models that answer in the page; it names those that do not fit
WORDS = {  # for the kinds of layers
    "conv": "convolution",
    "max_pool": "max pooling",
    "avg_pool": "average pooling",
    "relu": "ReLU",
    "tanh": "tanh",
    "dropout": "dropout",
    "linear": "linear",
}


class Row(NamedTuple):
    """A layer, as the page's table shows it."""

    name: str
    kind: str
    output: tuple[int, ...]
    weight: tuple[int, ...] | None
    bias: tuple[int, ...] | None
    parameters: int


def layer_rows(model: TrainedModel) -> list[Row]:
    rows = []
    for name, layer in model.layers.items():
        parameters = model.parameters(name)
        weight, bias = (parameters[key].shape if parameters else None for key in ("weight", "bias"))
        count = sum(parameter.size for parameter in parameters.values())
        output = model.shapes[name][1]
        rows.append(Row(name, WORDS[layer.kind], output, weight, bias, count))
    return rows


def layer_list(model: TrainedModel) -> list[dict[str, Any]]:
    """For the scripts: JavaScript would move a key like "1" to the front."""
    return [{"name": name} | layer.model_dump() for name, layer in model.layers.items()]


def weighted_layers(model: TrainedModel) -> int:
    return sum(bool(model.parameters(layer)) for layer in model.layers)


def simplest_first(models: Mapping[str, TrainedModel]) -> dict[str, TrainedModel]:
    """Those that see pixels first, then by their number of layers with weights, and of all layers.

    Not in the order of params.yaml: DVC compares sections without the order of their keys.
    """

    def key(name: str) -> tuple[bool, int, int, str]:
        model = models[name]
        return not model.sees_pixels, weighted_layers(model), len(model.layers), name

    return {name: models[name] for name in sorted(models, key=key)}


def answering(models: Mapping[str, TrainedModel]) -> list[str]:
    """The models that answer in the page: those that see pixels, as far as there is room."""
    names, room = [], WEIGHT_BYTES
    for name, model in models.items():
        size = sum(weight.nbytes for weight in model.weights.values())
        if model.sees_pixels and size <= room:
            names.append(name)
            room -= size
    return names


def first_layer(model: TrainedModel) -> str:
    """The first layer that has weights."""
    return next(name for name in model.layers if model.parameters(name))


def drawn_weights(model: TrainedModel) -> str:
    """Whose weights the figure shows: kernels, or the units or logits that see the input."""
    first = first_layer(model)
    if isinstance(model.layers[first], Conv):
        return "kernels"
    return "logits" if first == [*model.layers][-1] else "units"


def on_pixels(models: Mapping[str, TrainedModel], live: Sequence[str]) -> list[str]:
    """The models in the page whose logits have a weight for each place of the picture."""
    return [name for name in live if drawn_weights(models[name]) == "logits"]


def pictured_weights(models: Mapping[str, TrainedModel], live: Sequence[str]) -> dict[str, Any]:
    """Where the script finds the weights of the first such model, and a picture's shape."""
    name = on_pixels(models, live)[0]
    layer = first_layer(models[name])
    return {"model": name, "weight": f"{layer}.weight", "shape": models[name].shapes[layer][0][1:]}


def half_interval(counts: np.ndarray) -> float:
    """Half the 95 % interval of the accuracy, by a confusion matrix (normal approximation)."""
    accuracy = counts.trace() / counts.sum()
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / counts.sum())
