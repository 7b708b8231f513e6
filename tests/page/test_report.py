"""The page as a file: whole, of one piece, and every number in it an artifact's."""

import base64
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from stages.core.base import values
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.learning.predictions import Prediction
from stages.core.learning.trained import LAYERS, TrainedModel, load_model
from stages.core.page.learning import first_units
from stages.core.page.models import WEIGHT_BYTES, WORDS, answering
from stages.core.page.training import digits_that_fit

from common import parameters, paths
from common.artifacts import rows_of
from common.pages import Reader, add_model, copy_inputs
from common.parameters import SNAPSHOTS, section, value
from common.points import write_points
from common.project import ROOT
from common.stages import run_stage

PARAMS = parameters.read()
TITLES = {name: model["title"] for name, model in PARAMS["models"].items()}
RESULTS = "Results: the share of the digits that each model recognises, and its loss in nats"
SHAPES = "The shapes, from input to output"


@pytest.fixture(scope="module")
def page(pipeline):
    return (pipeline / paths.REPORT).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)


def percent(share):
    return values.percent(share).replace("\u00a0", " ")


def spaced(shape):
    return " × ".join(map(str, shape))


def test_the_page_is_of_one_piece_and_under_6_mb(page, read):
    assert len(page.encode()) < 6_000_000
    policy = next(a["content"] for _, a in read.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert policy.endswith("; worker-src blob:")  # to train in
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
    header, *rows, last = read.tables["Images of each digit"]
    assert header == ["Digit", "Training", "Validation", "Test"]
    for digit, row in enumerate(rows):
        counts = [(digits[f"{part}_labels"] == digit).sum() for part in ("train", "val", "test")]
        assert row == [str(digit), *(f"{count:,}" for count in counts)]
    counts = parameters.read(pipeline)["digits"]
    assert last == ["All", *(f"{counts[part]:,}" for part in ("train", "val", "test"))]


def test_layers_shapes_and_parameters_are_those_of_the_models(pipeline, read):
    header, *rows = read.tables["The layers of each model"]
    assert header == ["Model", "Layer", "Kind", "Output", "Weight", "Bias", "Parameters"]
    expected, heights = [], []
    for model, title in TITLES.items():
        trained = load_model(pipeline / paths.weights(model))
        layers = PARAMS["models"][model]["layers"]
        assert list(trained.layers) == list(layers)
        start = [f"{title}\ninput: {spaced(trained.input_shape)}"]
        for name, layer in layers.items():
            of_layer = ["–", "–", "0"]
            if layer["kind"] in ("conv", "linear"):
                weight, bias = (trained.weights[f"{name}.{part}"] for part in ("weight", "bias"))
                count = f"{weight.size + bias.size:,}"
                of_layer = [spaced(weight.shape), spaced(bias.shape), count]
            output = spaced(trained.shapes[name][1])
            expected.append([*start, name, WORDS[layer["kind"]], output, *of_layer])
            start = []  # the model stands beside all of its layers
        heights.append(str(len(layers)))
    assert rows == expected
    assert [a["rowspan"] for tag, a in read.elements if "rowspan" in a] == heights
    [cnn] = [row for row in rows if row[0].startswith("CNN")]
    assert cnn[:4] == ["CNN\ninput: 1 × 28 × 28", "conv1", "convolution", "4 × 28 × 28"]


def test_the_metrics_are_those_of_the_files(pipeline, read):
    _, *rows = read.tables[RESULTS]
    for row, (model, title) in zip(rows, TITLES.items(), strict=True):
        metrics = json.loads((pipeline / paths.metrics(model)).read_text(encoding="utf-8"))
        assert row == [
            title,
            f"{metrics['num_parameters']:,}",
            *(percent(metrics[f"{part}_accuracy"]) for part in ("train", "val", "test")),
            f"{metrics['test_loss']:.3f}",
            f"{metrics['loss']:.3f}",
        ]


def test_it_is_said_how_far_chance_goes(pipeline, page):
    """Half a 95 % interval of the accuracy that is the least certain."""
    found = [
        json.loads((pipeline / paths.metrics(model)).read_text(encoding="utf-8"))
        for model in TITLES
    ]
    number = parameters.read(pipeline)["digits"]["test"]
    lowest = min(metrics["test_accuracy"] for metrics in found)  # all are above a half
    half = 100 * NormalDist().inv_cdf(0.975) * (lowest * (1 - lowest) / number) ** 0.5
    said = " ".join(page.replace("&nbsp;", " ").split())
    assert f"uncertain by up to ± {half:.1f} percentage points" in said


def test_the_confusion_matrices_count_the_answers(pipeline, read):
    digits = [*"0123456789"]
    for model, title in TITLES.items():
        answers = rows_of(pipeline / paths.predictions(model))
        counts = Counter((row["actual"], row["predicted"]) for row in answers)
        header, *rows = read.tables[f"{title}: answers to the test images of each digit"]
        assert header == ["Digit", *digits]
        assert rows == [[digit, *(str(counts[digit, a]) for a in digits)] for digit in digits]


def test_the_tables_of_shapes_are_those_of_the_files(pipeline, read):
    _, *rows = read.tables[SHAPES]
    for row, found in zip(rows, rows_of(pipeline / paths.CONVOLUTION / "shapes.csv"), strict=True):
        shapes = [found[name] for name in ("kernel", "bias", "input", "output", "pooled")]
        assert row[0] == found["convolution"].replace("_", " ")
        assert [shape.replace(" × ", "x") for shape in row[1:-1]] == shapes
        assert row[-1] == found["convolution_parameters"]
    layers = rows_of(pipeline / paths.ALEXNET_MAPS / "shapes.csv")
    count = sum(int(row["parameters"]) for row in layers)
    _, *rows = read.tables[f"The photograph's shape, layer by layer: {count:,} parameters"]
    for row, layer in zip(rows, layers, strict=True):
        assert row[:2] == [layer["layer"], layer["kind"]]
        assert row[2].replace(" × ", "x") == layer["output"]
        assert row[3].replace(",", "") == layer["parameters"]


def test_what_features_make_easier_is_said_in_the_measured_numbers(pipeline, page, read):
    found = rows_of(pipeline / paths.DATA_EFFICIENCY / "accuracy.csv")
    header, *rows = read.tables["The same in numbers"]
    assert header == ["Training images", "From pixels", "From features"]
    assert rows == [
        [f"{int(row['images']):,}", percent(float(row["pixels"])), percent(float(row["features"]))]
        for row in found
    ]
    pixels = float(found[-1]["pixels"])
    enough = next(row["images"] for row in found if float(row["features"]) >= pixels)
    said = " ".join(page.split())
    assert (
        f"With features, {int(enough):,} images are enough to do as well as "
        f"{int(found[-1]['images']):,} with pixels." in said
    )
    probe = json.loads((pipeline / paths.metrics("probe")).read_text(encoding="utf-8"))[
        "test_accuracy"
    ]
    assert f"recognises {percent(probe)} of the test digits from their features" in said


def test_parameters_and_digests_are_those_of_the_run(pipeline, read):
    _, *rows = read.tables["Parameter"]
    params = parameters.read(pipeline)
    for name, shown in rows:
        assert shown == str(value(params, name)), name
    assert {SNAPSHOTS, f"{section('mlp')}.layers.layer1.units", "embed.size"} < {
        name for name, _ in rows
    }
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
    copy_inputs(pipeline, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hidden(*units):
    """The layers of a model with hidden layers of so many units."""
    found = {}
    for index, count in enumerate(units):
        found[f"layer{index}"] = {"kind": "linear", "units": count}
        found[f"relu{index}"] = {"kind": "relu"}
    return found | {"logits": {"kind": "linear", "units": 10}}


def scripts_data(page):
    return json.loads(page.split('id="data">')[1].split("</script>")[0])


def test_a_large_model_leaves_room_for_the_figures_that_fit(inputs):
    """With as many hidden units as params.yaml allows, and as many snapshots. Models for which no
    room is left are all there but for their answers, and it is said why."""
    add_model(inputs, "mlp", hidden(890), "MLP", snapshots=100)
    add_model(inputs, "huge", hidden(1024, 1024), "The huge one")
    add_model(inputs, "second", hidden(40), "The second one")
    add_model(inputs, "small", hidden(4), "The small one")
    run_stage("report")
    paths.snapshots("mlp").unlink()  # 300 MB
    page = paths.REPORT.read_text(encoding="utf-8")
    assert 5_000_000 < len(page.encode()) < 6_000_000
    assert "890\xa0×\xa0784" in page and "707,560" in page
    assert "would make the page too large; it is in" in page
    assert "artifacts/alexnet/conv1.png" in page
    data, said = scripts_data(page), " ".join(page.split())
    assert list(data["models"]) == ["logistic", "mlp", "small", "cnn"]
    assert data["snapshots"].keys() == data["models"].keys()
    shown, *size = data["snapshots"]["mlp"]["steps"]["shape"][1:]
    assert 1 <= shown < 890 == data["snapshots"]["mlp"]["units"] and size == [28, 28]
    for title, count, end in (
        ("huge", "1,863,690", "do not fit."),
        ("second", "31,810", "do not fit beside those of the others."),
    ):
        assert (
            f"The {title} one does not answer in this page: a page has room for 2.9 MB of weights, "
            f"and its {count} parameters, 4 bytes each, {end}" in said
        )
    assert said.count("does not answer in this page") == 2
    read = Reader(page)
    titles = [row[0] for row in read.tables[RESULTS][1:]]
    logistic, mlp, cnn, probe = TITLES.values()
    others = "The second one", "The small one", "The huge one"
    assert titles == [logistic, mlp, *others, cnn, probe]  # the simplest first
    radios = [(a["name"], a["value"]) for _, a in read.elements if a.get("type") == "radio"]
    assert [each for each in radios if each[0] != "axes-set"] == [
        ("watched", name) for name in data["models"]
    ]
    assert "models can be trained in it; here weights take that room." in said
    assert data["training"] is None


def test_several_large_models_make_no_larger_page(inputs):
    for name in ("mlp", "second", "third", "fourth"):
        add_model(inputs, name, hidden(200), f"The {name}", snapshots=100 if name == "mlp" else 1)
    for name in ("second", "third", "fourth"):
        shutil.copy(paths.snapshots("mlp"), paths.snapshots(name))
    run_stage("report")
    page = paths.REPORT.read_text(encoding="utf-8")
    for name in ("mlp", "second", "third", "fourth"):
        paths.snapshots(name).unlink()  # 80 MB each
    assert 5_000_000 < len(page.encode()) < 6_000_000
    snapshots = scripts_data(page)["snapshots"]
    assert 0 < scripts_data(page)["training"]["digits"]["train"] < 2000
    assert set(snapshots) == {"logistic", "mlp", "cnn", "second", "third", "fourth"}
    shapes = {name: snapshots[name]["steps"]["shape"] for name in snapshots}
    assert 1 <= shapes["logistic"][1] <= 10 and shapes["cnn"][1] == 4
    shown = {shapes[name][1] for name in ("mlp", "second", "third", "fourth")}
    assert 1 <= min(shown) <= max(shown) <= min(shown) + 2 < 200  # a fair share each


def test_models_answer_as_far_as_there_is_room():
    """To the byte, in the order of params.yaml; one that does not fit keeps no other from it."""

    def model(size, shape=(1, 28, 28)):
        layers = LAYERS.validate_python({"last": {"kind": "linear", "units": 10}}, strict=True)
        return TrainedModel(shape, layers, {"last.weight": np.empty(size, np.uint8)}, [])

    assert answering({}) == []
    assert answering({"all": model(WEIGHT_BYTES), "more": model(1)}) == ["all"]
    assert answering({"large": model(WEIGHT_BYTES + 1), "small": model(1)}) == ["small"]
    half = WEIGHT_BYTES // 2
    assert answering(
        {
            "first": model(half),
            "features": model(half, (256, 2, 2)),
            "too large": model(WEIGHT_BYTES - half + 1),
            "fits": model(WEIGHT_BYTES - half),
        }
    ) == ["first", "fits"]


def unpacked(digits):
    """The pixels of packed digits."""
    content, found = iter(base64.b64decode(digits.images)), []
    for byte in content:
        found += [byte] if byte else [0] * (next(content) + 1)
    return np.reshape(found, (-1, 28, 28))


def test_digits_to_train_with_fit_and_are_the_first_ones():
    """Blank ones and full ones too; four fifths of them or more are to train with."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 28, 28), np.uint8) * (rng.random((100, 1, 28)) < 0.2)
    images = images.astype(np.uint8)
    images[3], images[4] = 0, 255
    labels = np.arange(100) % 10
    for num_train, room, counts in (
        (80, 10**6, (80, 20)),
        (1, 10**6, (1, 99)),
        (80, 0, (0, 0)),
        (80, 10_000, None),
        (5, 10_000, None),
    ):
        found = digits_that_fit(images, labels, num_train, room)
        total = found.train + found.val
        assert np.array_equal(unpacked(found), images[:total])
        assert base64.b64decode(found.labels) == bytes(labels[:total].tolist())
        assert len(found.images) + len(found.labels) <= room
        if counts:
            assert (found.train, found.val) == counts
        elif num_train == 80:
            assert 10 < total < 80 and found.val == total // 5
        else:
            assert found.train == 5 and 10 < total < 80


def test_snapshots_share_the_room_from_the_smallest_on():
    def found(units):
        return {"steps": np.zeros((2, units, 5, 5), np.int8)}  # 50 bytes for each unit

    def shown(room):
        models = {"large": found(100), "small": found(2), "middle": found(20)}
        return {name: kept["steps"]["shape"][1] for name, kept in first_units(models, room).items()}

    assert shown(10**6) == {"large": 100, "small": 2, "middle": 20}
    assert shown(3000) == {"large": 38, "small": 2, "middle": 20}
    assert shown(300) == {"large": 2, "small": 2, "middle": 2}
    assert shown(149) == {"large": 1, "middle": 1}
    assert shown(0) == {}


def test_few_digits_and_one_convolution_make_a_page_too(inputs):
    digits = load_tensors(paths.DIGITS)
    paths.DIGITS.unlink()
    parts = {"train": 3, "val": 2, "test": 5}
    save_tensors(
        {name: tensor[: parts[name.split("_")[0]]] for name, tensor in digits.items()},
        paths.DIGITS,
        in_metadata(DIGITS),
    )
    for model in TITLES:
        answers = f"{','.join(Prediction._fields)}\n" + 5 * "1,1,0.5\n"
        paths.predictions(model).write_text(answers, encoding="utf-8")
    table = (paths.CONVOLUTION / "shapes.csv").read_text(encoding="utf-8").splitlines()
    (paths.CONVOLUTION / "shapes.csv").write_text(
        "\n".join([*table[:1], table[-1], ""]), encoding="utf-8"
    )
    labels = [str(label) for label in digits["test_labels"][:5].tolist()]
    write_points(paths.AXES / "digits.csv", "image", range(5), labels)
    moves = {"down": range(5), "across": range(5)}
    write_points(paths.AXES / "moved.csv", "image", range(5), labels, moves)
    run_stage("report")
    page = paths.REPORT.read_text(encoding="utf-8")
    assert page.count("No mistakes: it recognises all of the test images.") == len(TITLES)
    read = Reader(page)
    assert read.tables["Images of each digit"][-1] == ["All", "3", "2", "5"]
    assert len(read.tables[SHAPES]) == 2


def test_what_is_missing_or_broken_is_one_line(inputs, failure):
    before = paths.REPORT.read_bytes()
    weights = paths.weights("cnn")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert failure("report").startswith(f"{weights} is not a valid safetensors file: ")
    weights.unlink()
    assert failure("report") == f"{weights}: No such file or directory"
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    assert paths.REPORT.read_bytes() == before


def test_a_missing_parameter_is_named(inputs, failure):
    params = parameters.read(Path())
    del params["data_efficiency"]
    parameters.write(params)
    assert failure("report") == "params.yaml: data_efficiency is missing"


def test_the_order_of_models_in_params_yaml_makes_no_difference(inputs):
    """DVC compares sections without it, and would say that the page is up to date."""
    before = paths.REPORT.read_bytes()
    params = parameters.read(Path())
    params["models"] = dict(reversed(params["models"].items()))
    parameters.write(params)
    run_stage("report")
    assert paths.REPORT.read_bytes() == before


def test_no_model_at_all_is_one_line(inputs, failure):
    params = parameters.read(Path())
    params["models"] = {}
    parameters.write(params)
    assert failure("report") == "params.yaml: models is empty; it should have one model or more"
