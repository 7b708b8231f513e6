"""Files of trained models: weights as safetensors, with the layers and the names of the labels as
JSON in the metadata.

Such a file is all it takes to run the model: here, on the page, or elsewhere.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import PositiveInt, TypeAdapter

from stages.core.base.errors import InputError
from stages.core.base.tensors import load_tensors, open_tensors, save_tensors
from stages.core.learning.layers import Layers, Shape, check_logits, shapes

LAYERS = TypeAdapter(Layers)
SHAPE = TypeAdapter(tuple[PositiveInt, ...])
LABELS = TypeAdapter(list[str])


class TrainedModel(NamedTuple):
    """The shape of one input example, the layers, the weights (float32) by their names in the state
    dict (`LAYER.weight`, `LAYER.bias`), and the names of the labels, one for each logit."""

    input_shape: Shape
    layers: Layers
    weights: Mapping[str, np.ndarray]
    labels: Sequence[str]

    @property
    def sees_pixels(self) -> bool:
        """Whether it takes grey images, not AlexNet's many feature maps."""
        return self.input_shape[0] == 1

    @property
    def shapes(self) -> dict[str, tuple[Shape, Shape]]:
        """Each layer's input and output shapes."""
        return shapes(self.layers, self.input_shape, "layers")

    def parameters(self, layer: str) -> dict[str, np.ndarray]:
        """A layer's "weight" and "bias"; empty for a layer without parameters."""
        names = self.layers[layer].parameter_shapes(self.shapes[layer][0])
        return {name: self.weights[f"{layer}.{name}"] for name in names}

    @property
    def digest(self) -> str:
        """The SHA-256 of all weights: float32, little-endian, one after another, layer by layer,
        weight before bias. Equal digests mean equal models, whatever file they are in."""
        digest = hashlib.sha256()
        for layer in self.layers:
            for weight in self.parameters(layer).values():
                digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
        return digest.hexdigest()


def save_model(model: TrainedModel, path: Path) -> None:
    about = {
        "input_shape": model.input_shape,
        "layers": {name: layer.model_dump() for name, layer in model.layers.items()},
        "labels": [*model.labels],
    }
    save_tensors(model.weights, path, {"model": json.dumps(about, ensure_ascii=False)})


def load_model(path: Path) -> TrainedModel:
    """Read a trained model.

    Raises InputError if the metadata has no layers, or if the weights or labels are not those of
    the layers.
    """
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
    try:
        about = json.loads(metadata["model"])
        layers = LAYERS.validate_python(about["layers"], strict=True)
        input_shape = SHAPE.validate_python(tuple(about["input_shape"]), strict=True)
        labels = LABELS.validate_python(about["labels"], strict=True)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise InputError(
            f"{path} has no model's layers and labels in its metadata; `dvc repro` writes them"
        ) from None
    expected = {
        f"{layer}.{name}": ("float32", shape)
        for layer, (shape_in, _) in shapes(layers, input_shape, f"{path}: layers").items()
        for name, shape in layers[layer].parameter_shapes(shape_in).items()
    }
    check_logits(layers, len(labels), f"{path}: layers")
    return TrainedModel(input_shape, layers, load_tensors(path, expected), labels)
