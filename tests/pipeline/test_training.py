"""What training reached on real digits, against another training loop."""

import json
import math

import pytest
import torch

from stages.core.base.tensors import load_tensors

from benchmarks import lesson
from common import contract, parameters
from common.artifacts import read_curve, rows_of
from common.parameters import of_model

MODELS = tuple(lesson.MODELS)


@pytest.fixture(scope="module")
def digits(pipeline):
    tensors = load_tensors(pipeline / "data/digits.safetensors")
    return {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}


class Shuffled(torch.utils.data.Sampler):
    """In every epoch another order, the one that the contract has for a seed."""

    def __init__(self, num_images, seed):
        self.num_images, self.words = num_images, contract.Words(seed, purpose=2)

    def __len__(self):
        return self.num_images

    def __iter__(self):
        return iter(contract.shuffled(self.words, self.num_images))


def with_initial_weights(model, seed):
    """The lesson's model with the weights that the contract has for a seed."""
    words = contract.Words(seed, purpose=1)
    for layer in model.children():
        for parameter in layer.parameters():
            fan_in = layer.weight[0].numel()
            values = contract.initial_weights(words, parameter.numel(), fan_in)
            parameter.data = torch.tensor(values).view(parameter.shape)
    return model


@pytest.mark.parametrize(("name", "difference"), [("logistic", 5e-6), ("mlp", 5e-6), ("cnn", 2e-3)])
def test_curves_and_weights_are_those_of_a_plain_loop(pipeline, digits, name, difference):
    """The lesson's own loop in float64, with PyTorch's layers and optimizer: from the same weights,
    with the same batches, rounding changes each loss by a relative `difference` at most. In the
    CNN it decides now and then which pixel of a block is the largest, and learns."""
    chosen = of_model(parameters.read(pipeline), name)
    train_data, val_data = (
        list(
            zip(
                digits[f"{part}_images"].unsqueeze(1).double() / 255,
                digits[f"{part}_labels"].tolist(),
                strict=True,
            )
        )
        for part in ("train", "val")
    )
    model = with_initial_weights(lesson.MODELS[name](), chosen["seed"]).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=chosen["optimizer"]["learning_rate"])
    expected = lesson.train(model, optimizer, train_data, val_data, Shuffled(2000, chosen["seed"]))
    found = read_curve(pipeline / f"artifacts/curves/{name}.csv")
    assert len(found) == len(expected) == 93
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], rel=difference)
        assert ours[2:] == pytest.approx(theirs[2:], abs=2 / 1000)  # of 2,000 and of 500 images

    trained = load_tensors(pipeline / f"artifacts/models/{name}.safetensors")
    assert trained.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert trained[key] == pytest.approx(tensor.numpy(), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "count", "lowest"),
    [("logistic", 7850, 0.85), ("mlp", 23860, 0.85), ("cnn", 4266, 0.9)],
)
def test_the_metrics_are_those_of_the_saved_model(pipeline, digits, name, count, lowest):
    metrics = json.loads((pipeline / f"artifacts/metrics/{name}.json").read_text(encoding="utf-8"))
    *_, (iteration, loss, train_accuracy, val_accuracy) = read_curve(
        pipeline / f"artifacts/curves/{name}.csv"
    )
    assert iteration == 93
    model = lesson.MODELS[name]()  # the lesson's own classes load the weights
    weights = load_tensors(pipeline / f"artifacts/models/{name}.safetensors")
    model.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    images = digits["test_images"].unsqueeze(1) / 255
    labels = digits["test_labels"]
    logits = model(images).double()
    found = rows_of(pipeline / f"artifacts/predictions/{name}.csv")
    assert [int(row["actual"]) for row in found] == labels.tolist()
    assert [int(row["predicted"]) for row in found] == logits.argmax(1).tolist()
    probabilities = [float(row["probability"]) for row in found]
    assert probabilities == pytest.approx(logits.softmax(1).amax(1).tolist(), abs=1e-5)
    of_labels = logits.softmax(1)[torch.arange(len(labels)), labels]
    assert metrics == {
        "loss": loss,
        "train_accuracy": train_accuracy,
        "val_accuracy": val_accuracy,
        "test_loss": pytest.approx(-of_labels.log().mean().item(), rel=1e-5),
        "test_accuracy": (logits.argmax(1) == labels).double().mean().item(),
        "num_parameters": count,
    }
    assert metrics["test_accuracy"] > lowest


def test_the_first_loss_is_that_of_guessing(pipeline):
    for name in MODELS:
        first = read_curve(pipeline / f"artifacts/curves/{name}.csv")[0]
        assert first[1] == pytest.approx(math.log(10), rel=0.1)
