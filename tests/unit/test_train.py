"""The training loop: its formulas, its curves and snapshots, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from stages import train
from stages.core.base.errors import InputError
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.data.digits import Split, read_splits
from stages.core.exact.answers import Answers
from stages.core.exact.layers import Linear, initialize
from stages.core.exact.random import Purpose, Words
from stages.core.learning.models import build
from stages.core.learning.trained import load_model
from stages.core.learning.training import accuracy

from common import parameters, paths
from common.artifacts import read_curve
from common.parameters import SNAPSHOTS, change_model, of_model, section
from common.stages import run_stage


def test_accuracy_counts_every_image_once():
    """Of more images than a batch has."""
    labels = torch.arange(10).repeat(30)
    logits = nn.functional.one_hot(labels, 10).float()
    logits[:33] = logits[:33].roll(1, dims=1)  # 33 of 300 are wrong
    layer = Linear(10, 10)
    layer.load_state_dict({"weight": torch.eye(10), "bias": torch.zeros(10)})
    assert accuracy(Answers(nn.Sequential(layer)), Split(logits, labels)) == [267 / 300]


OPTIMIZERS = {
    "adam": {"kind": "adam", "learning_rate": 0.005, "weight_decay": 0.0},
    "sgd": {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0},
}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder with 100 + 20 + 20 images that are easy to tell apart, and a way to train on it."""
    monkeypatch.chdir(tmp_path)
    tensors = {}
    for part, count in (("train", 100), ("val", 20), ("test", 20)):
        labels = torch.arange(count) % 10
        images = torch.zeros(count, 28, 28, dtype=torch.uint8)
        images[torch.arange(count), labels, :] = 255
        tensors |= {f"{part}_images": images.numpy(), f"{part}_labels": labels.numpy()}
    save_tensors(tensors, paths.DIGITS, in_metadata(DIGITS))

    def fit(name, snapshots=16, **changes):
        params = parameters.read()
        parameters.set_value(params, SNAPSHOTS, snapshots)
        of_model(params, name).update({"batch_size": 10} | changes)
        parameters.write(params)
        run_stage(f"train@{name}")
        return read_curve(paths.curves(name))

    return fit


@pytest.mark.parametrize(
    ("every", "iterations"),
    [(1, list(range(1, 31))), (7, [7, 14, 21, 28, 30]), (15, [15, 30]), (1000, [30])],
)
def test_curves_have_every_nth_iteration_and_the_last(small, every, iterations):
    assert [row[0] for row in small("logistic", eval_every=every)] == iterations


def test_an_incomplete_last_batch_is_dropped(small):
    assert len(small("logistic", batch_size=30, epochs=2)) == 6


def test_the_seed_decides(small):
    first = small("cnn", seed=1)
    assert small("cnn", seed=1) == first
    assert small("cnn", seed=2) != first


def test_sgd_follows_the_formula(small):
    """Sutskever et al. (2013) in PyTorch's form: v ← μ v + g + λ w, then w ← w - η v."""
    optimizer = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.01}
    curve = small("logistic", optimizer=optimizer, batch_size=100, epochs=2)
    digits = load_tensors(paths.DIGITS)
    images = torch.from_numpy(digits["train_images"]).flatten(1) / 255
    targets = nn.functional.one_hot(torch.from_numpy(digits["train_labels"])).float()
    layer = Linear(784, 10)
    initialize(layer, Words(0, Purpose.WEIGHTS))
    w, v, losses = layer.weight.data.clone(), torch.zeros(10, 784), []
    b, u = layer.bias.data.clone(), torch.zeros(10)
    for _ in range(2):
        p = (images @ w.T + b).softmax(1)
        losses.append(-(targets * p.log()).sum(1).mean().item())
        v = 0.5 * v + (p - targets).T @ images / 100 + 0.01 * w
        u = 0.5 * u + (p - targets).mean(0) + 0.01 * b
        w, b = w - 0.1 * v, b - 0.1 * u
    assert [row[1] for row in curve] == pytest.approx(losses, rel=1e-5)
    trained = load_tensors(paths.weights("logistic"))
    assert torch.allclose(torch.from_numpy(trained["layer.weight"]), w, atol=1e-6)
    assert torch.allclose(torch.from_numpy(trained["layer.bias"]), b, atol=1e-6)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_hyperparameter_counts(small, kind):
    """Each of an optimizer's settings, and those beside it, changes the curve."""
    optimizer = OPTIMIZERS[kind]
    first = small("mlp", optimizer=optimizer)
    for name, value in optimizer.items():
        if name != "kind":
            assert small("mlp", optimizer=optimizer | {name: value / 2 or 0.5}) != first, name
    for name, value in (("epochs", 4), ("batch_size", 20), ("seed", 1)):
        assert small("mlp", optimizer=optimizer, **{name: value}) != first, name


def test_an_optimizer_has_its_own_settings_alone(small, failure):
    small("mlp")
    adam = OPTIMIZERS["adam"] | {"momentum": 0.9}
    sgd = {name: value for name, value in OPTIMIZERS["sgd"].items() if name != "momentum"}
    untold = {name: value for name, value in sgd.items() if name != "kind"}
    for optimizer, problem in (
        (adam, ".momentum is not a parameter; is it misspelt?"),
        (sgd, ".momentum is missing"),
        (untold, ".kind is missing"),
        (sgd | {"kind": "adamw"}, ".kind is 'adamw'; it should be 'adam' or 'sgd'"),
        ("adam", " is 'adam'; it should be a section with keys of its own"),
    ):
        change_model(Path(), "mlp", optimizer=optimizer)
        assert failure("train@mlp") == f"params.yaml: {section('mlp')}.optimizer{problem}"


DROPOUT = {
    "conv": {"kind": "conv", "channels": 3, "kernel": 5, "padding": 2, "stride": 2},
    "tanh": {"kind": "tanh"},
    "pool": {"kind": "avg_pool", "window": 2},
    "dropout": {"kind": "dropout", "p": 0.5},
    "out": {"kind": "linear", "units": 10},
}


def test_dropout_is_for_training_alone(small):
    """It changes what is learnt, by the seed alone; the accuracies are those of the whole model."""
    with_p = [DROPOUT | {"dropout": {"kind": "dropout", "p": p}} for p in (0.0, 0.5)]
    none = {name: layer for name, layer in DROPOUT.items() if name != "dropout"}
    first, second = (small("cnn", layers=layers) for layers in with_p)
    assert first == small("cnn", layers=none)
    assert second != first
    assert second[-1][1] < second[0][1] / 2  # it learns
    assert second == small("cnn", layers=DROPOUT)
    test = json.loads(paths.metrics("cnn").read_text(encoding="utf-8"))["test_accuracy"]

    trained = load_model(paths.weights("cnn"))
    assert list(trained.layers) == list(DROPOUT)
    model = build(trained.layers, trained.input_shape, 0, "")
    model.load_state_dict({n: torch.from_numpy(weight) for n, weight in trained.weights.items()})
    model.eval()
    splits = read_splits(paths.DIGITS)
    for split, found in (("train", second[-1][2]), ("val", second[-1][3]), ("test", test)):
        inputs, labels = splits[split]
        assert (model(inputs).argmax(1) == labels).float().mean().item() == pytest.approx(found)


CONV = DROPOUT["conv"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"conv": CONV | {"kernel": 40}},
            "conv.kernel is 40; it should be less than or equal to 28",
        ),
        (
            {"conv": CONV | {"kind": "convolution"}},
            "conv.kind is 'convolution'; it should be 'conv' or 'max_pool' or 'avg_pool' or "
            "'relu' or 'tanh' or 'dropout' or 'linear'",
        ),
        ({"conv": CONV | {"channel": 3}}, "conv.channel is not a parameter; is it misspelt?"),
        ({"conv": CONV | {"stride": None}}, "conv.stride is None; it should be a valid integer"),
        (
            {"pool": {"kind": "max_pool"}, "dropout": {"kind": "dropout"}},
            "pool.window is missing; models.cnn.layers.dropout.p is missing",
        ),
        ({"conv": {"channels": 3}}, "conv.kind is missing"),
        ({"conv": 3}, "conv is 3; it should be a section with keys of its own"),
        ({"conv": None}, "conv is None; it should be a section with keys of its own"),
        ({"dropout": {"kind": "dropout", "p": 1.0}}, "dropout.p is 1.0; it should be less than 1"),
        (
            {"pool": {"kind": "avg_pool", "window": 15}},
            "pool pools 15 × 15 blocks, but gets 3 × 14 × 14",
        ),
        (
            {"pool": {"kind": "linear", "units": 9}, "dropout": CONV},
            "dropout needs channels × height × width, but gets 9",
        ),
        (
            {"out": {"kind": "linear", "units": 12}},
            "out.units is 12; the last layer should have 10, one for each label",
        ),
        (
            {"out": {"kind": "tanh"}},
            "out is the last layer, of kind tanh; "
            "it should be linear, with 10 units, one for each label",
        ),
        ({"size": CONV}, "size is 'size'; DVC reserves this name; choose another"),
        ({"nfiles": CONV}, "nfiles is 'nfiles'; DVC reserves this name; choose another"),
        (
            {"a.b": CONV},
            "a.b is 'a.b'; it should be 1 to 50 letters, digits, _ or -, and not start with -",
        ),
        ({"": CONV}, " is ''; it should be 1 to 50 letters, digits, _ or -, and not start with -"),
        ({3: CONV}, "3 is 3; it should be a valid string"),
        (
            {
                "pool": {"kind": "tanh"},
                "train": DROPOUT["pool"],
                "out": {"kind": "tanh"},
                "end": DROPOUT["out"],
            },
            "train: PyTorch reserves this name; choose another",
        ),
    ],
)
def test_what_the_model_is_made_of_is_named_where_it_is_wrong(small, failure, change, problem):
    refuse(DROPOUT | change, f".{problem}", failure)


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ({}, " is empty; the last layer should be linear, with 10 units"),
        ([3], " is [3]; it should be a section with keys of its own"),
    ],
)
def test_what_is_no_section_of_layers_is_refused(small, failure, layers, problem):
    refuse(layers, problem, failure)


def refuse(layers, problem, failure):
    params = parameters.read()
    of_model(params, "cnn")["layers"] = layers
    parameters.write(params)
    where = f"params.yaml: {section('cnn')}.layers"
    assert failure("train@cnn") == where + problem
    assert not Path("artifacts").exists()


def test_a_model_that_does_not_exist_is_refused(small):
    small("mlp")
    with pytest.raises(InputError) as caught:
        train.main("resnet", paths.DIGITS, *map(Path, "abcde"))
    assert str(caught.value) == f"params.yaml: {section('resnet')} is missing"


def test_another_model_s_mistakes_do_no_harm(small):
    """A stage reads its own model alone."""
    small("mlp")
    change_model(Path(), "cnn", layers=3)
    run_stage("train@mlp")


@pytest.mark.parametrize(
    ("count", "last", "expected"),
    [
        (16, 93, [1, 8, 14, 20, 26, 32, 38, 44, 51, 57, 63, 69, 75, 81, 87, 93]),
        (3, 93, [1, 47, 93]),
        (2, 93, [1, 93]),
        (1, 93, [93]),
        (16, 5, [1, 2, 3, 4, 5]),
        (100, 1, [1]),
    ],
)
def test_snapshots_are_evenly_spaced_from_the_first_iteration_to_the_last(count, last, expected):
    found = train.evenly_spaced(count, last)
    assert found == expected
    gaps = {b - a for a, b in zip(found, found[1:], strict=False)}
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("name", "first", "shape"),
    [
        ("logistic", "layer.weight", (10, 784)),
        ("mlp", "layer1.weight", (30, 784)),
        ("cnn", "conv1.weight", (4, 1, 3, 3)),
    ],
)
def test_a_snapshot_is_the_first_layer_after_so_many_iterations(small, name, first, shape):
    """Training that ends there gives the same weights, and snapshots change none."""
    path, weights = paths.snapshots(name), paths.weights(name)
    small(name, snapshots=4)  # of 30 iterations, 10 in each of three epochs
    snapshots, trained = load_tensors(path), weights.read_bytes()
    assert snapshots["iteration"].tolist() == [1, 11, 21, 30]
    assert snapshots["weight"].shape == (4, *shape)
    assert (snapshots["weight"][-1] == load_tensors(weights)[first]).all()
    small(name, snapshots=30)
    assert weights.read_bytes() == trained
    every = load_tensors(path)["weight"]
    assert (every[[0, 10, 20, 29]] == snapshots["weight"]).all()
    small(name, epochs=1)
    assert (load_tensors(weights)[first] == every[9]).all()


def test_too_many_snapshots_are_refused(small, failure):
    small("cnn")
    for value, problem in ((0, "greater than or equal to 1"), (101, "less than or equal to 100")):
        params = parameters.read(Path())
        parameters.set_value(params, SNAPSHOTS, value)
        parameters.write(params)
        message = f"params.yaml: {SNAPSHOTS} is {value}; it should be {problem}"
        assert failure("train@cnn") == message


def test_a_batch_larger_than_the_training_set_is_refused(small, failure):
    small("mlp")
    change_model(Path(), "mlp", batch_size=101)
    assert failure("train@mlp") == (
        f"params.yaml: {section('mlp')}.batch_size is 101; "
        "it should be at most 100, the number of training images"
    )


@pytest.mark.parametrize(
    ("rate", "epochs", "what"),
    [
        (1e300, 3, "the loss is nan"),
        (1e300, 1, "the weights are not finite at the end"),
        (1e30, 1, "the loss of the test images is nan"),
    ],
)
def test_training_that_diverges_is_refused(small, failure, rate, epochs, what):
    """At the last update as well, which no loss follows."""
    small("mlp")
    before = paths.weights("mlp").read_bytes()
    sgd = OPTIMIZERS["sgd"] | {"learning_rate": rate}
    change_model(Path(), "mlp", optimizer=sgd, batch_size=100, epochs=epochs)
    message = failure("train@mlp")
    assert message.startswith(f"params.yaml: {section('mlp')} diverges: {what}")
    assert message.endswith("; lower the learning_rate, momentum or weight_decay")
    assert paths.weights("mlp").read_bytes() == before


def test_digits_that_are_no_safetensors_are_refused(small, failure):
    small("logistic")
    path = paths.DIGITS
    path.write_bytes(path.read_bytes()[:-1])
    message = failure("train@logistic")
    assert message.startswith(f"{path} is not a valid safetensors file: ")
    path.unlink()
    assert failure("train@logistic") == f"{path}: No such file or directory"


def test_progress_is_shown(small, capsys):
    small("logistic")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "0 of 30 iterations of logistic"
    assert lines[-1] == "30 of 30 iterations of logistic"
