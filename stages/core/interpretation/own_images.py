"""The classifier of one's own images as a function of pixels."""

from pathlib import Path

import torch
from torch import nn

from stages.core.alexnet.network import alexnet
from stages.core.classifier.model import Classifier
from stages.core.exact.layers import Linear, MapMeans
from stages.core.interpretation.pixels import Features


class Standardise(nn.Module):
    """Features (N × K) by the mean and standard deviation of the classifier's training images."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier.standardised(x)


def on_images(classifier: Classifier, weights: Path) -> nn.Module:
    """The logits (N × labels) of images N × 3 × height × width in [0, 1], by the means of AlexNet's
    feature maps; differentiable with respect to the images. Raises InputError if the file of
    AlexNet's weights has other tensors."""
    num_labels, num_features = classifier.weight.shape
    layer = Linear(num_features, num_labels)
    layer.load_state_dict({"weight": classifier.weight, "bias": classifier.bias})
    layer.requires_grad_(False)
    return nn.Sequential(Features(alexnet(weights)), MapMeans(), Standardise(classifier), layer)
