"""Which logit is the largest: the answers of the exact arithmetic, at the speed of float32.

A filtered predicate, as in computational geometry (Shewchuk, 1997): a forward pass in float32 comes
with a bound on its distance from the exact logits. Where the two largest logits are too far apart
for that to matter, the answer is certain; the other examples are computed exactly.
"""

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F

from stages.core.exact.integers import magnitude, product_bits
from stages.core.exact.layers import AvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, Tanh

BATCH = 256  # examples; far smaller or larger batches take longer
COLUMNS = 128  # of a matrix product: with far fewer, it waits for memory
UNIT = 2.0**-24  # the largest relative error of rounding to float32
SMALLEST = 2.0**-126  # libraries may flush smaller numbers to zero
LARGEST = 2.0**127  # sums up to here do not overflow
SLACK = 1.01  # for the rounding of the bound itself, and for products of small errors

Weights = Mapping[str, torch.Tensor]  # of a model, by their names in its state dict

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


def most_at_once(model: nn.Sequential) -> int:
    """How many sets of weights `Answers` should get. Linear layers that see the same inputs make
    one wide product, which is faster than several narrow ones; convolutions gain nothing, and get
    one."""
    first = next(layer for layer in model if isinstance(layer, Linear | Conv2d))
    return max(1, COLUMNS // first.out_features) if isinstance(first, Linear) else 1


class Answers:
    """Answers of a model in evaluation mode, with each of M sets of weights: the one that it has,
    if there are no others."""

    def __init__(self, model: nn.Sequential, sets: Sequence[Weights] = ()) -> None:
        sets = sets or [model.state_dict()]
        self.num_sets = len(sets)
        self.layers: list[nn.Module | Stack] = []
        for name, layer in model.named_children():
            match layer:
                case Linear():
                    self.layers.append(LinearStack(layer, name, sets))
                case Conv2d():
                    self.layers.append(ConvStack(layer, name, sets))
                case _:
                    self.layers.append(layer)

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """For each of N examples, the indices of its largest exact logits (int64, N × M)."""
        if not is_float32_trusted():
            return torch.stack([self.exact(x, index) for index in range(self.num_sets)], 1)
        logits, errors = zip(*(self.approximate(batch) for batch in x.split(BATCH)), strict=True)
        largest, order = torch.cat(logits).topk(2)
        answers = order[..., 0]
        error = torch.tensor(errors, dtype=torch.float64).max()  # nan if one is
        unsure = ~(largest[..., 0].double() - largest[..., 1] > 2 * error)  # also if one is nan
        for index in range(self.num_sets):
            some = unsure[:, index]
            if some.any():
                answers[some, index] = self.exact(x[some], index)
        return answers

    def exact(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """The answers with one set of weights (N), without a shortcut."""
        return torch.cat([self.logits(batch, index).argmax(1) for batch in x.split(BATCH)])

    def logits(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """The exact logits with one set of weights, N × labels."""
        for layer in self.layers:
            x = layer.exact(x, index) if isinstance(layer, Stack) else layer(x)
        return x

    def approximate(self, x: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The logits in float32, N × M × labels, and a bound on their distance from the exact
        ones."""
        error = 0.0
        layers = self.layers
        while layers:
            match layers:
                case [ConvStack() as stack, MaxPool2d(window=2), *layers]:
                    error = stack.bound(x, error)
                    x = stack.pooled_maps(x)
                case [LinearStack() | ConvStack() as stack, *layers]:
                    error = stack.bound(x, error)
                    x = stack.outputs(x)
                case [AvgPool2d() as layer, *layers]:
                    count = layer.window**2
                    error += 2 * rounding(count, count * (magnitude(x) + error)) / count
                    x = F.avg_pool2d(x, layer.window)
                case [Tanh(), *layers]:
                    error += 16 * UNIT  # libraries promise 1 to 4
                    x = torch.tanh(x)
                case [nn.ReLU() | MaxPool2d() | Dropout() as layer, *layers]:
                    x = layer(x)  # compares and copies: no new error
                case [nn.Module() as layer, *layers]:
                    x, error = layer(x), math.inf
        return x, error


class Stack:
    """A layer with each of M sets of weights."""

    def __init__(self, layer: Linear | Conv2d, name: str, sets: Sequence[Weights]) -> None:
        self.layer = layer
        self.weight, self.bias = (  # M × outputs × inputs …, M × outputs
            torch.stack([weights[f"{name}.{part}"] for weights in sets])
            for part in ("weight", "bias")
        )
        magnitudes = self.weight.flatten(2).abs()
        self.num_terms = magnitudes.shape[2]
        self.sum_of_weights = magnitudes.double().sum(2).max().item()  # the largest of an output
        self.largest_weight = magnitudes.max().item()
        self.largest_bias = magnitude(self.bias)

    def exact(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """The exact outputs with one set of weights."""
        return self.layer.with_weights(x, self.weight[index], self.bias[index])

    def bound(self, x: torch.Tensor, error: float) -> float:
        """How far outputs in float32 may be from the exact ones, for inputs that are off by at most
        `error` themselves."""
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


class LinearStack(Stack):
    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """N × M × units in float32, of inputs N × … that all sets share, or of N × M × inputs."""
        if x.dim() == 3:
            y = torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight.mT)
            return y.transpose(0, 1)
        y = F.linear(x.flatten(1), self.weight.flatten(0, 1), self.bias.flatten())
        return y.unflatten(1, self.bias.shape)


class ConvStack(Stack):
    """A convolution with the one set of weights that there is."""

    def __init__(self, layer: Conv2d, name: str, sets: Sequence[Weights]) -> None:
        super().__init__(layer, name, sets)
        (self.kernel, _), (self.stride, _) = layer.kernel_size, layer.stride
        self.padding = layer.padding

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps in float32."""
        return F.conv2d(x, self.weight[0], self.bias[0], self.stride, self.padding)

    def pooled_maps(self, x: torch.Tensor) -> torch.Tensor:
        """The maxima of 2 × 2 blocks of the feature maps, in half the time of one after the other:
        each place of the blocks has its own output channels, with the kernel shifted in one of
        twice the stride."""
        y = F.conv2d(x, self.shifted, self.bias[0].repeat(4), 2 * self.stride, self.padding)
        return y.unflatten(1, (4, -1)).amax(1)

    @cached_property
    def shifted(self) -> torch.Tensor:
        """Four kernels for each of the layer's."""
        side = self.kernel + self.stride
        kernels = self.weight.new_zeros(2, 2, *self.weight.shape[1:3], side, side)
        for row, column in product(range(2), repeat=2):
            top, left = row * self.stride, column * self.stride
            rows, columns = slice(top, top + self.kernel), slice(left, left + self.kernel)
            kernels[row, column, :, :, rows, columns] = self.weight[0]
        return kernels.flatten(0, 2)


def rounding(num_terms: int, total: float) -> float:
    """How far a sum of so many products in float32, in any order, may be off, if the magnitudes of
    its terms add up to `total` (Higham, "Accuracy and Stability of Numerical Algorithms", 2002,
    section 3.1). Infinite if it may overflow."""
    if not total < LARGEST:  # or is nan
        return math.inf
    relative = (num_terms + 2) * UNIT
    return relative / (1 - relative) * total + num_terms * SMALLEST
