"""The classifiers of the lesson: each takes digits N × 1 × 28 × 28 to logits N × 10.

The layers have PyTorch's default initial weights, drawn from torch's global generator.
"""

from stages.core.numerics import Conv2d, torch

from torch import nn
from torch.nn import functional as F


class LogisticRegression(nn.Module):
    """One linear layer: a weight for each input and digit. 7,850 parameters for the pixels.

    On the features of a trained network, N × `num_inputs`, it is known as a linear probe.
    """

    def __init__(self, num_inputs: int = 28 * 28) -> None:
        super().__init__()
        self.layer = nn.Linear(num_inputs, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


class MLP(nn.Module):
    """A multilayer perceptron with one hidden layer: 795 parameters a unit, and 10 biases."""

    def __init__(self, num_hidden: int) -> None:
        super().__init__()
        self.layer1 = nn.Linear(28 * 28, num_hidden)
        self.layer2 = nn.Linear(num_hidden, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer2(F.relu(self.layer1(x.flatten(1))))


class CNN(nn.Module):
    """Two convolutions, each followed by pooling and ReLU, and a linear layer. 4,266 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Conv2d(1, 4, kernel_size=3, padding=1)
        self.conv2 = Conv2d(4, 8, kernel_size=3, padding=1)
        self.fc = nn.Linear(8 * 7 * 7, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Pooling first gives the same values and gradients, and leaves ReLU a quarter of the work.
        x = F.relu(max_pool_2x2(self.conv1(x)))  # N × 4 × 14 × 14
        x = F.relu(max_pool_2x2(self.conv2(x)))  # N × 8 × 7 × 7
        return self.fc(x.flatten(1))


def max_pool_2x2(x: torch.Tensor) -> torch.Tensor:
    """The maximum of each 2 × 2 block; height and width are even.

    Without gradients it is taken of strided halves: the same values, several times as fast. With
    them PyTorch's pooling layer decides which of two equal values gets the gradient.
    """
    if torch.is_grad_enabled():
        return F.max_pool2d(x, 2)
    x = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    return torch.maximum(x[..., ::2], x[..., 1::2])


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
