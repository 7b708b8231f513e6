"""Trained models in files: a safetensors file of weights, whose metadata hold the layers as JSON.

The file is all that it takes to run the model: here, in the page, or elsewhere.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from stages.core.base.errors import InputError
from stages.core.base.tensors import load_tensors, open_tensors, save_tensors
from stages.core.learning.layers import Layers, Shape, shapes

LAYERS = TypeAdapter(Layers)


class TrainedModel(NamedTuple):
    """What a model takes (the shape of one example), its layers, and its weights by their names in
    the state dict (`LAYER.weight`, `LAYER.bias`)."""

    input_shape: Shape
    layers: Layers
    weights: Mapping[str, np.ndarray]

    @property
    def shapes(self) -> dict[str, tuple[Shape, Shape]]:
        """The shape that each layer gets, and the one that it gives."""
        return shapes(self.layers, self.input_shape, "layers")

    def parameters(self, layer: str) -> dict[str, np.ndarray]:
        """A layer's weight and bias; none for a layer without parameters."""
        names = self.layers[layer].parameter_shapes(self.shapes[layer][0])
        return {name: self.weights[f"{layer}.{name}"] for name in names}


def save_model(model: TrainedModel, path: Path) -> None:
    about = {
        "input_shape": model.input_shape,
        "layers": {name: layer.model_dump() for name, layer in model.layers.items()},
    }
    save_tensors(model.weights, path, {"model": json.dumps(about)})


def load_model(path: Path) -> TrainedModel:
    """Raises InputError when the file holds no model, or other weights than its layers have."""
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
    try:
        about = json.loads(metadata["model"])
        layers = LAYERS.validate_python(about["layers"], strict=True)
        input_shape = tuple(map(int, about["input_shape"]))
    except (KeyError, TypeError, ValueError, ValidationError):
        raise InputError(
            f"{path} has no layers of a model in its metadata; `dvc repro` trains one that has"
        ) from None
    expected = {
        f"{layer}.{name}": ("float32", shape)
        for layer, (shape_in, _) in shapes(layers, input_shape, f"{path}: layers").items()
        for name, shape in layers[layer].parameter_shapes(shape_in).items()
    }
    return TrainedModel(input_shape, layers, load_tensors(path, expected))
