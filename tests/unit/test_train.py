"""The training loop: its formulas, its curves and snapshots, and what it refuses."""

from pathlib import Path

from stages.core.numerics.pinned import torch

import pytest
from torch import nn

from stages import train
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.learning.models import CNN, MLP, LogisticRegression, max_pool_2x2, num_parameters
from stages.core.learning.training import Split, accuracy

from common import parameters
from common.artifacts import read_curve
from common.parameters import SNAPSHOTS, change_model, of_model, section
from common.stages import run_stage


def test_the_layers_have_the_lesson_s_names_and_shapes():
    def shapes(model):
        return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}

    assert shapes(LogisticRegression()) == {"layer.weight": (10, 784), "layer.bias": (10,)}
    assert shapes(MLP(7)) == {
        "layer1.weight": (7, 784),
        "layer1.bias": (7,),
        "layer2.weight": (10, 7),
        "layer2.bias": (10,),
    }
    assert shapes(CNN()) == {
        "conv1.weight": (4, 1, 3, 3),
        "conv1.bias": (4,),
        "conv2.weight": (8, 4, 3, 3),
        "conv2.bias": (8,),
        "fc.weight": (10, 392),
        "fc.bias": (10,),
    }
    assert num_parameters(MLP(7)) == 795 * 7 + 10


def test_pooling_without_gradients_is_pooling():
    x = torch.randn(3, 4, 14, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(max_pool_2x2(x), nn.functional.max_pool2d(x, 2))
    x.requires_grad_()
    assert max_pool_2x2(x).grad_fn is not None


def test_accuracy_counts_every_image_once():
    labels = torch.arange(10).repeat(30)
    logits = nn.functional.one_hot(labels, 10).float()
    logits[:33] = logits[:33].roll(1, dims=1)  # 33 of 300 are wrong
    assert accuracy(nn.Identity(), Split(logits, labels)) == 267 / 300


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
    save_tensors(tensors, Path("data/digits.safetensors"))

    def fit(name, snapshots=16, **changes):
        params = parameters.read()
        parameters.set_value(params, SNAPSHOTS, snapshots)
        of_model(params, name).update({"batch_size": 10} | changes)
        parameters.write(params)
        run_stage(f"train@{name}")
        return read_curve(Path(f"artifacts/curves/{name}.csv"))

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
    changes = {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.01, "epochs": 2}
    curve = small("logistic", optimizer="sgd", batch_size=100, **changes)
    digits = load_tensors(Path("data/digits.safetensors"))
    images = torch.from_numpy(digits["train_images"]).flatten(1) / 255
    targets = nn.functional.one_hot(torch.from_numpy(digits["train_labels"])).float()
    torch.manual_seed(0)
    layer = nn.Linear(784, 10)
    w, v, losses = layer.weight.data.clone(), torch.zeros(10, 784), []
    b, u = layer.bias.data.clone(), torch.zeros(10)
    for _ in range(2):
        p = (images @ w.T + b).softmax(1)
        losses.append(-(targets * p.log()).sum(1).mean().item())
        v = 0.5 * v + (p - targets).T @ images / 100 + 0.01 * w
        u = 0.5 * u + (p - targets).mean(0) + 0.01 * b
        w, b = w - 0.1 * v, b - 0.1 * u
    assert [row[1] for row in curve] == pytest.approx(losses, rel=1e-5)
    trained = load_tensors(Path("artifacts/models/logistic.safetensors"))
    assert torch.allclose(torch.from_numpy(trained["layer.weight"]), w, atol=1e-6)
    assert torch.allclose(torch.from_numpy(trained["layer.bias"]), b, atol=1e-6)


@pytest.mark.parametrize(
    "change", [{"optimizer": "sgd"}, {"weight_decay": 0.5}, {"learning_rate": 0.2}, {"epochs": 4}]
)
def test_every_hyperparameter_counts(small, change):
    assert small("mlp", **change) != small("mlp")


def test_momentum_is_sgd_s(small):
    assert small("mlp", momentum=0.0) == small("mlp", momentum=0.9)
    sgd = {"optimizer": "sgd", "learning_rate": 0.1}
    assert small("mlp", momentum=0.0, **sgd) != small("mlp", momentum=0.9, **sgd)


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
    path, weights = (
        Path(f"artifacts/{kind}/{name}.safetensors") for kind in ("snapshots", "models")
    )
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
        "it should be at most 100, the training images"
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [({"epochs": 3}, "the loss is "), ({"epochs": 1}, "the weights are not finite in the end")],
)
def test_training_that_diverges_is_refused(small, failure, change, what):
    """At the last update as well, which no loss follows."""
    small("mlp")
    before = Path("artifacts/models/mlp.safetensors").read_bytes()
    sgd = {"optimizer": "sgd", "learning_rate": 1e300, "batch_size": 100}
    change_model(Path(), "mlp", **(sgd | change))
    message = failure("train@mlp")
    assert message.startswith(f"params.yaml: {section('mlp')} diverges, {what}")
    assert message.endswith("a smaller learning_rate, momentum or weight_decay is right")
    assert Path("artifacts/models/mlp.safetensors").read_bytes() == before


def test_digits_that_are_no_safetensors_are_refused(small, failure):
    small("logistic")
    path = Path("data/digits.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    message = failure("train@logistic")
    assert message.startswith(f"{path} is not a whole safetensors file: ")
    path.unlink()
    assert failure("train@logistic") == f"{path}: No such file or directory"


def test_progress_is_ten_lines_without_a_terminal(small, capsys):
    small("logistic")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("logistic: iteration 3 of 30: loss ")
    assert lines[-1].startswith("logistic: iteration 30 of 30: loss ")
