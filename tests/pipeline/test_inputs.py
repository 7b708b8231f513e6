"""What all else is made of: the digits and the photograph."""

from pathlib import Path

import matplotlib
from PIL import Image

from stages.core.base.tensors import load_tensors


def test_real_mnist_is_split_as_the_lesson_does(pipeline):
    digits = load_tensors(pipeline / "data/digits.safetensors")
    shapes = {name: tensor.shape for name, tensor in digits.items()}
    assert shapes == {
        "train_images": (2000, 28, 28),
        "train_labels": (2000,),
        "val_images": (500, 28, 28),
        "val_labels": (500,),
        "test_images": (10000, 28, 28),
        "test_labels": (10000,),
    }
    # The first labels of MNIST, as everybody knows them.
    assert digits["train_labels"][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert digits["test_labels"][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_default_is_the_photograph_that_matplotlib_ships(pipeline):
    sample = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg").read_bytes()
    assert (pipeline / "data/grace_hopper.jpg").read_bytes() == sample
    photo = Image.open(pipeline / "data/photo.png")
    assert (photo.size, photo.mode) == ((631, 631), "RGB")
