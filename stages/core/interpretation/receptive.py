"""Receptive fields: which pixels of the input a unit sees.

The units of a layer are laid out in rows and columns, and each sees a square of pixels. From layer
to layer the squares grow, by the recurrence of Araujo, Norris and Sim ("Computing Receptive Fields
of Convolutional Neural Networks", Distill, 2019), here from the input on: a layer whose kernel has
k rows, stride s and padding p turns squares of `size` pixels, `step` pixels apart, of which the
first begins at `start`, into
    size + (k - 1) * step,    s * step,    start - p * step.
Nothing outside of its square changes a unit, but for the last bits: layers with exact sums
(stages/core/exact) round what they get in units that follow from its largest number.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from stages.core.learning.layers import Conv, Layer, Linear, Pool
from stages.core.learning.trained import TrainedModel


class Field(NamedTuple):
    """The receptive fields of a layer's units, in pixels, along rows as along columns: the side of
    the square; from one unit's to the next one's; and where the first one's begins, below 0 if it
    reaches into the padding."""

    size: int
    step: int
    start: int

    def after(self, kernel: int, stride: int, padding: int) -> "Field":
        """The fields one layer further."""
        return Field(
            self.size + (kernel - 1) * self.step,
            self.step * stride,
            self.start - padding * self.step,
        )

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """The row and column of the upper left pixel that the unit at a place sees."""
        return self.start + row * self.step, self.start + column * self.step


PIXEL = Field(size=1, step=1, start=0)  # of the input itself


def fields(layers: Mapping[str, Layer]) -> dict[str, Field | None]:
    """The receptive field of each layer of a model; None if its units see the whole input."""
    field: Field | None = PIXEL
    found = {}
    for name, layer in layers.items():
        match layer:
            case Conv() if field:
                field = field.after(layer.kernel, layer.stride, layer.padding)
            case Pool() if field:
                field = field.after(layer.window, layer.window, 0)
            case Linear():
                field = None
        found[name] = field
    return found


def fields_in_image(model: TrainedModel) -> dict[str, Field | None]:
    """The same in the image that a model is shown. AlexNet's features are of the whole image, so
    what is made of them is, too."""
    return fields(model.layers) if model.sees_pixels else dict.fromkeys(model.layers)


def fields_of_modules(modules: nn.Sequential) -> dict[str, Field]:
    """The same for convolutions and max pooling of PyTorch, with square kernels and windows."""
    field = PIXEL
    found = {}
    for name, module in modules.named_children():
        match module:
            case nn.Conv2d(kernel_size=(kernel, _), stride=(stride, _), padding=(padding, _)):
                field = field.after(int(kernel), stride, int(padding))
            case nn.MaxPool2d(kernel_size=int(window), stride=int(stride), padding=int(padding)):
                field = field.after(window, stride, padding)
        found[name] = field
    return found
