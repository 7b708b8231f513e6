"""Files of digits, or of other images like them: three splits, each with images or their features,
and labels; the names of the labels are in the metadata."""

import math
from pathlib import Path
from typing import NamedTuple

import torch

from stages.core.base.errors import InputError
from stages.core.base.labels import read_labels
from stages.core.base.tensors import load_tensors, open_tensors

FEATURE_MAPS = 256  # of AlexNet's last convolution
SPLITS = ("test", "train", "val")  # sorted, as in the file

LABELS = {f"{split}_labels": ("int64", (split,)) for split in SPLITS}
IMAGES = LABELS | {f"{split}_images": ("uint8", (split, "side", "side")) for split in SPLITS}
FEATURES = LABELS | {f"{split}_features": ("float32", (split, "features")) for split in SPLITS}


class Split(NamedTuple):
    """A model's inputs (float32, N × channels × height × width) and their labels (int64, N)."""

    inputs: torch.Tensor
    labels: torch.Tensor


def read_splits(path: Path) -> dict[str, Split]:
    """The splits by name, with images N × 1 × side × side, scaled to [0, 1], or feature maps
    N × 256 × side × side. Raises InputError if the file holds something else."""
    with open_tensors(path) as file:
        embedded = any(name.endswith("_features") for name in file.keys())  # noqa: SIM118  no mapping
    tensors = load_tensors(path, FEATURES if embedded else IMAGES)
    num_labels = len(read_labels(path))
    splits = {}
    for split in SPLITS:
        labels = torch.from_numpy(tensors[f"{split}_labels"])
        if labels.min() < 0 or labels.max() >= num_labels:
            raise InputError(
                f"{path}: {split}_labels are from {labels.min()} to {labels.max()}; "
                f"they should be from 0 to {num_labels - 1}"
            )
        if embedded:
            inputs = feature_maps(torch.from_numpy(tensors[f"{split}_features"]), path)
        else:
            inputs = torch.from_numpy(tensors[f"{split}_images"]).unsqueeze(1) / 255
        splits[split] = Split(inputs, labels)
    return splits


def feature_maps(features: torch.Tensor, path: Path) -> torch.Tensor:
    """Features N × (256 · side · side) as feature maps N × 256 × side × side.

    Raises InputError, naming the file `path`, if the number of features does not fit.
    """
    num_features = features.shape[1]
    side = math.isqrt(num_features // FEATURE_MAPS)
    if num_features != FEATURE_MAPS * side**2:
        raise InputError(
            f"{path}: {num_features} features do not make {FEATURE_MAPS} square feature maps"
        )
    return features.view(-1, FEATURE_MAPS, side, side)
