"""IDX files, and the splits made of them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stages import sample_images
from stages.core.base.errors import InputError
from stages.core.base.tensors import load_tensors
from stages.core.data.idx import read_idx

from common import paths
from common.stages import run_stage


def idx(*shape, magic=None, data=None):
    data = np.arange(np.prod(shape), dtype=np.uint8).tobytes() if data is None else data
    magic = 0x0800 + len(shape) if magic is None else magic
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + data


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A folder with a small MNIST of 20 and 10 images of 28 × 28."""
    monkeypatch.chdir(tmp_path)
    Path("data/mnist").mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        Path(f"data/mnist/{part}-images-idx3-ubyte").write_bytes(idx(count, 28, 28))
        labels = bytes(label % 10 for label in range(count))
        Path(f"data/mnist/{part}-labels-idx1-ubyte").write_bytes(idx(count, data=labels))
    write_params(train=12, val=5, test=8)


def write_params(**digits):
    Path("params.yaml").write_text(yaml.safe_dump({"digits": digits}), encoding="utf-8")


def test_idx_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(idx(3, 4, 5))
    assert np.array_equal(read_idx(path, ndim=3), np.arange(60).reshape(3, 4, 5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes, fewer than the 16 of an IDX header"),
        (idx(3, 4, 5)[:15], "has 15 bytes, fewer than the 16 of an IDX header"),
        (idx(3, 4, 5, magic=0x0801), "starts with 0x00000801, not with 0x00000803"),
        (idx(3, 4, 5, magic=0x0D03), "starts with 0x00000d03, not with 0x00000803"),
        (idx(3, 4, 5)[:-1], "has 75 bytes, but its header, 3 × 4 × 5 elements, asks for 76"),
        (idx(3, 4, 5) + b"!", "has 77 bytes, but its header, 3 × 4 × 5 elements, asks for 76"),
        (idx(2**32 - 1, 2**32 - 1, 2**32 - 1, data=b"!"), "has 17 bytes, but its header"),
    ],
)
def test_idx_that_does_not_fit_is_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx(path, ndim=3)


def test_the_splits_are_the_first_images_in_order(mnist):
    run_stage("split_digits")
    digits = load_tensors(Path("data/digits.safetensors"))
    images = np.arange(20 * 784, dtype=np.uint8).reshape(20, 28, 28)
    labels = np.arange(20) % 10
    for name, expected in {"train": slice(12), "val": slice(12, 17), "test": slice(8)}.items():
        assert np.array_equal(digits[f"{name}_images"], images[expected])
        assert np.array_equal(digits[f"{name}_labels"], labels[expected])
        assert digits[f"{name}_images"].dtype == np.uint8
        assert digits[f"{name}_labels"].dtype == np.int64


def test_all_of_mnist_can_be_asked_for(mnist):
    write_params(train=15, val=5, test=10)
    run_stage("split_digits")
    assert len(load_tensors(Path("data/digits.safetensors"))["test_images"]) == 10


@pytest.mark.parametrize(
    ("digits", "message"),
    [
        (
            (16, 5, 8),
            "digits.train + digits.val is 21; "
            "it should be at most 20, the number of MNIST's training images",
        ),
        (
            (12, 5, 11),
            "digits.test is 11; it should be at most 10, the number of MNIST's test images",
        ),
    ],
)
def test_more_images_than_there_are_are_refused(mnist, failure, digits, message):
    write_params(**dict(zip(("train", "val", "test"), digits, strict=True)))
    assert failure("split_digits") == f"params.yaml: {message}"
    assert not Path("data/digits.safetensors").exists()


def test_images_without_labels_are_refused(mnist, failure):
    Path("data/mnist/t10k-labels-idx1-ubyte").write_bytes(idx(9))
    assert failure("split_digits") == "data/mnist: t10k has 10 images, 9 labels"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("images-idx3", idx(10, 27, 28), "27 × 28 pixels and labels up to 9"),
        ("labels-idx1", idx(10, data=bytes([77] * 10)), "28 × 28 pixels and labels up to 77"),
    ],
)
def test_what_is_not_mnist_is_refused(mnist, failure, name, content, what):
    Path(f"data/mnist/t10k-{name}-ubyte").write_bytes(content)
    assert failure("split_digits") == (
        f"data/mnist: t10k has images of {what}; MNIST has 28 × 28 pixels and labels up to 9"
    )


def test_a_truncated_file_is_refused(mnist, failure):
    path = Path("data/mnist/train-images-idx3-ubyte")
    path.write_bytes(path.read_bytes()[:1000])
    assert failure("split_digits").startswith(
        f"{path} has 1,000 bytes, but its header, 20 × 28 × 28"
    )


def test_a_missing_file_is_named(mnist, failure):
    path = Path("data/mnist/train-images-idx3-ubyte")
    path.unlink()
    assert failure("split_digits") == f"{path}: No such file or directory"


def test_sample_images_are_the_first_training_images_of_each_digit(mnist, monkeypatch):
    """In a folder for each, named by their places in MNIST, pixel by pixel."""
    monkeypatch.setattr(sample_images, "COUNT", 1)
    run_stage("sample_images")
    files = sorted(paths.SAMPLE_IMAGES.rglob("*.*"))
    assert [str(file.relative_to(paths.SAMPLE_IMAGES)) for file in files] == [
        f"{digit}/0000{digit}.png" for digit in range(10)
    ]
    images = read_idx(Path("data/mnist/train-images-idx3-ubyte"), ndim=3)
    for digit, file in enumerate(files):
        with Image.open(file) as image:
            assert image.mode == "L" and np.array_equal(image, images[digit])
    monkeypatch.setattr(sample_images, "COUNT", 40)  # there are only two of each
    run_stage("sample_images")
    assert len([*paths.SAMPLE_IMAGES.rglob("*.png")]) == 20
