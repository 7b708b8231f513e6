"""The page as a file: whole, of one piece, and every number in it an artifact's."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stages.core.base.tensors import load_tensors, save_tensors

from common import parameters, paths
from common.artifacts import rows_of
from common.pages import Reader
from common.parameters import SNAPSHOTS, section, value
from common.project import ROOT
from common.stages import run_stage

TITLES = paths.MODELS


@pytest.fixture(scope="module")
def page(pipeline):
    return (pipeline / paths.REPORT).read_text()


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)


def percent(share):
    return f"{share * 100:.1f} %"


def spaced(shape):
    return " × ".join(map(str, shape))


def test_the_page_is_of_one_piece_and_under_6_mb(page, read):
    assert len(page.encode()) < 6_000_000
    policy = next(a["content"] for _, a in read.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy and "http" not in policy
    for tag, attributes in read.elements:
        for name in ("src", "href", "srcset", "data", "action", "style"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value[:80])


def test_every_picture_has_an_alternative_and_every_figure_a_caption(read):
    pictures = [attributes for tag, attributes in read.elements if tag == "img"]
    assert len(pictures) >= 14
    assert all(len(attributes["alt"]) > 20 for attributes in pictures)
    assert all(len(caption.split()) >= 2 for caption in read.figures)
    assert len(read.figures) >= 16


def test_every_link_within_leads_somewhere(read):
    names = {attributes.get("id") for _, attributes in read.elements}
    links = [a["href"] for tag, a in read.elements if tag == "a"]
    assert links and all(link[1:] in names for link in links)


def test_the_numbers_of_images_are_those_of_the_splits(pipeline, read):
    digits = load_tensors(pipeline / paths.DIGITS)
    _, *rows, last = read.tables["Images of each digit"]
    for digit, row in enumerate(rows):
        counts = [(digits[f"{part}_labels"] == digit).sum() for part in ("train", "val", "test")]
        assert row == [str(digit), *(f"{count:,}" for count in counts)]
    counts = parameters.read(pipeline)["digits"]
    assert last == ["All", *(f"{counts[part]:,}" for part in ("train", "val", "test"))]


def test_layers_shapes_and_parameters_are_those_of_the_models(pipeline, read):
    header, *rows = read.tables["Their layers, as their files hold them"]
    assert header == ["Model", "Layer", "Kind", "Weight", "Bias", "Parameters"]
    expected = []
    for model, layers in {
        "logistic": ["layer"],
        "mlp": ["layer1", "layer2"],
        "cnn": ["conv1", "conv2", "fc"],
    }.items():
        weights = load_tensors(pipeline / paths.weights(model))
        for layer in layers:
            weight, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
            kind = "convolution" if weight.ndim == 4 else "linear"
            count = f"{weight.size + bias.size:,}"
            shapes = spaced(weight.shape), spaced(bias.shape)
            expected.append([TITLES[model], layer, kind, *shapes, count])
    assert rows == expected


def test_the_metrics_are_those_of_the_files(pipeline, read):
    _, *rows = read.tables["What they reached"]
    for row, (model, title) in zip(rows, TITLES.items(), strict=True):
        metrics = json.loads((pipeline / paths.metrics(model)).read_text())
        assert row == [
            title,
            f"{metrics['num_parameters']:,}",
            f"{metrics['loss']:.3f}",
            *(percent(metrics[f"{part}_accuracy"]) for part in ("train", "val", "test")),
        ]


def test_the_tables_of_shapes_are_those_of_the_files(pipeline, read):
    _, *rows = read.tables["Every shape on the way"]
    for row, found in zip(rows, rows_of(pipeline / paths.CONVOLUTION / "shapes.csv"), strict=True):
        shapes = [found[name] for name in ("kernel", "bias", "input", "output", "pooled")]
        assert row[0] == found["convolution"].replace("_", " ")
        assert [shape.replace(" × ", "x") for shape in row[1:-1]] == shapes
        assert row[-1] == found["convolution_parameters"]
    [(caption, (_, *rows))] = [t for t in read.tables.items() if "layer by layer" in t[0]]
    layers = rows_of(pipeline / paths.ALEXNET_MAPS / "shapes.csv")
    assert caption.endswith(f": {sum(int(row['parameters']) for row in layers):,} parameters")
    for row, layer in zip(rows, layers, strict=True):
        assert row[:2] == [layer["layer"], layer["kind"]]
        assert row[2].replace(" × ", "x") == layer["output"]
        assert row[3].replace(",", "") == layer["parameters"]


def test_what_features_make_easier_is_said_in_the_measured_numbers(pipeline, page, read):
    found = rows_of(pipeline / paths.DATA_EFFICIENCY / "accuracy.csv")
    _, *rows = read.tables["The same in numbers"]
    assert rows == [
        [f"{int(row['images']):,}", percent(float(row["pixels"])), percent(float(row["features"]))]
        for row in found
    ]
    pixels = json.loads((pipeline / paths.metrics("logistic")).read_text())["test_accuracy"]
    enough = next(row["images"] for row in found if float(row["features"]) >= pixels)
    assert f"With features, {int(enough):,} images are enough" in page


def test_parameters_and_digests_are_those_of_the_run(pipeline, read):
    _, *rows = read.tables["Parameter"]
    params = parameters.read(pipeline)
    for name, shown in rows:
        assert shown == str(value(params, name)), name
    assert {SNAPSHOTS, f"{section('mlp')}.num_hidden", "embed.size"} < {name for name, _ in rows}
    _, *rows = read.tables["File"]
    for name, digest in rows:
        assert hashlib.sha256((pipeline / name).read_bytes()).hexdigest() == digest
    assert len(rows) >= 30


def test_the_curves_go_through_every_point_of_the_files(pipeline, page):
    curve = rows_of(pipeline / paths.curves("cnn"))
    top = 1  # of the axis; its lowest end is zero
    left, right, high, low = 56, 560 - 14, 34, 320 - 50
    last = int(curve[-1]["iteration"])
    points = "L".join(
        f"{round(left + int(row['iteration']) / last * (right - left), 1)},"
        f"{round(low - float(row['val_accuracy']) / top * (low - high), 1)}"
        for row in curve
    )
    assert f'd="M{points}"' in page


@pytest.fixture
def inputs(pipeline, tmp_path, monkeypatch):
    """A folder with all that the stage reads, to be changed; the test runs in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(pipeline / "params.yaml", tmp_path)
    for name in (paths.DIGITS, paths.PHOTO):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(pipeline / name)
    shutil.copytree(pipeline / "artifacts", tmp_path / "artifacts")
    return tmp_path


def test_a_large_model_leaves_room_for_the_figures_that_fit(inputs):
    """With as many hidden units as params.yaml allows, and as many snapshots."""
    random = np.random.default_rng(0)
    shapes = {
        "layer1.weight": (1024, 784),
        "layer1.bias": (1024,),
        "layer2.weight": (10, 1024),
        "layer2.bias": (10,),
    }
    weights = {name: random.random(shape, np.float32) for name, shape in shapes.items()}
    save_tensors(weights, paths.weights("mlp"))
    first = np.broadcast_to(weights["layer1.weight"], (93, 1024, 784))
    save_tensors({"iteration": np.arange(1, 94), "weight": first.copy()}, paths.snapshots("mlp"))
    run_stage("report")
    page = paths.REPORT.read_text()
    assert 5_000_000 < len(page.encode()) < 6_000_000
    assert "1024\xa0×\xa0784" in page and "814,090" not in page
    assert "would make the page too large; it is in" in page
    assert "artifacts/alexnet/conv1.png" in page


def test_few_digits_and_one_convolution_make_a_page_too(inputs):
    digits = load_tensors(paths.DIGITS)
    paths.DIGITS.unlink()
    parts = {"train": 3, "val": 2, "test": 5}
    save_tensors(
        {name: tensor[: parts[name.split("_")[0]]] for name, tensor in digits.items()},
        paths.DIGITS,
    )
    table = (paths.CONVOLUTION / "shapes.csv").read_text().splitlines()
    (paths.CONVOLUTION / "shapes.csv").write_text("\n".join([*table[:1], table[-1], ""]))
    run_stage("report")
    read = Reader(paths.REPORT.read_text())
    assert read.tables["Images of each digit"][-1] == ["All", "3", "2", "5"]
    assert len(read.tables["Every shape on the way"]) == 2


def test_what_is_missing_or_broken_is_one_line(inputs, failure):
    before = paths.REPORT.read_bytes()
    weights = paths.weights("cnn")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert failure("report").startswith(f"{weights} is not a whole safetensors file: ")
    weights.unlink()
    assert failure("report") == f"{weights}: No such file or directory"
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    assert paths.REPORT.read_bytes() == before


def test_a_missing_parameter_is_named(inputs, failure):
    params = parameters.read(Path())
    del params["data_efficiency"]
    parameters.write(params)
    assert failure("report") == "params.yaml: data_efficiency is missing"
