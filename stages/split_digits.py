"""Split MNIST, or other images in its format, into training, validation and test images."""

from pathlib import Path

from stages.core.base.command import run

from stages.core.base.errors import InputError
from stages.core.base.labels import LabelNames, in_metadata
from stages.core.base.params import PARAMS, Count, Params, read_params
from stages.core.base.tensors import save_tensors
from stages.core.data.idx import read_dataset


class SplitParams(Params):
    path: str
    labels: LabelNames
    train: Count
    val: Count
    test: Count


def main(digits: Path) -> None:
    params = read_params("digits", SplitParams)
    parts, names = read_dataset(Path(params.path), params.labels, f"{PARAMS}: digits.labels")
    train, test = parts["train"], parts["t10k"]
    end = params.train + params.val
    if end > len(train.images):
        raise InputError(
            f"{PARAMS}: digits.train + digits.val is {end:,}; "
            f"it should be at most {len(train.images):,}, the number of training images in "
            f"{params.path}"
        )
    if params.test > len(test.images):
        raise InputError(
            f"{PARAMS}: digits.test is {params.test:,}; "
            f"it should be at most {len(test.images):,}, the number of test images in {params.path}"
        )
    tensors = {
        "train_images": train.images[: params.train],
        "train_labels": train.labels[: params.train],
        "val_images": train.images[params.train : end],
        "val_labels": train.labels[params.train : end],
        "test_images": test.images[: params.test],
        "test_labels": test.labels[: params.test],
    }
    save_tensors(tensors, digits, in_metadata(names))


if __name__ == "__main__":
    run(main)
