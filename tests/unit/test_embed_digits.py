"""AlexNet's features of digits: their number, their files, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, new_tensors, save_tensors
from stages.core.data.idx import read_idx

from common import parameters, paths
from common.artifacts import rows_of
from common.parameters import change
from common.stages import run_stage


@pytest.fixture
def folder(downloads, tmp_path, monkeypatch):
    """A folder with the real weights, few digits, and the parameters."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/alexnet").symlink_to(downloads / "data/alexnet")
    images = read_idx(downloads / "data/mnist/t10k-images-idx3-ubyte", ndim=3)[:120]
    labels = read_idx(downloads / "data/mnist/t10k-labels-idx1-ubyte", ndim=1)[:120]
    tensors = {}
    for index, part in enumerate(("train", "val", "test")):
        some = slice(40 * index, 40 * index + 40)
        tensors[f"{part}_images"] = images[some].copy()
        tensors[f"{part}_labels"] = labels[some].astype(np.int64)
    save_tensors(tensors, paths.DIGITS, in_metadata(DIGITS))
    return write_params()


def write_params(section=None, **changes):
    params = parameters.read()
    if section:
        params[section] |= changes
    parameters.write(params)


@pytest.mark.parametrize(("size", "count"), [(63, 256), (224, 256 * 6 * 6)])
def test_the_size_decides_how_many_features(folder, size, count):
    write_params("embed", size=size)
    run_stage("embed_digits")
    assert load_file(paths.EMBEDDED_DIGITS)["val_features"].shape == (40, count)


@pytest.mark.parametrize("size", [62, 225, 96.5])
def test_a_size_out_of_range_is_refused(folder, failure, size):
    write_params("embed", size=size)
    assert failure("embed_digits").startswith(f"params.yaml: embed.size is {size}; it should be")


def test_images_larger_than_alexnet_s_are_refused(folder, failure):
    tensors = {}
    for part in ("train", "val", "test"):
        tensors[f"{part}_images"] = np.zeros((1, 70, 70), np.uint8)
        tensors[f"{part}_labels"] = np.zeros(1, np.int64)
    save_tensors(tensors, paths.DIGITS, in_metadata(DIGITS))
    write_params("embed", size=69)
    assert failure("embed_digits") == (
        "params.yaml: embed.size is 69; it should be at least 70, the side of the images"
    )


def test_broken_digits_are_refused_and_what_was_there_stays(folder, failure):
    paths.EMBEDDED_DIGITS.write_bytes(b"before")
    paths.DIGITS.write_bytes(paths.DIGITS.read_bytes()[:-1])
    assert failure("embed_digits").startswith(f"{paths.DIGITS} is not a valid safetensors file: ")
    assert paths.EMBEDDED_DIGITS.read_bytes() == b"before"
    paths.DIGITS.unlink()
    assert failure("embed_digits") == f"{paths.DIGITS}: No such file or directory"


def test_tensors_are_written_in_order_however_they_lie_in_memory(tmp_path):
    tensors = {"x": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1), "y": np.arange(6)[::2]}
    save_tensors(tensors, tmp_path / "tensors")
    found = load_tensors(tmp_path / "tensors")
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)


def test_tensors_written_in_parts_are_the_library_s(tmp_path):
    labels, features = np.arange(3), np.random.default_rng(0).random((3, 5), np.float32)
    shapes = {"labels": ("int64", labels.shape), "features": ("float32", features.shape)}
    metadata = in_metadata(["é", *DIGITS])
    with new_tensors(tmp_path / "parts", shapes, metadata) as file:
        file.write(labels.tobytes())
        for row in features:
            file.write(row.tobytes())
    library = save({"labels": labels, "features": features}, metadata)
    assert (tmp_path / "parts").read_bytes() == library


def test_counts_that_digits_do_not_suffice_for_are_left_out(folder, failure):
    run_stage("embed_digits")
    for sees in ("pixels", "features"):
        change(Path(), f"data_efficiency.{sees}", batch_size=20)
    change(Path(), "data_efficiency", counts=[41, 40, 10, 10])
    run_stage("data_efficiency")
    assert [row["images"] for row in rows_of(paths.DATA_EFFICIENCY / "accuracy.csv")] == [
        "10",
        "40",
    ]
    change(Path(), "data_efficiency", counts=[41, 100])
    assert failure("data_efficiency") == (
        "params.yaml: data_efficiency.counts has no number up to 40, the number of training images"
    )
