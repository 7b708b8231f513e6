"""Layers whose sums are exact, forward and backward; they read as those of torch.nn.

Inputs, weights and outputs are float32. The integers of a product may be multiplied by any library
in any order: here torch's own matrix products and convolutions of float64. A layer whose weights
want no gradient is what the contract calls frozen.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from stages.core.exact import functions
from stages.core.exact.integers import (
    exact_sum,
    means_of_maps,
    product_bits,
    to_integers,
    to_integers_per_example,
)
from stages.core.exact.random import Words, initial_weight, keep_mask

Gradients = tuple[torch.Tensor | None, ...]
Split = Callable[[torch.Tensor, int], tuple[torch.Tensor, Any]]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        bits = product_bits(weight.shape[1])
        inputs, unit = to_integers_per_example(x, bits)
        weights, weight_unit = to_integers(weight, bits)
        return ((inputs @ weights.T).mul_(unit * weight_unit).add_(bias)).float()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Gradients:
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = ctx.needs_input_grad
        grad_x = None
        if of_x:
            split = to_integers if of_weight else to_integers_per_example
            grad_x = exact_product(torch.mm, grad, weight, len(weight), split)
        if not of_weight:
            return grad_x, None, None
        grad_weight = exact_product(torch.mm, grad.T, x, len(x))
        return grad_x, grad_weight, exact_sum(grad, [0]).float()


def exact_product(
    multiply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    a: torch.Tensor,
    b: torch.Tensor,
    num_terms: int,
    split: Split = to_integers,
) -> torch.Tensor:
    """What `multiply` makes of two tensors (float32), each number a sum of so many products.
    `split`: makes integers of the first."""
    bits = product_bits(num_terms)
    (left, left_unit), (right, right_unit) = split(a, bits), to_integers(b, bits)
    return multiply(left, right).mul_(left_unit * right_unit).float()


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        stride: int,
        padding: int,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        bits = product_bits(weight[0].numel())
        inputs, unit = to_integers_per_example(x, bits)
        weights, weight_unit = to_integers(weight, bits)
        sums = F.conv2d(inputs, weights, stride=stride, padding=padding)
        return sums.mul_(unit * weight_unit).add_(bias[:, None, None]).float()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding

        def of_weight(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return conv2d_weight(x, weight.shape, grad, stride, padding)

        grad_x = None
        if ctx.needs_input_grad[0]:
            split = to_integers if ctx.needs_input_grad[1] else to_integers_per_example
            grad_x = gradient_of_input(grad, weight, x.shape, stride, padding, split)
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None, None, None
        grad_weight = exact_product(of_weight, grad, x, grad[:, 0].numel())
        return grad_x, grad_weight, exact_sum(grad, [0, 2, 3]).float(), None, None


def gradient_of_input(
    grad: torch.Tensor,
    weight: torch.Tensor,
    shape: Sequence[int],
    stride: int,
    padding: int,
    split: Split = to_integers_per_example,
) -> torch.Tensor:
    """A convolution's gradient with respect to its input, of that shape."""

    def multiply(grad: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return conv2d_input(shape, weight, grad, stride, padding)

    return exact_product(multiply, grad, weight, weight[:, 0].numel(), split)


class _AvgPool2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, window: int) -> torch.Tensor:
        ctx.shape, ctx.window = x.shape, window
        rows, columns = (extent // window * window for extent in x.shape[-2:])
        return block_means(x[..., :rows, :columns], window)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        grad_x = grad.new_zeros(ctx.shape)
        for value in places(grad_x, ctx.window):
            value.copy_(grad.double() / ctx.window**2)
        return grad_x, None


class _MaxPool2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, window: int) -> torch.Tensor:
        y = block_maxima(x, window, window)
        ctx.save_for_backward(x, y)
        ctx.window = window
        return y

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        x, y = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        for value, share in zip(places(x, ctx.window), places(grad_x, ctx.window), strict=True):
            given = grad * (value == y)
            share.copy_(given)
            grad = grad - given  # zero from now on where it has been given away
        return grad_x, None


def places(x: torch.Tensor, window: int) -> Iterator[torch.Tensor]:
    """The values of all `window` × `window` blocks at one place of the block (views N × channels ×
    height / window × width / window), place by place in reading order. Drops what does not fill a
    block."""
    rows, columns = (extent // window * window for extent in x.shape[-2:])
    for row in range(window):
        for column in range(window):
            yield x[..., row:rows:window, column:columns:window]


def block_maxima(x: torch.Tensor, window: int, stride: int) -> torch.Tensor:
    """The largest of each `window` × `window` block, one every `stride` rows and columns."""
    for dim in (2, 3):  # rows before columns: several times as fast as max_pool2d
        x = reduce(torch.maximum, x.unfold(dim, window, stride).unbind(-1))
    return x


def block_means(x: torch.Tensor, window: int) -> torch.Tensor:
    """The mean (float32) of each `window` × `window` block of the last two dimensions; at the right
    and lower edge, blocks may be smaller."""
    below, right = (-extent % window for extent in x.shape[-2:])
    total = torch.zeros((), dtype=torch.float64)
    count = torch.zeros(())
    for value in places(F.pad(x, (0, right, 0, below)), window):
        total = total + value.double()
    for one in places(F.pad(torch.ones(x.shape[-2:]), (0, right, 0, below)), window):
        count = count + one
    return (total / count).float()


class _MapMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor) -> torch.Tensor:
        ctx.shape = maps.shape
        return means_of_maps(maps)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        share = grad.double() / (ctx.shape[2] * ctx.shape[3])
        return share.float()[..., None, None].expand(ctx.shape)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.from_numpy(functions.tanh(x.double().numpy())).float()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        return grad * (1 - y * y)


def initialize(layer: nn.Module, words: Words) -> None:
    """Draw a layer's initial weights and biases."""
    with torch.no_grad():
        for parameter in layer.parameters():  # the weight comes first; a bias has its fan_in
            fan_in = next(layer.parameters())[0].numel()
            parameter.copy_(initial_weight(words, tuple(parameter.shape), fan_in))


class Linear(nn.Linear):
    """A linear layer: N × inputs to N × outputs. Flattens feature maps first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_weights(x, self.weight, self.bias)

    def with_weights(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        return _Linear.apply(x.flatten(1), weight, bias)


class Conv2d(nn.Conv2d):
    """A convolution with square kernels and biases: N × channels × height × width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.bias is not None
        return self.with_weights(x, self.weight, self.bias)

    def with_weights(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        assert isinstance(self.padding, tuple)  # torch also accepts names, such as "same"
        (stride, _), (padding, _) = self.stride, self.padding
        return _Conv2d.apply(x, weight, bias, stride, padding)


class MaxPool2d(nn.Module):
    """The largest of each `window` × `window` block; drops what does not fill a block."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _MaxPool2d.apply(x, self.window)


class AvgPool2d(nn.Module):
    """The mean of each `window` × `window` block; drops what does not fill a block."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _AvgPool2d.apply(x, self.window)


class MapMeans(nn.Module):
    """The mean of each feature map: N × channels × height × width to N × channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _MapMeans.apply(x)


class Tanh(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Tanh.apply(x)


class Dropout(nn.Module):
    """In training, sets each value to zero with probability p, or else divides it by 1 - p."""

    def __init__(self, p: float, words: Words) -> None:
        super().__init__()
        self.p, self.words = p, words

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        keep = keep_mask(self.words, tuple(x.shape), self.p)
        return torch.where(keep, (x.double() / (1 - self.p)).float(), 0)
