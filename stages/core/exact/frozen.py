"""Layers whose weights stay as they are, faster than those of layers.py, with the same bytes.

Sums of integers may be taken apart in any way. Two rows of the output that share their inputs need
four products instead of six for each three rows of the kernel (Winograd, "Arithmetic Complexity of
Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
With rows d of the input and g of the kernel,
    d0 * g0 + d1 * g1 + d2 * g2 = m0 + (m1 + m2) / 2    m0 = (d0 - d2) * g0
    d1 * g0 + d2 * g1 + d3 * g2 = (m1 - m2) / 2 - m3    m1 = (d1 + d2) * (g0 + g1 + g2)
                                                        m2 = (d2 - d1) * (g0 - g1 + g2)
                                                        m3 = (d1 - d3) * g2
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from stages.core.exact.integers import (
    SIGNIFICAND,
    product_bits,
    to_integers,
    to_integers_per_example,
)
from stages.core.exact.layers import block_maxima, gradient_of_input

# How m0 to m3 combine rows of the input.
INPUTS = ((torch.sub, 0, 2), (torch.add, 1, 2), (torch.sub, 2, 1), (torch.sub, 1, 3))


class _FrozenConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: "FrozenConv2d") -> torch.Tensor:
        ctx.shape, ctx.layer = x.shape, layer
        return layer.convolved(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        layer = ctx.layer
        weight = layer.weight.detach()
        return gradient_of_input(grad, weight, ctx.shape, layer.stride, layer.padding), None


class FrozenConv2d(nn.Module):
    """The layer with its present weights: N × channels × height × width. Not for training."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        assert isinstance(layer.padding, tuple) and layer.bias is not None
        (self.kernel, _), (self.stride, _), (self.padding, _) = (
            layer.kernel_size,
            layer.stride,
            layer.padding,
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.bits = product_bits(layer.weight[0].numel())
        weights, self.unit = to_integers(layer.weight.detach(), self.bits)
        self.rows = weights.permute(2, 0, 1, 3).flatten(2)  # kernel × outputs × (channels · kernel)
        self.groups = [kernels_for_pairs(rows) for rows in self.rows.split(3)]
        # What is added up in pairs is up to four times as large; it has to stay exact.
        largest = sum(max(k.abs().sum(1).max().item() for k in group) for group in self.groups)
        exact = 4 * largest * 2 ** (self.bits + 1) <= 2**SIGNIFICAND
        # A row of the kernel that is left alone would take more products in pairs than by itself.
        self.in_pairs = exact and self.stride == 1 and self.kernel % 3 != 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _FrozenConv2d.apply(x, self)

    def convolved(self, x: torch.Tensor) -> torch.Tensor:
        height, width = (
            (extent + 2 * self.padding - self.kernel) // self.stride + 1 for extent in x.shape[2:]
        )
        integers, unit = to_integers_per_example(x, self.bits)
        below = self.padding + height % 2 if self.in_pairs else self.padding
        padded = F.pad(integers, (self.padding, self.padding, self.padding, below))
        multiply = self.pairs_of_rows if self.in_pairs else self.single_rows
        sums = multiply(padded.permute(1, 2, 0, 3), height, width)
        bias = self.bias.double()[:, None, None, None]
        y = x.new_empty(len(x), len(sums), height, width)
        y.permute(1, 2, 0, 3).copy_(sums.mul_(unit.view(-1, 1) * self.unit).add_(bias))
        return y

    def single_rows(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The sums (outputs × height × N × width) of padded integers (channels × rows × N ×
        columns)."""
        sums = x.new_zeros(len(self.bias), height * x.shape[2] * width)
        for row, kernel in enumerate(self.rows):
            rows = x[:, row :: self.stride][:, :height]
            sums.addmm_(kernel, self.unfolded(rows))
        return sums.view(-1, height, x.shape[2], width)

    def pairs_of_rows(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The same, two rows of the output at a time."""
        pairs = -(-height // 2)
        sums = x.new_zeros(4, len(self.bias), pairs * x.shape[2] * width)
        for group, kernels in enumerate(self.groups):
            d = [x[:, 3 * group + row :: 2][:, :pairs] for row in range(4)]
            for m, kernel, (combine, a, b) in zip(sums, kernels, INPUTS, strict=False):
                m.addmm_(kernel, self.unfolded(combine(d[a], d[b])))
        m0, m1, m2, m3 = sums.view(4, -1, pairs, x.shape[2], width)
        y = torch.stack([m0 + (m1 + m2) / 2, (m1 - m2) / 2 - m3], 2)
        return y.flatten(1, 2)[:, :height]

    def unfolded(self, rows: torch.Tensor) -> torch.Tensor:
        """For each channel and column of the kernel, what it is multiplied with: channels × rows ×
        N × columns to (channels · kernel) × (rows · N · width)."""
        windows = rows.unfold(3, self.kernel, self.stride)
        return windows.permute(0, 4, 1, 2, 3).flatten(0, 1).flatten(1)


def kernels_for_pairs(rows: torch.Tensor) -> list[torch.Tensor]:
    """What m0 to m3 multiply with; of two rows, m3 is 0 and left out."""
    g0, g1, g2 = F.pad(rows, (0, 0, 0, 0, 0, 3 - len(rows)))
    kernels = [g0, g0 + g1 + g2, g0 - g1 + g2, g2]
    return kernels if len(rows) == 3 else kernels[:3]


class _FrozenMaxPool2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, window: int, stride: int) -> torch.Tensor:
        y = block_maxima(x, window, stride)
        ctx.save_for_backward(x, y)
        ctx.window, ctx.stride = window, stride
        return y

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, y = ctx.saved_tensors
        stride = ctx.stride
        rows, columns = (stride * extent for extent in y.shape[-2:])
        grad_x = x.new_zeros(x.shape, dtype=torch.float64)
        for row in range(ctx.window):
            for column in range(ctx.window):
                place = ..., slice(row, row + rows, stride), slice(column, column + columns, stride)
                given = grad * (x[place] == y)
                grad_x[place] += given
                grad = grad - given  # zero from now on where it has been given away
        return grad_x.float(), None, None


class FrozenMaxPool2d(nn.Module):
    """Max pooling of blocks that may overlap. Not for training."""

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _FrozenMaxPool2d.apply(x, self.window, self.stride)
