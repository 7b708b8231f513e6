"""Weights for AlexNet's convolutions, made up, for tests that need not the trained ones."""

from pathlib import Path

import numpy as np
import torch
from torchvision.models import AlexNet

from stages.core.base.tensors import save_tensors


def write_random_weights(path: Path) -> None:
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in AlexNet().features.state_dict().items()}
    random = np.random.default_rng(0)
    arrays = {
        f"features.{name}": random.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]))
        for name, shape in shapes.items()
    }
    save_tensors({name: array.astype(np.float32) for name, array in arrays.items()}, path)
