"""Building PyTorch models from layers."""

import math
from collections import OrderedDict
from collections.abc import Mapping

from stages.core.numerics.pinned import Conv2d, torch

import numpy as np
from torch import nn
from torch.nn import functional as F

from stages.core.base.errors import InputError
from stages.core.learning import layers as kinds
from stages.core.learning.layers import Layer, Shape, shapes


class Linear(nn.Linear):
    """A linear layer that flattens feature maps first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))


class MaxPool2d(nn.MaxPool2d):
    """Max pooling. Without gradients, a 2 × 2 window over an even height and width is computed by
    comparing strided halves: the same values, several times as fast."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        even = self.kernel_size == 2 and x.shape[-1] % 2 == x.shape[-2] % 2 == 0
        if torch.is_grad_enabled() or not even:
            return F.max_pool2d(x, self.kernel_size)
        x = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
        return torch.maximum(x[..., ::2], x[..., 1::2])


def build_layer(layer: Layer, shape: Shape) -> nn.Module:
    """A module for inputs N × `shape`, with PyTorch's default initial weights."""
    match layer:
        case kinds.Conv():
            return Conv2d(
                shape[0],
                layer.channels,
                layer.kernel,
                padding=layer.padding,
                stride=layer.stride,
            )
        case kinds.MaxPool():
            return MaxPool2d(layer.window)
        case kinds.AvgPool():
            return nn.AvgPool2d(layer.window)
        case kinds.ReLU():
            return nn.ReLU()
        case kinds.Tanh():
            return nn.Tanh()
        case kinds.Dropout():
            return nn.Dropout(layer.p)
        case kinds.Linear():
            return Linear(math.prod(shape), layer.units)


def build(layers: Mapping[str, Layer], shape: Shape, seed: int, where: str) -> nn.Sequential:
    """A model for inputs N × `shape`, its initial weights drawn from the seed.

    Raises InputError if a layer cannot take its input, or has a name that PyTorch reserves.
    `where`: the layers' key, for the message.
    """
    torch.manual_seed(seed)
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for name, (shape_in, _) in shapes(layers, shape, where).items():
        if hasattr(nn.Sequential(), name):
            raise InputError(f"{where}.{name}: PyTorch reserves this name; choose another")
        modules[name] = build_layer(layers[name], shape_in)
    return nn.Sequential(modules)


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    """The state dict as numpy arrays."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
