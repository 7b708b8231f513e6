"""AlexNet's features of the digits and of a folder of images, and what they make easier."""

import json
import os
import shutil
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.numpy import load_file, save
from torchvision.transforms import functional as TF

from stages import embed_digits
from stages.core.alexnet.network import alexnet
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors

from common import parameters, paths
from common.artifacts import rows_of
from common.project import execute


def read_table(path):
    return [{key: float(value) for key, value in row.items()} for row in rows_of(path)]


@pytest.fixture(scope="module")
def digits(pipeline):
    return load_file(pipeline / "data/digits.safetensors")


@pytest.fixture(scope="module")
def embedded(pipeline):
    return load_file(pipeline / "data/embedded_digits.safetensors")


def test_every_digit_has_1024_features_and_its_label(digits, embedded):
    assert len(embedded) == 6
    for split in ("train", "val", "test"):
        count = len(digits[f"{split}_images"])
        features = embedded[f"{split}_features"]
        assert (features.shape, features.dtype) == ((count, 1024), np.float32)
        assert np.array_equal(embedded[f"{split}_labels"], digits[f"{split}_labels"])


def torchvision_s(pipeline):
    """Its own network, in float64."""
    model = torchvision.models.alexnet()
    weights = load_tensors(pipeline / paths.ALEXNET)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=False)
    return model.double().eval()


def test_the_features_of_digits_are_those_of_torchvision_s_network(pipeline, digits, embedded):
    """Its own preprocessing and layers, in float64, for digits of every split."""
    model = torchvision_s(pipeline)
    for split, index in (("train", 0), ("train", 1999), ("val", 31), ("test", 32), ("test", 9999)):
        image = torch.from_numpy(digits[f"{split}_images"][index]).expand(3, 28, 28).double() / 255
        image = TF.resize(image, [96, 96], antialias=False)
        image = TF.normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        with torch.inference_mode():
            expected = model.features(image.unsqueeze(0)).flatten().numpy()
        found = embedded[f"{split}_features"][index]
        assert expected.max() > 1
        assert np.abs(found - expected).max() < 5e-5 * expected.max()  # of integers of 20 bits


def test_a_digit_s_features_do_not_depend_on_its_neighbours(pipeline, digits, embedded):
    model = alexnet(pipeline / paths.ALEXNET)
    images = digits["test_images"][30:35]
    alone = [embed_digits.embed(model, 96, images[i : i + 1]) for i in range(5)]
    assert np.array_equal(np.concatenate(alone), embedded["test_features"][30:35])


def test_the_file_is_the_one_that_the_library_writes(pipeline, embedded):
    assert (pipeline / paths.EMBEDDED_DIGITS).read_bytes() == save(embedded, in_metadata(DIGITS))


def test_features_need_fewer_images_than_pixels(pipeline):
    """At every count they recognise more; with 500 images more than pixels with 2,000."""
    rows = read_table(pipeline / paths.DATA_EFFICIENCY / "accuracy.csv")
    assert [row["images"] for row in rows] == parameters.read(pipeline)["data_efficiency"]["counts"]
    assert all(row["features"] > row["pixels"] + 0.05 for row in rows)
    assert rows[2]["features"] > rows[-1]["pixels"]
    for column in ("pixels", "features"):
        values = [row[column] for row in rows]
        assert values == sorted(values)


def test_all_images_give_the_accuracy_of_the_trained_models(pipeline):
    last = read_table(pipeline / paths.DATA_EFFICIENCY / "accuracy.csv")[-1]
    for column, model in (("pixels", "logistic"), ("features", "probe")):
        metrics = json.loads((pipeline / paths.metrics(model)).read_text(encoding="utf-8"))
        assert last[column] == metrics["test_accuracy"]


def test_the_project_s_own_images_have_a_row_each(pipeline):
    """In the order of their paths, with the first folder as their label."""
    table = pq.read_table(pipeline / paths.EMBEDDED_IMAGES / "part-000000.parquet")
    assert table.column_names == [
        "path",
        "label",
        "width",
        "height",
        "digest",
        "thumbnail",
        "features",
    ]
    found = {row["path"]: row for row in table.to_pylist()}
    images = pipeline / paths.SAMPLE_IMAGES
    names = [str(path.relative_to(images)) for path in sorted(images.rglob("*.*"))]
    assert list(found) == names
    for name, row in found.items():
        with Image.open(images / name) as image:
            assert (row["width"], row["height"]) == image.size
        assert row["label"] == name.split("/")[0]
        assert len(row["features"]) == 256
    assert (pipeline / paths.SKIPPED_IMAGES).read_text(encoding="utf-8") == "path,reason\n"


def test_the_features_of_images_are_those_of_torchvision_s_network(pipeline):
    """Its own layers, in float64, of a digit as it is scaled."""
    table = pl.read_parquet(pipeline / paths.EMBEDDED_IMAGES)
    model = torchvision_s(pipeline)
    name = "5/00000.png"
    digit = Image.open(pipeline / paths.SAMPLE_IMAGES / name).convert("RGB")
    image = TF.to_tensor(digit.resize((224, 224), Image.Resampling.BILINEAR)).double()
    image = TF.normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = model.features(image.unsqueeze(0)).mean((2, 3))[0].numpy()
    found = table.filter(pl.col("path") == name)["features"][0].to_numpy()
    assert expected.max() > 1
    assert np.abs(found - expected).max() < 5e-5 * expected.max()


def test_pandas_polars_duckdb_and_pyarrow_read_the_folder(project, monkeypatch):
    """All of its files, by the lines of the docs, and by the name of the folder."""
    folder = project / paths.EMBEDDED_IMAGES
    shutil.copy(folder / "part-000000.parquet", folder / "part-000001.parquet")
    table = pq.read_table(folder / "part-000000.parquet")
    once = np.stack(table["features"].to_numpy())
    twice = np.concatenate((once, once))
    monkeypatch.chdir(project)
    text = Path("docs/features.md").read_text(encoding="utf-8")
    lines = text.split("    import polars")[1].split("\n\n\n")[0]
    code = textwrap.dedent("    import polars" + lines.split("\nDVC hashes")[0])
    found = {}
    exec(code, found)
    assert np.array_equal(found["features"], twice)
    assert np.array_equal(np.stack(found["frame"].features), twice)
    counts = dict(found["counts"].fetchall())
    labels = [path.parent.name for path in Path(paths.SAMPLE_IMAGES).glob("*/*")]
    assert counts == {label: 2 * count for label, count in Counter(labels).items()}
    assert found["table"]["features"].dtype == pl.Array(pl.Float32, 256)
    arrow = pq.read_table(folder)
    assert arrow.schema.equals(table.schema, check_metadata=True)
    assert np.array_equal(np.stack(arrow["features"].to_numpy()), twice)
    assert ds.dataset(folder).count_rows() == len(twice)
    assert pl.scan_parquet(folder).select(pl.len()).collect().item() == len(twice)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "make", "says"),
    [
        ("own", lambda own: (own / "x.jpg").symlink_to("gone"), "No such file or directory"),
        ("own", lambda own: (own / ".dvcignore").touch(), ".dvcignore file should not be in"),
        ("own", lambda own: Path(os.fsdecode(bytes(own) + b"/\xff.png")).touch(), "'utf-8' codec"),
        (".", lambda own: None, "both a dependency and an output"),
        ("nowhere", lambda own: None, "No such file or directory"),
    ],
)
def test_what_dvc_says_of_a_folder_is_in_the_docs(project, path, make, says):
    """It fails before the stage runs, so the stage cannot say it better."""
    shutil.copytree(project / paths.SAMPLE_IMAGES, project / "own")
    make(project / "own")
    parameters.change(project, "images", path=path)
    result = execute(project, "dvc", "repro", "embed_images")
    assert result.returncode != 0 and says in result.stderr
    text = (project / "docs/features.md").read_text(encoding="utf-8")
    assert says in text.split("### When DVC says")[1]


def test_a_project_in_the_folder_is_refused_not_hashed_as_empty(project):
    """DVC would take the features of any such folder for those of this one."""
    shutil.copytree(project / paths.SAMPLE_IMAGES, project / "own")
    (project / "own/.dvc").mkdir()
    parameters.change(project, "images", path="own")
    result = execute(project, "dvc", "repro", "embed_images")
    assert result.returncode != 0
    assert "error: own is left out by DVC, which would not notice changes in it" in result.stderr
    assert "path: own" not in (project / "dvc.lock").read_text(encoding="utf-8")
