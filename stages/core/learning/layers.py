"""The kinds of layers that models in params.yaml are made of, and the shapes that they give.

A shape is that of one example, without the dimension of the batch: (channels, height, width) for
images and feature maps, (units,) after a linear layer.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from stages.core.base.errors import InputError
from stages.core.base.params import Name, Params
from stages.core.base.tensors import in_words

Shape = tuple[int, ...]


class LayerError(Exception):
    """Why a layer cannot take what it is given: a sentence that lacks its subject, the layer."""


class Conv(Params):
    """A convolution with square kernels and biases."""

    kind: Literal["conv"]
    channels: Annotated[int, Field(ge=1, le=256)]
    kernel: Annotated[int, Field(ge=1, le=28)]
    padding: Annotated[int, Field(ge=0, le=28)]
    stride: Annotated[int, Field(ge=1, le=28)]

    def output_shape(self, shape: Shape) -> Shape:
        """Of n rows, a kernel of k rows with padding p and stride s leaves
        floor((n + 2p - k) / s) + 1 (Dumoulin and Visin, 2016)."""
        _, height, width = as_maps(shape)
        padded = min(height, width) + 2 * self.padding
        if padded < self.kernel:
            raise LayerError(
                f"has a kernel of {self.kernel} × {self.kernel}, but gets {in_words(shape)}, "
                f"with padding {padded} × {padded}"
            )
        rows, columns = (
            (extent + 2 * self.padding - self.kernel) // self.stride + 1
            for extent in (height, width)
        )
        return self.channels, rows, columns

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {
            "weight": (self.channels, shape[0], self.kernel, self.kernel),
            "bias": (self.channels,),
        }


class Unparametrised(Params):
    """A layer without parameters that keeps the shape."""

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {}


class Pool(Unparametrised):
    """Takes one value of each `window` × `window` block; rows and columns that fill no block are
    dropped."""

    window: Annotated[int, Field(ge=1, le=28)]

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = as_maps(shape)
        if min(height, width) < self.window:
            raise LayerError(
                f"pools {self.window} × {self.window} blocks, but gets {in_words(shape)}"
            )
        return channels, height // self.window, width // self.window


class MaxPool(Pool):
    """The maximum of each block."""

    kind: Literal["max_pool"]


class AvgPool(Pool):
    """The mean of each block."""

    kind: Literal["avg_pool"]


class ReLU(Unparametrised):
    kind: Literal["relu"]


class Tanh(Unparametrised):
    kind: Literal["tanh"]


class Dropout(Unparametrised):
    """In training, each value is zero with probability p and divided by 1 - p otherwise."""

    kind: Literal["dropout"]
    p: Annotated[float, Field(ge=0, lt=1)]


class Linear(Params):
    """A weight for every input of every unit, and biases; feature maps are flattened first."""

    kind: Literal["linear"]
    units: Annotated[int, Field(ge=1, le=1024)]

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.units, math.prod(shape)), "bias": (self.units,)}


Layer = Annotated[
    Conv | MaxPool | AvgPool | ReLU | Tanh | Dropout | Linear, Field(discriminator="kind")
]
Layers = dict[Name, Layer]  # by their names in the state dict, in the order in which they run


def as_maps(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise LayerError(f"needs channels × height × width, but gets {in_words(shape)}")
    return shape[0], shape[1], shape[2]


def shapes(layers: Mapping[str, Layer], shape: Shape, where: str) -> dict[str, tuple[Shape, Shape]]:
    """The shape that each layer gets, and the one that it gives.

    Raises InputError when a layer does not fit, naming it after `where` (as "models.cnn.layers").
    """
    found = {}
    for name, layer in layers.items():
        try:
            output = layer.output_shape(shape)
        except LayerError as error:
            raise InputError(f"{where}.{name} {error}") from None
        found[name] = shape, output
        shape = output
    return found


def check_logits(layers: Mapping[str, Layer], num_labels: int, where: str) -> None:
    """Raises InputError unless the last layer gives a logit for each label."""
    if not layers:
        raise InputError(f"{where} has no layers; the last should be linear, {num_labels} units")
    name, last = list(layers.items())[-1]
    if not isinstance(last, Linear):
        raise InputError(
            f"{where}.{name} is the last layer, of kind {last.kind}; "
            f"it should be linear, with {num_labels} units, one for each label"
        )
    if last.units != num_labels:
        raise InputError(
            f"{where}.{name}.units is {last.units}; "
            f"the last layer should have {num_labels}, one for each label"
        )
