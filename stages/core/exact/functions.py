"""Elementary functions of float64, and the cross-entropy.

Libraries compute exp, log and tanh in ways of their own, which differ in the last digits. These
are series, one IEEE operation at a time, which numpy's operations are.
"""

from typing import Any

import numpy as np
import torch

from stages.core.exact.integers import exact_mean

LN2 = 0.6931471805599453  # the nearest float64
SQRT_HALF = 0.7071067811865476
LEAST = -700.0  # below, e^x nears the end of what float64 can hold

# Infinite logits give nan without a warning: training checks its loss.
quietly = np.errstate(invalid="ignore")


def exp(x: np.ndarray) -> np.ndarray:
    """e^x for x up to 0: its Taylor series on [-ln2 / 2, ln2 / 2], times a power of two."""
    x = np.maximum(x, LEAST)
    exponent = np.rint(x * (1 / LN2))
    rest = x - exponent * LN2
    series = np.ones_like(x)
    for i in range(14, 0, -1):
        series *= rest
        series /= i
        series += 1
    return np.ldexp(series, exponent.astype(np.int32))


def log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm of x > 0: of its mantissa m from sqrt(1/2) to sqrt(2), by the series
    of 2 artanh(s), s = (m - 1) / (m + 1)."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < SQRT_HALF
    mantissa, exponent = np.where(small, 2 * mantissa, mantissa), exponent - small
    s = (mantissa - 1) / (mantissa + 1)
    square = s * s
    series = np.zeros_like(x)
    for i in range(21, 0, -2):
        series *= square
        series += 1 / i
    return 2 * s * series + exponent * LN2


@quietly
def tanh(x: np.ndarray) -> np.ndarray:
    """Its Taylor series near 0, where the quotient would lose digits."""
    t = exp(-2 * np.abs(x))
    quotient = np.copysign((1 - t) / (1 + t), x)
    return np.where(np.abs(x) < 2**-10, x - x * x * x / 3, quotient)


@quietly
def softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of N × labels logits, and the logarithm of each example's sum of e^logit
    (N); both float64."""
    z = logits.astype(np.float64)
    top = z.max(1)
    powers = exp(z - top[:, None])
    total = np.zeros(len(z))
    for column in powers.T:
        total += column
    return powers / total[:, None], log(total) + top


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        chosen = np.arange(len(labels)), labels.numpy()
        probabilities, log_sums = softmax(logits.numpy())
        losses = torch.from_numpy(log_sums - logits.numpy()[chosen])
        probabilities[chosen] -= 1
        ctx.save_for_backward(torch.from_numpy(probabilities / len(labels)).float())
        return torch.tensor(exact_mean(losses), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad * ctx.saved_tensors[0], None


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy (nats, float32) of logits N × labels (float32)."""
    return _CrossEntropy.apply(logits, labels)
