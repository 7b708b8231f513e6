"""Models as functions of pixels, whichever input they have."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import AlexNet

from stages.core.alexnet.network import alexnet, normalized
from stages.core.exact.images import Enlarge, RepeatGrey
from stages.core.learning.models import frozen
from stages.core.learning.trained import TrainedModel


class Features(nn.Module):
    """AlexNet's feature maps N × 256 × height × width of images N × 3 × height × width in
    [0, 1]."""

    def __init__(self, model: AlexNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.features(normalized(x))


def on_pixels(model: TrainedModel, weights: Path, size: int) -> nn.Sequential:
    """The logits (N × labels) of grey images N × 1 × side × side in [0, 1], for a model of pixels
    or of AlexNet's features, differentiable with respect to the images.

    A model of features gets those that AlexNet with these weights has of the images, enlarged to
    `size` × `size` pixels. The model's own layers stand last. Raises InputError if the file has
    other tensors.
    """
    layers = frozen(model)
    if model.sees_pixels:
        return layers
    return nn.Sequential(Enlarge(size), RepeatGrey(), Features(alexnet(weights)), *layers)
