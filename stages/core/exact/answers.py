"""Which logit is the largest: the answers of the exact arithmetic, at the speed of float32.

A filtered predicate, as in computational geometry (Shewchuk, 1997): a forward pass in float32 comes
with a bound on its distance from the exact logits. Where the two largest logits are too far apart
for that to matter, the answer is certain; the other examples are computed exactly.
"""

import math
import os
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F

from stages.core.exact.integers import magnitude, product_bits
from stages.core.exact.layers import AvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, Tanh

BATCH = 256  # examples; far smaller or larger batches take longer
UNIT = 2.0**-24  # the largest relative error of rounding to float32
SMALLEST = 2.0**-126  # libraries may flush smaller numbers to zero
LARGEST = 2.0**127  # sums up to here do not overflow
SLACK = 1.01  # for the rounding of the bound itself, and for products of small errors

# Its Winograd convolutions are less accurate than sums of products.
torch.backends.nnpack.set_flags(False)


def is_float32_trusted() -> bool:
    """Whether torch multiplies float32 as float32, and not with fewer bits for speed."""
    modes = {os.environ.get(f"{prefix}_DEFAULT_FPMATH_MODE", "") for prefix in ("ONEDNN", "DNNL")}
    onednn = torch.backends.mkldnn
    if hasattr(onednn, "conv"):  # from PyTorch 2.9; the older question fails where these are set
        operations = onednn.matmul, onednn.conv  # type: ignore[attr-defined]
        precisions = {operation.fp32_precision for operation in operations}
    else:
        precisions = {torch.get_float32_matmul_precision()}
    return modes <= {"", "STRICT"} and precisions <= {"none", "ieee", "highest"}


class Answers:
    """Answers of a model in evaluation mode, with its present weights."""

    def __init__(self, model: nn.Sequential) -> None:
        self.model = model
        self.bounds = {layer: Bound(layer) for layer in model if isinstance(layer, Linear | Conv2d)}

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """For each of N examples, the index of its largest exact logit (int64, N)."""
        if not is_float32_trusted():
            return self.exact(x)
        logits, errors = zip(*(self.approximate(batch) for batch in x.split(BATCH)), strict=True)
        largest, order = torch.cat(logits).topk(2)
        answers = order[:, 0]
        error = torch.tensor(errors, dtype=torch.float64).max()  # nan if one is
        unsure = ~(largest[:, 0].double() - largest[:, 1] > 2 * error)  # also if one is nan
        if unsure.any():
            answers[unsure] = self.exact(x[unsure])
        return answers

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        """The same without a shortcut."""
        return torch.cat([self.model(batch).argmax(1) for batch in x.split(BATCH)])

    def approximate(self, x: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The logits N × labels in float32, and a bound on their distance from the exact ones."""
        error = 0.0
        layers = [*self.model]
        while layers:
            match layers:
                case [Linear() as layer, *layers]:
                    error = self.bounds[layer](x, error)
                    x = F.linear(x.flatten(1), layer.weight, layer.bias)
                case [Conv2d() as layer, MaxPool2d(window=2), *layers]:
                    error = self.bounds[layer](x, error)
                    x = pooled_convolution(x, layer)
                case [Conv2d() as layer, *layers]:
                    error = self.bounds[layer](x, error)
                    x = F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)
                case [AvgPool2d() as layer, *layers]:
                    count = layer.window**2
                    error += 2 * rounding(count, count * (magnitude(x) + error)) / count
                    x = F.avg_pool2d(x, layer.window)
                case [Tanh(), *layers]:
                    error += 16 * UNIT  # libraries promise 1 to 4
                    x = torch.tanh(x)
                case [nn.ReLU() | MaxPool2d() | Dropout() as layer, *layers]:
                    x = layer(x)  # compares and copies: no new error
                case [layer, *layers]:
                    x, error = layer(x), math.inf
        return x, error


def pooled_convolution(x: torch.Tensor, layer: Conv2d) -> torch.Tensor:
    """A convolution and 2 × 2 max pooling, in half the time of one after the other: each place of
    the blocks has its own output channels, with the kernel shifted in one of twice the stride."""
    (kernel, _), (stride, _) = layer.kernel_size, layer.stride
    side = kernel + stride
    kernels = layer.weight.new_zeros(2, 2, *layer.weight.shape[:2], side, side)
    for row, column in product(range(2), repeat=2):
        top, left = row * stride, column * stride
        kernels[row, column, :, :, top : top + kernel, left : left + kernel] = layer.weight
    assert layer.bias is not None
    y = F.conv2d(x, kernels.flatten(0, 2), layer.bias.repeat(4), 2 * stride, layer.padding)
    return y.unflatten(1, (4, -1)).amax(1)


def rounding(num_terms: int, total: float) -> float:
    """How far a sum of so many products in float32, in any order, may be off, if the magnitudes of
    its terms add up to `total` (Higham, "Accuracy and Stability of Numerical Algorithms", 2002,
    section 3.1). Infinite if it may overflow."""
    if not total < LARGEST:  # or is nan
        return math.inf
    relative = (num_terms + 2) * UNIT
    return relative / (1 - relative) * total + num_terms * SMALLEST


class Bound:
    """How far the outputs of a linear layer or a convolution in float32 may be from the exact
    ones."""

    def __init__(self, layer: Linear | Conv2d) -> None:
        magnitudes = layer.weight.detach().flatten(1).abs()
        self.num_terms = magnitudes.shape[1]
        self.sum_of_weights = magnitudes.double().sum(1).max().item()  # the largest of an output
        self.largest_weight = magnitudes.max().item()
        assert layer.bias is not None
        self.largest_bias = magnitude(layer.bias.detach())

    def __call__(self, x: torch.Tensor, error: float) -> float:
        """The bound for inputs of float32, which are off by at most `error` themselves."""
        largest = magnitude(x) + error
        sum_of_products = self.sum_of_weights * largest
        integer = 2.0 ** -product_bits(self.num_terms)  # what rounding to integers does, relatively
        flushed = self.num_terms * SMALLEST * (largest + self.largest_weight)
        return SLACK * (
            self.sum_of_weights * error
            + integer * (sum_of_products + self.num_terms * self.largest_weight * largest)
            + rounding(self.num_terms + 1, sum_of_products + self.largest_bias)
            + flushed
        )
