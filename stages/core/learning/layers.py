"""The kinds of layers that models in params.yaml are made of, and their shapes.

Shapes are those of one example, without the batch dimension: (channels, height, width) for images
and feature maps, (units,) after a linear layer.
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
    """Why a layer cannot take its input: a sentence without its subject, the layer."""


class Conv(Params):
    """A convolution with square kernels and biases."""

    kind: Literal["conv"]
    channels: Annotated[int, Field(ge=1, le=256)]
    kernel: Annotated[int, Field(ge=1, le=28)]
    padding: Annotated[int, Field(ge=0, le=28)]
    stride: Annotated[int, Field(ge=1, le=28)]

    def output_shape(self, shape: Shape) -> Shape:
        """A kernel of k rows with padding p and stride s turns n rows into
        floor((n + 2p - k) / s) + 1 (Dumoulin and Visin, 2016)."""
        _, height, width = image_shape(shape)
        padded = [extent + 2 * self.padding for extent in (height, width)]
        if min(padded) < self.kernel:
            raise LayerError(
                f"has a kernel of {self.kernel} × {self.kernel}, but gets {in_words(shape)}, "
                f"with padding {in_words(padded)}"
            )
        rows, columns = ((extent - self.kernel) // self.stride + 1 for extent in padded)
        return self.channels, rows, columns

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {
            "weight": (self.channels, shape[0], self.kernel, self.kernel),
            "bias": (self.channels,),
        }


class Parameterless(Params):
    """A layer without parameters, whose output has the shape of its input."""

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {}


class Pool(Parameterless):
    """Reduces each `window` × `window` block to one value. Rows and columns that do not fill a
    block are dropped."""

    window: Annotated[int, Field(ge=1, le=28)]

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = image_shape(shape)
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


class ReLU(Parameterless):
    kind: Literal["relu"]


class Tanh(Parameterless):
    kind: Literal["tanh"]


class Dropout(Parameterless):
    """In training, sets each value to zero with probability p, or else divides it by 1 - p."""

    kind: Literal["dropout"]
    p: Annotated[float, Field(ge=0, lt=1)]


class Linear(Params):
    """A fully connected layer with biases; flattens feature maps first."""

    kind: Literal["linear"]
    units: Annotated[int, Field(ge=1, le=1024)]

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.units, math.prod(shape)), "bias": (self.units,)}


Layer = Annotated[
    Conv | MaxPool | AvgPool | ReLU | Tanh | Dropout | Linear, Field(discriminator="kind")
]
Layers = dict[Name, Layer]  # in the order in which they run, by their names in the state dict


def image_shape(shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width. Raises LayerError if the shape has other dimensions."""
    if len(shape) != 3:
        raise LayerError(f"needs channels × height × width, but gets {in_words(shape)}")
    return shape[0], shape[1], shape[2]


def shapes(layers: Mapping[str, Layer], shape: Shape, where: str) -> dict[str, tuple[Shape, Shape]]:
    """Each layer's input and output shapes, for inputs of `shape`.

    Raises InputError if a layer cannot take its input. `where`: the layers' key, for the message.
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
    """Raises InputError unless the last layer is linear, with one unit (a logit) for each label."""
    if not layers:
        raise InputError(
            f"{where} is empty; the last layer should be linear, with {num_labels} units"
        )
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
