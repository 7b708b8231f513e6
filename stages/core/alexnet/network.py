"""AlexNet with its trained convolutions (Krizhevsky, "One weird trick for parallelizing
convolutional neural networks", 2014, in torchvision's version)."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import AlexNet

from stages.core.base.errors import InputError
from stages.core.base.tensors import load_tensors
from stages.core.exact.frozen import FrozenConv2d, FrozenMaxPool2d

SMALLEST = 63  # side of an image, pixels; for less, the last pooling has no output
PIXELS = 2**18  # of images at a time through the network: more do not fit into a cache
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green, blue


def alexnet(features: Path) -> AlexNet:
    """The network in evaluation mode, with `features` loaded from a file of its state dict.

    The classifier stays on the meta device, with shapes but no numbers: no time goes into drawing
    58 million random ones. Raises InputError if the file has other tensors.
    """
    with torch.device("meta"):
        model = AlexNet()
    shapes = {
        f"features.{name}": ("float32", tensor.shape)
        for name, tensor in model.features.state_dict().items()
    }
    tensors = {
        name.removeprefix("features."): torch.from_numpy(array)
        for name, array in load_tensors(features, shapes).items()
    }
    model.features.load_state_dict(tensors, assign=True)
    for name, layer in model.features.named_children():
        match layer:
            case nn.Conv2d():
                model.features.set_submodule(name, FrozenConv2d(layer))
            case nn.MaxPool2d(kernel_size=int(window), stride=int(stride)):
                model.features.set_submodule(name, FrozenMaxPool2d(window, stride))
    return model.eval()


def check_side(side: int, path: Path) -> None:
    """Raises InputError if the image in a file, of `side` × `side` pixels, is too small."""
    if side < SMALLEST:
        raise InputError(
            f"{path} has {side} × {side} pixels; AlexNet needs {SMALLEST} × {SMALLEST} or more"
        )


def normalized(images: torch.Tensor) -> torch.Tensor:
    """Images N × 3 × height × width in [0, 1], standardised by each channel's mean and std."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


@torch.inference_mode()
def features(model: AlexNet, images: torch.Tensor) -> torch.Tensor:
    """The feature maps N × 256 × height × width of images N × 3 × height × width in [0, 1]."""
    batches = images.split(max(1, PIXELS // images[0, 0].numel()))
    return torch.cat([model.features(normalized(batch)) for batch in batches])
