"""Enlarging images bilinearly, in integers, and repeating grey for red, green and blue."""

from typing import Any

import numpy as np
import torch
from torch import nn

from stages.core.exact.integers import SIGNIFICAND, to_integers_per_example

FRACTION = 2**14  # of a byte: finer than any eye, and the float32 nearest to a byte / 255 is a byte


def bilinear_weights(side: int, size: int) -> np.ndarray:
    """Size × side integers: what each pixel of the enlarged image takes of those of the image, in
    1 / (2 * size)."""
    unit = 2 * size
    place = np.maximum((2 * np.arange(size) + 1) * side - size, 0)
    pixel, fraction = place // unit, place % unit
    weights = np.zeros((size, side))
    np.add.at(weights, (np.arange(size), pixel), unit - fraction)
    np.add.at(weights, (np.arange(size), np.minimum(pixel + 1, side - 1)), fraction)
    return weights


def enlarged(images: np.ndarray, size: int) -> torch.Tensor:
    """Images N × side × side (uint8), enlarged to N × 1 × size × size (float32, 0 to 1), as
    torch's bilinear interpolation does with `align_corners=False`."""
    rows = torch.from_numpy(bilinear_weights(images.shape[-1], size))
    sums = rows @ torch.from_numpy(images).double() @ rows.T
    return (sums / ((2 * size) ** 2 * 255)).float().unsqueeze(1)


class _Enlarge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int) -> torch.Tensor:
        ctx.weights = bilinear_weights(x.shape[-1], size)
        rows = torch.from_numpy(ctx.weights)
        sums = rows @ x.double().mul_(255 * FRACTION).round_() @ rows.T
        return (sums / ((2 * size) ** 2 * 255 * FRACTION)).float()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        size = len(ctx.weights)
        largest = int(ctx.weights.sum(0).max())
        bits = SIGNIFICAND - 2 * (largest - 1).bit_length()
        integers, unit = to_integers_per_example(grad, bits)
        rows = torch.from_numpy(ctx.weights)
        return (rows.T @ integers @ rows).mul_(unit).div_((2 * size) ** 2).float(), None


class Enlarge(nn.Module):
    """What `enlarged` does, for pixels in [0, 1] (float32): N × 1 × side × side to N × 1 × size ×
    size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Enlarge.apply(x, self.size)


class _RepeatGrey(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.expand(-1, 3, -1, -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        red, green, blue = grad.double().unbind(1)
        return (red + green + blue).float().unsqueeze(1)


class RepeatGrey(nn.Module):
    """Grey images N × 1 × height × width in red, green and blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _RepeatGrey.apply(x)
