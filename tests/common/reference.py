"""PyTorch's own layers in place of the exact ones, to compare with."""

from collections import OrderedDict

import torch
from torch import nn

from stages.core.exact.layers import AvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, Tanh


class FlatLinear(nn.Linear):
    """Flattens feature maps first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))


def in_float64(layer: nn.Module) -> nn.Module:
    """PyTorch's own layer or model, with the same weights. Dropout does nothing."""
    found: nn.Module
    match layer:
        case nn.Sequential():
            children = layer.named_children()
            return nn.Sequential(OrderedDict((n, in_float64(child)) for n, child in children))
        case Linear():
            found = FlatLinear(layer.in_features, layer.out_features)
        case Conv2d():
            sizes = layer.kernel_size, layer.stride, layer.padding
            found = nn.Conv2d(layer.in_channels, layer.out_channels, *sizes)
        case MaxPool2d():
            found = nn.MaxPool2d(layer.window)
        case AvgPool2d():
            found = nn.AvgPool2d(layer.window)
        case Tanh():
            found = nn.Tanh()
        case Dropout():
            found = nn.Dropout(layer.p).eval()
        case nn.ReLU():
            found = nn.ReLU()
    found.load_state_dict(layer.state_dict())
    return found.double()
