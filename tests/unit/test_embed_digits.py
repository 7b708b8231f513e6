"""AlexNet's features of the digits, and what a logistic regression makes of few of them."""

import csv
import json
from pathlib import Path

from stages.core.numerics import torch

import numpy as np
import pytest
import torchvision
import yaml
from conftest import ROOT
from safetensors.numpy import load_file, save
from torchvision.transforms import functional as TF

from stages import data_efficiency, embed_digits, paths
from stages.core.alexnet import alexnet
from stages.core.tensors import load_tensors, new_tensors, save_tensors


@pytest.fixture(scope="module")
def digits(pipeline):
    return load_file(pipeline / "data/digits.safetensors")


@pytest.fixture(scope="module")
def embedded(pipeline):
    return load_file(pipeline / "data/embedded_digits.safetensors")


@pytest.fixture
def folder(pipeline, tmp_path, monkeypatch):
    """A folder with the real weights, few digits, and the parameters."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/alexnet").symlink_to(pipeline / "data/alexnet")
    tensors = load_tensors(pipeline / "data/digits.safetensors")
    save_tensors({name: array[:40] for name, array in tensors.items()}, paths.DIGITS)
    return write_params()


def write_params(section=None, **changes):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    if section:
        params[section] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_every_digit_has_1024_features_and_its_label(digits, embedded):
    assert len(embedded) == 6
    for split in ("train", "val", "test"):
        count = len(digits[f"{split}_images"])
        features = embedded[f"{split}_features"]
        assert (features.shape, features.dtype) == ((count, 1024), np.float32)
        assert np.array_equal(embedded[f"{split}_labels"], digits[f"{split}_labels"])


def test_the_features_are_those_of_torchvision_s_network(pipeline, digits, embedded):
    """Its own preprocessing and layers, under its own numerics, for digits of every split."""
    model = torchvision.models.alexnet()
    weights = load_tensors(pipeline / paths.ALEXNET)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=False)
    model.eval()
    for split, index in (("train", 0), ("train", 1999), ("val", 31), ("test", 32), ("test", 9999)):
        image = torch.from_numpy(digits[f"{split}_images"][index]).expand(3, 28, 28) / 255
        image = TF.resize(image, [96, 96], antialias=False)
        image = TF.normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        with torch.inference_mode():
            expected = model.features(image.unsqueeze(0)).flatten().numpy()
        found = embedded[f"{split}_features"][index]
        assert expected.max() > 1
        assert np.abs(found - expected).max() < 1e-4  # of sums of 1,000 products and more


def test_a_digit_s_features_do_not_depend_on_its_neighbours(pipeline, digits, embedded):
    model = alexnet(pipeline / paths.ALEXNET)
    images = digits["test_images"][30:35]
    alone = [embed_digits.embed(model, 96, images[i : i + 1]) for i in range(5)]
    assert np.array_equal(np.concatenate(alone), embedded["test_features"][30:35])


@pytest.mark.parametrize(("size", "count"), [(63, 256), (224, 256 * 6 * 6)])
def test_the_size_decides_how_many_features(folder, size, count):
    write_params("embed", size=size)
    embed_digits.main()
    assert load_file(paths.EMBEDDED_DIGITS)["val_features"].shape == (40, count)


@pytest.mark.parametrize("size", [62, 225, 96.5])
def test_a_size_out_of_range_is_refused(folder, failure, size):
    write_params("embed", size=size)
    assert failure(embed_digits).startswith(f"params.yaml: embed.size is {size}; it should be")


def test_broken_digits_are_refused_and_what_was_there_stays(folder, failure):
    paths.EMBEDDED_DIGITS.write_bytes(b"before")
    paths.DIGITS.write_bytes(paths.DIGITS.read_bytes()[:-1])
    assert failure(embed_digits).startswith(f"{paths.DIGITS} is not a whole safetensors file: ")
    assert paths.EMBEDDED_DIGITS.read_bytes() == b"before"
    paths.DIGITS.unlink()
    assert failure(embed_digits) == f"{paths.DIGITS}: No such file or directory"


def test_tensors_written_in_parts_are_the_library_s(tmp_path):
    labels, features = np.arange(3), np.random.default_rng(0).random((3, 5), np.float32)
    shapes = {"labels": ("int64", labels.shape), "features": ("float32", features.shape)}
    with new_tensors(tmp_path / "parts", shapes) as file:
        file.write(labels.tobytes())
        for row in features:
            file.write(row.tobytes())
    library = save({"labels": labels, "features": features})
    assert (tmp_path / "parts").read_bytes() == library


def test_the_file_is_the_one_that_the_library_writes(pipeline, embedded):
    assert (pipeline / paths.EMBEDDED_DIGITS).read_bytes() == save(embedded)


def read_table(folder):
    with (folder / paths.DATA_EFFICIENCY / "accuracy.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_features_need_fewer_images_than_pixels(pipeline):
    """At every count they recognise more; with 500 images more than pixels with 2,000."""
    rows = read_table(pipeline)
    assert [row["images"] for row in rows] == [100, 200, 500, 1000, 2000]
    assert all(row["features"] > row["pixels"] + 0.05 for row in rows)
    assert rows[2]["features"] > rows[-1]["pixels"]
    for column in ("pixels", "features"):
        values = [row[column] for row in rows]
        assert values == sorted(values)


def test_all_images_give_the_accuracy_of_the_trained_models(pipeline):
    last = read_table(pipeline)[-1]
    for column, model in (("pixels", "logistic"), ("features", "probe")):
        metrics = json.loads((pipeline / paths.metrics(model)).read_text())
        assert last[column] == metrics["test_accuracy"]


def test_counts_that_digits_do_not_suffice_for_are_left_out(folder, failure):
    embed_digits.main()
    params = yaml.safe_load(Path("params.yaml").read_text())
    for model in ("logistic", "probe"):
        params["train"][model]["batch_size"] = 20
    params["data_efficiency"]["counts"] = [41, 40, 10, 10]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    data_efficiency.main()
    assert [row["images"] for row in read_table(Path())] == [10, 40]
    params["data_efficiency"]["counts"] = [41, 100]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert failure(data_efficiency) == (
        "params.yaml: data_efficiency.counts has no number up to 40, the training images"
    )
