"""Building PyTorch models from layers."""

import math
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from stages.core.base.errors import InputError
from stages.core.exact.layers import AvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, Tanh, initialize
from stages.core.exact.random import Purpose, Words
from stages.core.learning import layers as kinds
from stages.core.learning.layers import Layer, Shape, shapes
from stages.core.learning.trained import TrainedModel


def build_layer(layer: Layer, shape: Shape, dropout: Words) -> nn.Module:
    """A module for inputs N × `shape`. `dropout`: random words for its masks."""
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
            return AvgPool2d(layer.window)
        case kinds.ReLU():
            return nn.ReLU()
        case kinds.Tanh():
            return Tanh()
        case kinds.Dropout():
            return Dropout(layer.p, dropout)
        case kinds.Linear():
            return Linear(math.prod(shape), layer.units)


def build(layers: Mapping[str, Layer], shape: Shape, seed: int, where: str) -> nn.Sequential:
    """A model for inputs N × `shape`, its initial weights drawn from the seed.

    Raises InputError if a layer cannot take its input, or has a name that PyTorch reserves.
    `where`: the layers' key, for the message.
    """
    words = Words(seed, Purpose.WEIGHTS)
    dropout = Words(seed, Purpose.DROPOUT)
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for name, (shape_in, _) in shapes(layers, shape, where).items():
        if hasattr(nn.Sequential(), name):
            raise InputError(f"{where}.{name}: PyTorch reserves this name; choose another")
        modules[name] = build_layer(layers[name], shape_in, dropout)
        initialize(modules[name], words)
    return nn.Sequential(modules)


def frozen(trained: TrainedModel) -> nn.Sequential:
    """A trained model in evaluation mode, whose weights want no gradient."""
    model = build(trained.layers, trained.input_shape, 0, "layers")
    model.load_state_dict(
        {name: torch.from_numpy(weight) for name, weight in trained.weights.items()}
    )
    return model.eval().requires_grad_(False)


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    """The state dict as numpy arrays."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
