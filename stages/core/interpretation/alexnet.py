"""AlexNet's convolutions and poolings, with the receptive fields of their units.

A module of its own: importing torchvision takes a second, and only those who look into AlexNet
need it.
"""

from typing import NamedTuple

import torch
from torch import nn
from torchvision.models import AlexNet

from stages.core.interpretation.receptive import Field, fields_of_modules


class AlexNetLayer(NamedTuple):
    """A convolution or pooling: its place in AlexNet's features, the side of its kernel or window,
    its stride, and the receptive fields of its units."""

    place: int
    kernel: int
    stride: int
    field: Field


def alexnet_layers() -> dict[str, AlexNetLayer]:
    """AlexNet's, as torchvision describes them: conv1, pool1, conv2, …, each pooling with the
    number of the convolution before it."""
    with torch.device("meta"):
        modules = AlexNet().features
    fields = fields_of_modules(modules)
    found: dict[str, AlexNetLayer] = {}
    number = 0
    for place, module in enumerate(modules):
        field = fields[str(place)]
        match module:
            case nn.Conv2d(kernel_size=(kernel, _), stride=(stride, _)):
                number += 1
                found[f"conv{number}"] = AlexNetLayer(place, int(kernel), stride, field)
            case nn.MaxPool2d(kernel_size=int(kernel), stride=int(stride)):
                found[f"pool{number}"] = AlexNetLayer(place, kernel, stride, field)
    return found


def alexnet_convolutions() -> dict[str, AlexNetLayer]:
    """The five of them that are convolutions."""
    layers = alexnet_layers()
    return {name: layer for name, layer in layers.items() if name.startswith("conv")}
