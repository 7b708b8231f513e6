"""Optimizers, one IEEE operation at a time.

numpy's operations on float64 are that; torch's optimizers fuse several, and compute square roots
with a vector library that may round otherwise.
"""

from collections.abc import Sequence

import numpy as np
import torch

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

# Weights may become infinite or nan without a warning: training checks them.
quietly = np.errstate(over="ignore", invalid="ignore")


class SGD:
    """Stochastic gradient descent with momentum (Sutskever et al., 2013, in PyTorch's form)."""

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        *,
        learning_rate: float,
        weight_decay: float,
        momentum: float,
    ) -> None:
        self.weights = [parameter.detach().numpy() for parameter in parameters]
        self.velocities = [np.zeros(weight.shape) for weight in self.weights]
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.momentum = momentum

    @quietly
    def update(self, gradients: Sequence[torch.Tensor]) -> None:
        """Update the parameters in place, given their gradients."""
        for weight, gradient, v in zip(self.weights, gradients, self.velocities, strict=True):
            w = weight.astype(np.float64)
            v[:] = self.momentum * v + (gradient.numpy() + self.weight_decay * w)
            weight[:] = w - self.learning_rate * v


class Adam:
    """Adam (Kingma and Ba, 2015), with torch's default betas and epsilon."""

    def __init__(
        self, parameters: Sequence[torch.Tensor], *, learning_rate: float, weight_decay: float
    ) -> None:
        self.weights = [parameter.detach().numpy() for parameter in parameters]
        self.means, self.squares = (
            [np.zeros(weight.shape) for weight in self.weights] for _ in range(2)
        )
        self.powers = 1.0, 1.0  # of the betas, up to the number of updates
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    @quietly
    def update(self, gradients: Sequence[torch.Tensor]) -> None:
        """Update the parameters in place, given their gradients."""
        self.powers = self.powers[0] * BETA1, self.powers[1] * BETA2
        c1, c2 = (1 - power for power in self.powers)
        step, unbiased = self.learning_rate / c1, 1 / c2
        for weight, gradient, m, v in zip(
            self.weights, gradients, self.means, self.squares, strict=True
        ):
            w = weight.astype(np.float64)
            g = gradient.numpy() + self.weight_decay * w
            m *= BETA1
            m += (1 - BETA1) * g
            v *= BETA2
            v += (1 - BETA2) * (g * g)
            weight[:] = w - step * m / (np.sqrt(v * unbiased) + EPS)
