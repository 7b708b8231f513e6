"""Files of trained models: what is read is what was written, and what is none is refused."""

import hashlib
import json

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors import safe_open

from stages.core.base.errors import InputError
from stages.core.base.labels import DIGITS
from stages.core.base.tensors import save_tensors
from stages.core.learning.layers import Layers
from stages.core.learning.models import build, weights
from stages.core.learning.trained import TrainedModel, load_model, save_model

SHAPE = (2, 13, 9)
LAYERS = TypeAdapter(Layers).validate_python(
    {
        "second": {"kind": "conv", "channels": 3, "kernel": 2, "padding": 0, "stride": 1},
        "first": {"kind": "max_pool", "window": 2},
        "none": {"kind": "dropout", "p": 0.1},
        "last": {"kind": "linear", "units": 10},
    },
    strict=True,
)


@pytest.fixture
def model():
    return TrainedModel(SHAPE, LAYERS, weights(build(LAYERS, SHAPE, 0, "")), DIGITS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def metadata(path):
    with safe_open(path, "numpy") as file:
        return file.metadata()


def test_what_is_read_is_what_was_written(model, path):
    """And it runs: the file alone makes the same model again, whatever seed that starts from."""
    save_model(model, path)
    loaded = load_model(path)
    assert loaded.input_shape == SHAPE
    assert loaded.layers == LAYERS and list(loaded.layers) == ["second", "first", "none", "last"]
    assert loaded.weights.keys() == model.weights.keys()
    assert all(np.array_equal(loaded.weights[name], model.weights[name]) for name in model.weights)

    before, after = build(LAYERS, SHAPE, 0, ""), build(loaded.layers, loaded.input_shape, 1, "")
    after.load_state_dict({n: torch.from_numpy(weight) for n, weight in loaded.weights.items()})
    x = torch.randn(2, *SHAPE)
    assert torch.equal(before.eval()(x), after.eval()(x))


def test_the_digest_is_that_of_the_weights_layer_by_layer(model):
    """In whatever order the file has them; one bit makes another one."""
    names = ("second.weight", "second.bias", "last.weight", "last.bias")
    content = b"".join(model.weights[name].tobytes() for name in names)
    assert model.digest == hashlib.sha256(content).hexdigest()
    turned = dict(reversed(model.weights.items()))
    assert model._replace(weights=turned).digest == model.digest
    turned["last.bias"] = np.nextafter(turned["last.bias"], np.float32(9))
    assert model._replace(weights=turned).digest != model.digest


def test_a_layer_knows_its_shapes_and_weights(model):
    assert model.shapes["last"] == ((3, 6, 4), (10,))
    assert model.parameters("first") == model.parameters("none") == {}
    for layer in ("second", "last"):
        found = model.parameters(layer)
        assert list(found) == ["weight", "bias"]
        assert all(found[name] is model.weights[f"{layer}.{name}"] for name in found)


def test_the_layers_are_json_in_the_only_entry_of_the_metadata(model, path):
    save_model(model, path)
    [(key, text)] = metadata(path).items()
    assert key == "model"
    about = json.loads(text)
    assert about["input_shape"] == list(SHAPE)
    assert list(about["layers"]) == list(LAYERS)
    assert about["layers"]["second"] == {
        "kind": "conv",
        "channels": 3,
        "kernel": 2,
        "padding": 0,
        "stride": 1,
    }


def test_the_same_model_gives_the_same_bytes(model, path, tmp_path):
    """Also when it was read from a file, or its weights come in another order."""
    save_model(model, path)
    turned = model._replace(weights=dict(reversed(model.weights.items())))
    for other in (model, load_model(path), turned):
        save_model(other, tmp_path / "other")
        assert (tmp_path / "other").read_bytes() == path.read_bytes()


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


NO_MODEL = " has no model's layers and labels in its metadata; `dvc repro` writes them"
LINEAR = '{"a": {"kind": "linear", "units": 3}}'
LABELS = '"labels": ["a", "b", "c"]'


@pytest.mark.parametrize("about", [None, {"pt": "pytorch"}])
def test_weights_without_layers_are_refused(model, path, about):
    save_tensors(model.weights, path, about)
    assert refusal(path) == NO_MODEL


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"layers": {}}',
        f'{{"layers": {LINEAR}}}',
        f'{{"layers": {LINEAR}, "input_shape": [3]}}',
        f'{{"layers": {LINEAR}, "input_shape": [3], "labels": "abc"}}',
        f'{{"layers": {LINEAR}, "input_shape": [3], "labels": [1, 2, 3]}}',
        f'{{"layers": {LINEAR}, "input_shape": 3, {LABELS}}}',
        f'{{"layers": {LINEAR}, "input_shape": [null], {LABELS}}}',
        f'{{"layers": {LINEAR}, "input_shape": ["three"], {LABELS}}}',
        f'{{"layers": {LINEAR}, "input_shape": [NaN], {LABELS}}}',
        f'{{"layers": {LINEAR}, "input_shape": [Infinity], {LABELS}}}',
        '{"layers": [], "input_shape": [3], ' + LABELS + "}",
        '{"layers": {"a": {"kind": "linear", "units": 3.0}}, "input_shape": [3], ' + LABELS + "}",
        '{"layers": {"a": {"kind": "linear"}}, "input_shape": [3], ' + LABELS + "}",
        '{"layers": {"a": {"kind": "magic", "units": 3}}, "input_shape": [3], ' + LABELS + "}",
        '{"layers": {"a.b": {"kind": "linear", "units": 3}}, "input_shape": [3], ' + LABELS + "}",
        "[" * 100_000,
    ],
    ids=lambda text: text[:60],
)
def test_metadata_that_are_no_model_are_refused(path, text):
    save_tensors({"a.weight": np.zeros((3, 3), np.float32)}, path, {"model": text})
    assert refusal(path) == NO_MODEL


def test_other_labels_than_there_are_logits_are_refused(model, path):
    save_model(model._replace(labels=DIGITS[:9]), path)
    assert refusal(path) == (
        ": layers.last.units is 10; the last layer should have 9, one for each label"
    )


def test_layers_that_do_not_fit_are_refused(path):
    about = {"layers": {"a": {"kind": "max_pool", "window": 9}}, "input_shape": [1, 8, 9]}
    about["labels"] = DIGITS
    save_tensors({}, path, {"model": json.dumps(about)})
    assert refusal(path) == ": layers.a pools 9 × 9 blocks, but gets 1 × 8 × 9"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"last.bias": None}, " has the tensors ['last.weight', 'second.bias', 'second.weight']; "),
        (
            {"a": np.zeros(1, np.float32)},
            " has the tensors ['a', 'last.bias', 'last.weight', ",
        ),
        (
            {"last.bias": np.zeros(9, np.float32)},
            ": last.bias is F32 9; it should be F32 10",
        ),
        (
            {"last.bias": np.zeros(10, np.int64)},
            ": last.bias is I64 10; it should be F32 10",
        ),
        (
            {"second.weight": np.zeros((3, 2, 2), np.float32)},
            ": second.weight is F32 3 × 2 × 2; it should be F32 3 × 2 × 2 × 2",
        ),
        (
            {"second.bias": np.full(3, np.nan, np.float32)},
            ": second.bias has numbers that are not finite",
        ),
    ],
)
def test_other_weights_than_its_layers_have_are_refused(model, path, change, problem):
    changed = {n: weight for n, weight in (model.weights | change).items() if weight is not None}
    save_model(model._replace(weights=changed), path)
    assert refusal(path).startswith(problem)


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 99])
def test_what_is_no_safetensors_is_refused(path, content):
    path.write_bytes(content)
    assert refusal(path).startswith(" is not a valid safetensors file: ")


def test_half_a_file_is_refused(model, path):
    save_model(model, path)
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(path).startswith(" is not a valid safetensors file: ")


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError) as caught:
        load_model(path)
    assert caught.value.filename == str(path)
