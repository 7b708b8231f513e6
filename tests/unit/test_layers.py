"""Models as params.yaml describes them: every kind of layer against PyTorch's own module, and what
is said of models that do not fit."""

from functools import partial
from itertools import product
from typing import Literal, get_args, get_origin

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F

from stages.core.base.errors import InputError
from stages.core.exact.layers import MaxPool2d, initialize
from stages.core.exact.random import Purpose, Words
from stages.core.learning import layers as kinds
from stages.core.learning.layers import LayerError, Layers, check_logits, shapes
from stages.core.learning.models import build, build_layer, num_parameters, weights

from benchmarks.lesson import CNN, MLP, LogisticRegression
from common import parameters

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = TypeAdapter(Layers)
KINDS = get_args(get_args(kinds.Layer)[0])  # the union's members
WORDS = Words(0, Purpose.DROPOUT)
MOST = 9  # channels, units and pixels of a layer that is tried

# The same layers on every run, however long they take, and no files of hypothesis' own.
tried = settings(max_examples=100, deadline=None, derandomize=True, database=None)

input_shapes = st.tuples(*(st.integers(1, most) for most in (4, 13, 13))) | st.tuples(
    st.integers(1, 40)
)


def layers(kind):
    """Layers of a kind, with settings from all of their ranges, up to MOST."""
    fields = {}
    for name, field in kind.model_fields.items():
        if get_origin(field.annotation) is Literal:
            fields[name] = st.sampled_from(get_args(field.annotation))
        elif field.annotation is int:
            [least] = [bound.ge for bound in field.metadata if hasattr(bound, "ge")]
            fields[name] = st.integers(least, MOST)
        else:
            fields[name] = st.floats(0, 0.9)
    return st.builds(kind, **fields)


def pytorch_s(layer, shape):
    """PyTorch's own module for a layer; what a linear one gets is to be flattened."""
    match layer.kind:
        case "conv":
            return nn.Conv2d(shape[0], layer.channels, layer.kernel, layer.stride, layer.padding)
        case "max_pool":
            return nn.MaxPool2d(layer.window)
        case "avg_pool":
            return nn.AvgPool2d(layer.window)
        case "relu":
            return nn.ReLU()
        case "tanh":
            return nn.Tanh()
        case "dropout":
            return nn.Dropout(layer.p)
        case "linear":
            return nn.Linear(torch.Size(shape).numel(), layer.units)


def numbers(shape, count=2):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def described(layers):
    """The layers of a section of params.yaml, or of its text."""
    values = yaml.safe_load(layers) if isinstance(layers, str) else layers
    return LAYERS.validate_python(values, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_pytorch_s_module(kind):
    """Its output and its gradients, with the same weights; and it refuses what PyTorch refuses.
    Dropout does nothing here, for its masks are not PyTorch's."""

    @tried
    @given(layers(kind), input_shapes)
    def check(layer, shape):
        needs_maps = layer.kind in ("conv", "max_pool", "avg_pool")
        theirs = pytorch_s(layer, shape).eval()
        theirs_x = numbers(shape).requires_grad_()
        try:
            if needs_maps and len(shape) != 3:
                raise RuntimeError("PyTorch would take it for one example without a batch")
            expected = theirs(theirs_x.flatten(1) if layer.kind == "linear" else theirs_x)
        except RuntimeError:
            with pytest.raises(LayerError):
                layer.output_shape(shape)
            return
        assert layer.output_shape(shape) == expected.shape[1:]
        state = theirs.state_dict()
        assert layer.parameter_shapes(shape) == {n: tuple(t.shape) for n, t in state.items()}

        ours = build_layer(layer, shape, WORDS).eval()
        ours.load_state_dict(state)
        ours_x = numbers(shape).requires_grad_()
        found = ours(ours_x)
        assert torch.allclose(found, expected, atol=1e-5)
        slopes = numbers(expected.shape[1:])
        found.backward(slopes)
        expected.backward(slopes)
        assert torch.allclose(ours_x.grad, theirs_x.grad, atol=1e-4)
        for name, parameter in ours.named_parameters():
            assert torch.allclose(parameter.grad, theirs.get_parameter(name).grad, atol=1e-3)

    check()


@pytest.mark.parametrize("window", range(1, 6))
def test_max_pooling_is_pytorch_s_with_and_without_gradients(window):
    """Also of equal values, between which the gradient has to choose, and of odd sides."""
    generator = torch.Generator().manual_seed(0)
    for height, width in product(range(window, 10), repeat=2):
        x = torch.randint(-2, 3, (2, 3, height, width), generator=generator).float()
        expected = F.max_pool2d(x, window)
        with torch.no_grad():
            assert torch.equal(MaxPool2d(window)(x), expected)
        with torch.inference_mode():
            assert torch.equal(MaxPool2d(window)(x), expected)
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        found = MaxPool2d(window)(ours)
        assert torch.equal(found, expected)
        found.sum().backward()
        F.max_pool2d(theirs, window).sum().backward()
        assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    ("name", "lesson_s", "count"),
    [("logistic", LogisticRegression, 7850), ("mlp", MLP, 23860), ("cnn", CNN, 4266)],
)
def test_the_lesson_s_own_classes_load_its_models_weights(name, lesson_s, count):
    """By the same names, drawn from the seed layer by layer; and they compute the same."""
    layers = parameters.of_model(parameters.read(), name)["layers"]
    model, theirs = build(described(layers), (1, 28, 28), 7, ""), lesson_s()
    assert num_parameters(model) == count
    assert list(model.state_dict()) == list(theirs.state_dict())
    words = Words(7, Purpose.WEIGHTS)
    for layer in theirs.children():
        initialize(layer, words)
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(model.state_dict()[key], tensor)
        assert (weights(model)[key] == tensor.numpy()).all()
    x = numbers((1, 28, 28), count=9)
    assert torch.allclose(model(x), theirs(x), atol=1e-5)


def test_every_model_of_the_project_fits():
    inputs = {"digits": (1, 28, 28), "embedded_digits": (256, 2, 2)}
    for name in parameters.MODELS:
        section = parameters.of_model(parameters.read(), name)
        layers, shape = described(section["layers"]), inputs[section["input"]]
        *_, (_, output) = shapes(layers, shape, name).values()
        check_logits(layers, 10, name)
        assert output == (10,) == build(layers, shape, 0, name)(numbers(shape))[0].shape


def test_layers_run_in_the_order_in_which_they_stand():
    """And each is told what the one before it gives."""
    layers = described("""
        z: {kind: conv, channels: 5, kernel: 4, padding: 1, stride: 3}
        y: {kind: avg_pool, window: 2}
        x: {kind: tanh}
        w: {kind: linear, units: 6}
        v: {kind: dropout, p: 0.5}
        u: {kind: linear, units: 10}
    """)
    assert shapes(layers, (2, 28, 19), "") == {
        "z": ((2, 28, 19), (5, 9, 6)),
        "y": ((5, 9, 6), (5, 4, 3)),
        "x": ((5, 4, 3), (5, 4, 3)),
        "w": ((5, 4, 3), (6,)),
        "v": ((6,), (6,)),
        "u": ((6,), (10,)),
    }
    model = build(layers, (2, 28, 19), 0, "")
    assert [name for name, _ in model.named_children()] == list("zyxwvu")
    assert num_parameters(model) == 5 * 2 * 16 + 5 + 60 * 6 + 6 + 6 * 10 + 10


@pytest.mark.parametrize(
    ("text", "shape", "problem"),
    [
        (
            "a: {kind: conv, channels: 4, kernel: 20, padding: 1, stride: 1}",
            (4, 14, 15),
            "a has a kernel of 20 × 20, but gets 4 × 14 × 15, with padding 16 × 17",
        ),
        (
            "a: {kind: max_pool, window: 4}\nb: {kind: max_pool, window: 4}",
            (8, 28, 12),
            "b pools 4 × 4 blocks, but gets 8 × 7 × 3",
        ),
        (
            "a: {kind: avg_pool, window: 3}",
            (8, 2, 9),
            "a pools 3 × 3 blocks, but gets 8 × 2 × 9",
        ),
        (
            "a: {kind: linear, units: 30}\nb: {kind: max_pool, window: 2}",
            (1, 28, 28),
            "b needs channels × height × width, but gets 30",
        ),
        (
            "a: {kind: linear, units: 30}\nb: {kind: relu}\n"
            "c: {kind: conv, channels: 1, kernel: 1, padding: 0, stride: 1}",
            (1, 28, 28),
            "c needs channels × height × width, but gets 30",
        ),
    ],
)
def test_a_layer_that_does_not_fit_is_named(text, shape, problem):
    where = "models.m.layers"
    for use in (partial(shapes, where=where), partial(build, seed=0, where=where)):
        with pytest.raises(InputError) as caught:
            use(described(text), shape)
        assert str(caught.value) == f"{where}.{problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", " is empty; the last layer should be linear, with 10 units"),
        (
            "a: {kind: linear, units: 10}\nb: {kind: relu}",
            ".b is the last layer, of kind relu; "
            "it should be linear, with 10 units, one for each label",
        ),
        (
            "a: {kind: linear, units: 12}",
            ".a.units is 12; the last layer should have 10, one for each label",
        ),
    ],
)
def test_a_model_ends_in_a_logit_for_each_label(text, problem):
    with pytest.raises(InputError) as caught:
        check_logits(described(text), 10, "models.m.layers")
    assert str(caught.value) == f"models.m.layers{problem}"


def test_a_name_that_pytorch_has_for_something_else_is_refused():
    """Those of the class, as `train`, and those of its instances, as `training`."""
    names = {*dir(nn.Sequential), *vars(nn.Sequential())}
    assert {"train", "training"} <= names
    for name in sorted(names):
        if len(name) <= 50:  # more are refused by their length
            with pytest.raises(InputError) as caught:
                build(described(f"{name}: {{kind: linear, units: 10}}"), (1, 28, 28), 0, "layers")
            problem = f"layers.{name}: PyTorch reserves this name; choose another"
            assert str(caught.value) == problem
