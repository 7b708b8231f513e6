"""Compute AlexNet's features of every digit, for models to learn from."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

import numpy as np
from pydantic import Field
from torchvision.models import AlexNet

from stages.core.alexnet.network import SMALLEST, alexnet, features
from stages.core.base.errors import InputError
from stages.core.base.labels import in_metadata, read_labels
from stages.core.base.params import PARAMS, Params, read_params
from stages.core.base.progress import progress
from stages.core.base.tensors import new_tensors, open_tensors
from stages.core.data.digits import IMAGES, SPLITS
from stages.core.exact.images import enlarged
from stages.core.parallel.threads import in_threads

BATCH = 32  # digits at a time through the network


class EmbedParams(Params):
    size: Annotated[int, Field(ge=SMALLEST, le=224)]


def embed(model: AlexNet, size: int, digits: np.ndarray) -> np.ndarray:
    """The features (float32, N × 256 · n · n) of digits N × side × side (uint8), which are enlarged
    to `size` × `size` and repeated for red, green and blue."""
    large = enlarged(digits, size)
    return features(model, large.expand(-1, 3, -1, -1)).flatten(1).numpy()


def main(weights: Path, digits: Path, embedded_digits: Path) -> None:
    params = read_params("embed", EmbedParams)
    model = alexnet(weights)
    names = read_labels(digits)
    with open_tensors(digits, IMAGES) as tensors:
        labels = {f"{split}_labels": tensors.get_tensor(f"{split}_labels") for split in SPLITS}
        images = {split: tensors.get_slice(f"{split}_images") for split in SPLITS}
        counts = {split: len(labels[f"{split}_labels"]) for split in SPLITS}
        side = images["train"].get_shape()[1]
        if side > params.size:
            raise InputError(
                f"{PARAMS}: embed.size is {params.size}; "
                f"it should be at least {side}, the side of the images"
            )
        num_features = embed(model, params.size, np.zeros((1, side, side), np.uint8)).size

        def batches() -> Iterator[np.ndarray]:
            for split, count in counts.items():
                for start in range(0, count, BATCH):
                    yield images[split][start : min(start + BATCH, count)]

        shapes = {name: ("int64", array.shape) for name, array in labels.items()}
        shapes |= {f"{s}_features": ("float32", (n, num_features)) for s, n in counts.items()}
        with new_tensors(embedded_digits, shapes, in_metadata(names)) as file:
            for array in labels.values():
                file.write(array.tobytes())
            with progress(sum(counts.values()), "digits") as done:
                for rows in in_threads(partial(embed, model, params.size), batches()):
                    file.write(rows.tobytes())
                    done.update(len(rows))


if __name__ == "__main__":
    run(main)
