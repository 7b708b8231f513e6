"""Numbers as integers in float64, small enough that their sums and products are exact."""

import math
from collections.abc import Sequence

import numpy as np
import torch

SIGNIFICAND = 53  # bits of float64: integers up to 2^53 are exact


def product_bits(num_terms: int) -> int:
    """The bits of either factor in a sum of `num_terms` products."""
    return (SIGNIFICAND - (num_terms - 1).bit_length()) // 2


def sum_bits(num_terms: int) -> int:
    """The bits of each number in a sum of `num_terms`."""
    return SIGNIFICAND - (num_terms - 1).bit_length()


def magnitude(x: torch.Tensor) -> float:
    """The largest magnitude."""
    return max(-x.amin().item(), x.amax().item())  # faster than aminmax


def to_integers(x: torch.Tensor, bits: int) -> tuple[torch.Tensor, float]:
    """Integers (float64) and their unit, a power of two: `x` is about integers * unit. All are nan
    if a number is not finite."""
    largest = magnitude(x)
    _, exponent = math.frexp(largest)
    unit = math.ldexp(1, exponent - bits) if math.isfinite(largest) else math.nan
    return x.to(torch.float64, copy=True).mul_(1 / unit).round_(), unit


def to_integers_per_example(x: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same with a unit for each example of a batch, in a shape that broadcasts."""
    largest = x.flatten(1).abs().amax(1).numpy()
    _, exponents = np.frexp(largest)
    units = np.where(np.isfinite(largest), np.ldexp(1.0, exponents - bits), np.nan)
    shape = -1, *[1] * (x.dim() - 1)
    scale, unit = (torch.from_numpy(values).view(shape) for values in (1 / units, units))
    return x.to(torch.float64, copy=True).mul_(scale).round_(), unit


def exact_sum(x: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """The sum over some dimensions (float64)."""
    bits = sum_bits(math.prod(x.shape[dim] for dim in dims))
    integers, unit = to_integers(x, bits)
    return integers.sum(tuple(dims)) * unit


def exact_mean(x: torch.Tensor) -> float:
    """The mean of all numbers."""
    return exact_sum(x, range(x.dim())).item() / x.numel()


def means_of_maps(maps: torch.Tensor) -> torch.Tensor:
    """The mean of each feature map (float32, N × channels) of N × channels × height × width."""
    num_terms = maps.shape[2] * maps.shape[3]
    integers, units = to_integers_per_example(maps, sum_bits(num_terms))
    return (integers.sum((2, 3)) * units[..., 0, 0] / num_terms).float()


def for_distances(points: torch.Tensor) -> torch.Tensor:
    """Points N × K as integers (float64) so small that `squared_distances` of them are exact."""
    return to_integers(points, product_bits(4 * points.shape[1]))[0]


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of each of N points from each of M others (float64, N × M), all made by `for_distances`."""
    own, other = ((points * points).sum(1) for points in (a, b))
    return (a @ b.T).mul_(-2).add_(own[:, None]).add_(other)
