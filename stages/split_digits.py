"""Split MNIST into training, validation and test images."""

from pathlib import Path

from stages.core.base.command import run

import numpy as np

from stages.core.base.errors import InputError
from stages.core.base.params import PARAMS, Count, Params, read_params
from stages.core.base.tensors import save_tensors
from stages.core.data.idx import read_digits


class SplitParams(Params):
    train: Count
    val: Count
    test: Count


def main(mnist: Path, digits: Path) -> None:
    params = read_params("digits", SplitParams)
    train_images, train_labels = read_digits(mnist, "train")
    test_images, test_labels = read_digits(mnist, "t10k")
    end = params.train + params.val
    if end > len(train_images):
        raise InputError(
            f"{PARAMS}: digits.train + digits.val is {end:,}; "
            f"it should be at most {len(train_images):,}, the number of MNIST's training images"
        )
    if params.test > len(test_images):
        raise InputError(
            f"{PARAMS}: digits.test is {params.test:,}; "
            f"it should be at most {len(test_images):,}, the number of MNIST's test images"
        )
    tensors = {
        "train_images": train_images[: params.train],
        "train_labels": train_labels[: params.train].astype(np.int64),
        "val_images": train_images[params.train : end],
        "val_labels": train_labels[params.train : end].astype(np.int64),
        "test_images": test_images[: params.test],
        "test_labels": test_labels[: params.test].astype(np.int64),
    }
    save_tensors(tensors, digits)


if __name__ == "__main__":
    run(main)
