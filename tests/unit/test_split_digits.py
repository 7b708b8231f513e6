"""IDX files, and the splits made of them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stages import sample_images
from stages.core.base.errors import InputError
from stages.core.base.labels import read_labels
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.data.digits import read_splits
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
    digits = {"path": "data/mnist", "labels": []} | digits
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
            "it should be at most 20, the number of training images in data/mnist",
        ),
        (
            (12, 5, 11),
            "digits.test is 11; it should be at most 10, the number of test images in data/mnist",
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


def write_labels(part, *labels):
    Path(f"data/mnist/{part}-labels-idx1-ubyte").write_bytes(idx(len(labels), data=bytes(labels)))


def labels_of(split):
    return load_tensors(paths.DIGITS)[f"{split}_labels"].tolist()


def test_labels_are_numbered_in_the_order_of_their_values(mnist):
    """Whatever these are: EMNIST's letters are from 1 to 26."""
    write_labels("train", *[200, 7, 9, 7] * 5)
    write_labels("t10k", *[9, 200] * 5)
    run_stage("split_digits")
    assert labels_of("train") == [2, 0, 1, 0] * 3 and labels_of("test") == [1, 2] * 4
    assert read_labels(paths.DIGITS) == ["7", "9", "200"]


def test_labels_can_have_names(mnist):
    write_labels("train", *[5, 6] * 10)
    write_labels("t10k", *[5] * 10)
    write_params(labels=["shirt", "a bag, é"], train=12, val=5, test=8)
    run_stage("split_digits")
    assert read_labels(paths.DIGITS) == ["shirt", "a bag, é"]
    run_stage("sample_images")
    assert sorted(file.name for file in paths.SAMPLE_IMAGES.iterdir()) == ["a bag, é", "shirt"]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([*"012345678"], "digits.labels has 9 names, but the images in data/mnist have 10 labels"),
        ([*"012345678", "8"], "digits.labels is ['0', '1', '2', '3', '4', '5', ...]; no two names"),
        ([*"01234567", "a", "A"], "digits.labels is ['0', '1', '2', '3', '4', '5', ...]; no two"),
        ([*"012345678", "a/b"], "digits.labels.9 is 'a/b'; it should do without /, which"),
        ([*"012345678", "a?"], "digits.labels.9 is 'a?'; it should do without ?, which"),
        ([*"012345678", ".."], "digits.labels.9 is '..'; it should be"),
        ([*"012345678", " a"], "digits.labels.9 is ' a'; it should be"),
        ([*"012345678", ""], "digits.labels.9 is ''; it should be"),
        ([*"012345678", "a\nb"], "digits.labels.9 is 'a\\nb'; it should be"),
        ([*"012345678", 9], "digits.labels.9 is 9; it should be a valid string"),
        ("abc", "digits.labels is 'abc'; it should be a valid list"),
    ],
)
def test_names_that_do_not_fit_are_refused(mnist, failure, labels, problem):
    write_params(labels=labels, train=12, val=5, test=8)
    for stage in ("split_digits", "sample_images"):
        assert failure(stage).startswith(f"params.yaml: {problem}")


def test_a_label_only_among_the_test_images_is_refused(mnist, failure):
    write_labels("t10k", *range(1, 11))
    assert failure("split_digits") == "data/mnist: t10k has the label 10, which train does not have"


def test_images_that_are_all_alike_are_refused(mnist, failure):
    write_labels("train", *[3] * 20)
    assert failure("split_digits") == "data/mnist: all training images have the label 3"


def test_images_of_another_side_are_split_too(mnist):
    for part, count in (("train", 20), ("t10k", 10)):
        Path(f"data/mnist/{part}-images-idx3-ubyte").write_bytes(idx(count, 9, 9))
    run_stage("split_digits")
    assert read_splits(paths.DIGITS)["train"].inputs.shape == (12, 1, 9, 9)


def test_images_that_are_not_square_are_refused(mnist, failure):
    path = Path("data/mnist/t10k-images-idx3-ubyte")
    path.write_bytes(idx(10, 27, 28))
    assert failure("split_digits") == f"{path} has images of 27 × 28 pixels, which are not square"


def test_images_of_two_sides_are_refused(mnist, failure):
    Path("data/mnist/t10k-images-idx3-ubyte").write_bytes(idx(10, 27, 27))
    assert failure("split_digits") == (
        "data/mnist: train has images of 28 × 28 pixels, t10k of 27 × 27"
    )


def test_a_file_without_labels_is_refused(mnist, failure):
    """One that an earlier version of the project wrote, for example."""
    run_stage("split_digits")
    save_tensors(load_tensors(paths.DIGITS), paths.DIGITS)
    with pytest.raises(InputError) as caught:
        read_splits(paths.DIGITS)
    assert str(caught.value) == (
        f"{paths.DIGITS} has no labels in its metadata; `dvc repro split_digits` writes them"
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
    assert failure("split_digits") == (
        f"{path} is missing; there should be four files named like MNIST's, uncompressed"
    )


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
