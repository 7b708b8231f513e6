"""The fast way to the exact answers: they are the exact ones, its bound holds, and where a setting
makes float32 less precise it is not taken."""

import math
import os
import subprocess
import sys
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from stages.core.exact import answers
from stages.core.exact.answers import Answers
from stages.core.exact.integers import product_bits
from stages.core.exact.layers import AvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, Tanh
from stages.core.exact.random import Purpose, Words
from stages.core.learning import layers as kinds
from stages.core.learning.models import build_layer

from common.project import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

tried = settings(max_examples=40, deadline=None, derandomize=True, database=None)
WORDS = Words(0, Purpose.DROPOUT)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randomly(layer, seed, weight=1.0, bias=1.0):
    """Draw a layer's weights, of about so large sums for inputs of about 1, and biases."""
    for name, parameter in layer.named_parameters():
        size = weight / math.sqrt(layer.weight[0].numel()) if name == "weight" else bias
        parameter.data = torch.randn(parameter.shape, generator=generator(seed)) * size
    return layer


@st.composite
def models(draw):
    """Of up to four layers of all kinds and a linear one, for inputs 3 × 9 × 9."""
    channels, side, layers = 3, 9, []
    for _ in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["conv", "max", "avg", "relu", "tanh", "dropout"])):
            case "conv":
                kernel, stride = draw(st.integers(1, side)), draw(st.integers(1, 2))
                layers.append(Conv2d(channels, 6, kernel, stride=stride, padding=1))
                channels, side = 6, (side + 2 - kernel) // stride + 1
            case "max" | "avg" as kind:
                window = draw(st.integers(1, min(side, 3)))
                layers.append((MaxPool2d if kind == "max" else AvgPool2d)(window))
                side //= window
            case "relu":
                layers.append(nn.ReLU())
            case "tanh":
                layers.append(Tanh())
            case "dropout":
                layers.append(Dropout(0.5, WORDS))
    layers.append(Linear(channels * side**2, 10))
    sizes = st.sampled_from([1e-6, 0.1, 1.0, 30.0])
    for seed, layer in enumerate(layers):
        randomly(layer, seed, draw(sizes), draw(sizes))
    return nn.Sequential(*layers).eval()


def approximate(model, x):
    """Its outputs in float32 (N × labels, or maps), and the bound on their distance from the exact
    ones."""
    found, error = Answers(model).approximate(x)
    return (found[:, 0] if found.dim() == 3 else found), error


def answer(model, x):
    return Answers(model)(x)[:, 0]


@tried
@given(models(), st.sampled_from([1e-20, 1e-3, 1.0, 300.0]), st.integers(0, 2**32 - 1))
def test_answers_are_exact_and_the_bound_holds(model, size, seed):
    x = torch.randn(40, 3, 9, 9, generator=generator(seed)) * size
    with torch.inference_mode():
        exact = model(x)
        found, error = approximate(model, x)
        assert (found.double() - exact).abs().max() <= error < math.inf
        assert torch.equal(answer(model, x), exact.argmax(1))


@tried
@given(st.data())
def test_a_convolution_and_its_pooling_in_one_are_both(data):
    """Of any kernel, stride and padding, and of sides where pooling drops rows or columns: within
    the bound, and the same answers."""
    kernel, stride = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    padding, channels = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 3))
    least = max(1, kernel + stride - 2 * padding)  # for two rows of output
    height, width = (data.draw(st.integers(least, least + 7)) for _ in "12")
    x = torch.randn(20, channels, height, width, generator=generator(data.draw(st.integers(0, 99))))
    conv = randomly(Conv2d(channels, 4, kernel, stride=stride, padding=padding), 1)
    with torch.inference_mode():
        separate = F.max_pool2d(F.conv2d(x, conv.weight, conv.bias, stride, padding), 2)
        [stack] = Answers(nn.Sequential(conv)).layers
        pooled = stack.pooled_maps(x)
        assert pooled.shape == separate.shape and torch.allclose(pooled, separate, atol=1e-5)
        layers = conv, MaxPool2d(2)
        exact = nn.Sequential(*layers)(x)
        found, error = approximate(nn.Sequential(*layers), x)
        assert torch.equal(found, pooled) and (found.double() - exact).abs().max() <= error < 1e-3
        model = nn.Sequential(*layers, randomly(Linear(exact[0].numel(), 10), 2))
        assert torch.equal(answer(model, x), model(x).argmax(1))


def test_several_sets_of_weights_answer_as_each_alone():
    """And as many as the first layer's width allows are taken at once."""
    layers = randomly(Linear(784, 30), 0), nn.ReLU(), randomly(Linear(30, 10), 1, bias=0.1)
    model = nn.Sequential(*layers).eval()
    x = torch.rand(300, 1, 28, 28, generator=generator(2))
    sets = []
    for seed in range(4):
        for layer in (layers[0], layers[2]):
            randomly(layer, seed)
        sets.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    found = Answers(model, sets)(x)
    for column, weights in zip(found.T, sets, strict=True):
        model.load_state_dict(weights)
        assert torch.equal(column, model(x).argmax(1))
    assert len({tuple(column.tolist()) for column in found.T}) == 4
    assert answers.most_at_once(model) == answers.COLUMNS // 30 > 1
    assert answers.most_at_once(nn.Sequential(Linear(784, 1000))) == 1
    assert answers.most_at_once(nn.Sequential(MaxPool2d(2), Conv2d(1, 4, 3), Linear(9, 10))) == 1


@pytest.mark.parametrize("count", [1, answers.BATCH, answers.BATCH + 1, 3 * answers.BATCH - 1])
def test_any_number_of_examples_is_answered_in_order(exactly, count):
    model = nn.Sequential(randomly(Linear(20, 10), 0))
    x = torch.randn(count, 20, generator=generator(1))
    found = answer(model, x)
    assert sum(exactly) < 0.1 * count
    assert torch.equal(found, model(x).argmax(1))


@pytest.mark.parametrize("strange", [0, answers.BATCH])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_no_batch_is_believed_by_another_s_bound(bad, strange):
    """Small numbers have small errors; the larger ones of a batch with a number that is not finite
    have not, and many near ties."""
    layer = randomly(Linear(100, 10), 0)
    with torch.no_grad():
        layer.weight[1:] = layer.weight[0] * (1 + 2.0**-22 * torch.randn(9, 100))
        layer.bias[:] = 0
    x = torch.randn(2 * answers.BATCH, 100, generator=generator(1)) * 1e-6
    x[strange : strange + answers.BATCH] *= 1e9
    x[strange, 0] = bad
    assert torch.equal(answer(nn.Sequential(layer), x), layer(x).argmax(1))


@pytest.mark.parametrize("bias", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("count", [1, 30, 784, 9216])
def test_the_bound_holds_for_sums_of_many_terms(count, bias):
    """Also if the bias is added first, and every product is rounded beside it."""
    layer = randomly(Linear(count, 50), 0, bias=bias)
    x = torch.rand(64, count, generator=generator(1))
    with torch.inference_mode():
        exact = layer(x)
        added_first = layer.bias.expand(64, -1)
        for column in range(count):
            added_first = added_first + x[:, column, None] * layer.weight[:, column]
        found, error = approximate(nn.Sequential(layer), x)
        for sums in (found, added_first):
            assert (sums.double() - exact).abs().max() <= error
    assert error <= 2e-7 * (count + 3) * (math.sqrt(count) * 2 + 5 * bias)  # and is no vast one


@pytest.mark.parametrize("after", [0.01, 1, 100])
def test_the_bound_knows_what_the_integers_leave_out(after):
    """Weights so small beside the largest that as integers they are 0; and a layer after that."""
    first, last = Linear(784, 1), Linear(1, 2)
    weight = torch.full((1, 784), 0.49 * 2.0 ** -product_bits(784))
    weight[0, 0] = 1 - 2.0**-24
    first.load_state_dict({"weight": weight, "bias": torch.zeros(1)})
    last.load_state_dict({"weight": torch.tensor([[after], [1]]), "bias": torch.zeros(2)})
    x = torch.ones(1, 784)
    x[0, 0] = 0
    model = nn.Sequential(first, last)
    found, error = approximate(model, x)
    exact = model(x)
    assert (exact == 0).all() and (found > 0).all() and found.max() <= error


def test_the_bound_allows_for_a_tanh_that_is_4_units_off(monkeypatch):
    tanh, model = torch.tanh, nn.Sequential(Tanh())
    monkeypatch.setattr(torch, "tanh", lambda x: tanh(x) * (1 + 4 * 2.0**-23))
    x = torch.linspace(-9, 9, 1000).view(1, -1)
    found, error = approximate(model, x)
    assert (found - model(x)).abs().max() <= error


@pytest.fixture
def exactly(monkeypatch):
    """The numbers of examples that were computed exactly, call by call."""
    counts = []
    compute = Answers.exact

    def exact(self, x, index):
        counts.append(len(x))
        return compute(self, x, index)

    monkeypatch.setattr(Answers, "exact", exact)
    return counts


def test_digits_that_are_sure_are_not_computed_exactly(exactly):
    model = nn.Sequential(randomly(Linear(784, 10), 0))
    x = torch.rand(1000, 784, generator=generator(1))
    found = answer(model, x)
    assert sum(exactly) < 10
    assert torch.equal(found, model(x).argmax(1))


@pytest.mark.parametrize("change", [0.0, 2.0**-24, -(2.0**-24), 1e-4])
def test_near_ties_are_computed_exactly(exactly, change):
    """Two outputs with the same weights, or all but the same; the first of equal ones counts."""
    layer = randomly(Linear(100, 10), 0)
    with torch.no_grad():
        layer.weight[3] *= 3
        layer.weight[7] = layer.weight[3]
        layer.weight[7, 5] *= 1 + change
        layer.bias[:] = 0
    model = nn.Sequential(randomly(Linear(100, 100), 1), nn.ReLU(), layer)
    x = torch.rand(500, 100, generator=generator(1))
    exact = model(x).argmax(1)
    exactly.clear()
    assert torch.equal(answer(model, x), exact)
    tied = (exact == 3) | (exact == 7)
    assert tied.sum() > 50
    if abs(change) < 1e-4:
        assert sum(exactly) >= tied.sum()
    if change == 0:
        assert not (exact == 7).any()


@pytest.mark.parametrize(
    ("weight", "x"),
    [  # two outputs of four inputs
        ([[1e20, 1e20, -1e20, 0], [7e19, 0, 0, 0]], [2e18, 2e18, 3e18, 0]),  # overflows on the way
        ([[-1e20, -1e20, 1.5e20, 1.5e20], [5e19, 0, 0, 0]], [2e18, 2e18, 2e18, 2e18]),
        ([[3e38, 3e38, 0, 0], [3e38, 0, 0, 0]], [1, 1, 0, 0]),
        ([[1e-42, 0, 0, 0], [0, 1e-42, 0, 0]], [1e30, 1.1e30, 1, 0]),  # denormal
        ([[1e-20, 0, 0, 0], [0, 1e-20, 0, 0]], [1e-25, 2e-25, 1, 0]),
        ([[1, 0, 0, 0], [0, 1, 0, 0]], [math.inf, 1, 1, 1]),
        ([[1, 0, 0, 0], [0, 1, 0, 0]], [math.nan, 1, 1, 1]),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], [1, 1, 1, 1]),
    ],
)
@pytest.mark.parametrize("hidden", [None, nn.ReLU(), Tanh()])
def test_answers_are_exact_at_the_ends_of_float32(weight, x, hidden):
    """Also of a hidden layer: an overflow may hide behind ReLU or tanh."""
    first, last = Linear(4, 2), Linear(2, 2)
    first.load_state_dict({"weight": torch.tensor(weight).float(), "bias": torch.zeros(2)})
    last.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    model = nn.Sequential(first, hidden, last) if hidden else nn.Sequential(first)
    batch = torch.tensor([x, [1.0, 2, 3, 4]])
    assert torch.equal(answer(model, batch), model(batch).argmax(1))


def test_an_average_whose_sum_overflows_is_not_believed():
    x = torch.tensor([-2e38, -2e38, 3e38, 3e38]).view(1, 1, 2, 2)
    last = Linear(1, 2)
    last.load_state_dict({"weight": torch.tensor([[1], [0.5]]), "bias": torch.tensor([0, 1e37])})
    model = nn.Sequential(AvgPool2d(2), nn.ReLU(), last)
    assert model(x).argmax(1) == answer(model, x) == 0


def test_every_kind_of_layer_has_a_bound(exactly):
    """Rather than to be computed exactly, as a layer that is not known."""

    class Layer:
        channels, kernel, padding, stride, window, p, units = 3, 3, 1, 1, 2, 0.5, 10

    for kind in get_args(get_args(kinds.Layer)[0]):
        layer = kind.model_construct(**{n: getattr(Layer, n, None) for n in kind.model_fields})
        module = build_layer(layer, (3, 4, 4), WORDS)
        x = torch.randn(20, 3, 4, 4, generator=generator(0))
        exact = nn.Sequential(module).eval()
        found, error = approximate(exact, x)
        assert error < 1e-3, kind
        assert (found - exact(x)).abs().max() <= error
    model = nn.Sequential(nn.Sigmoid(), randomly(Linear(48, 10), 0))
    answer(model, x)
    assert exactly == [20]


@pytest.fixture
def precision():
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("value", ["high", "medium"])
def test_less_precise_products_are_not_believed(precision, exactly, value):
    precision(value)
    assert_not_believed(exactly)
    precision("highest")
    exactly.clear()
    Answers(nn.Sequential(randomly(Linear(784, 10), 0)))(
        torch.rand(50, 784, generator=generator(1))
    )
    assert sum(exactly) < 50


@pytest.mark.parametrize("name", ["ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"])
@pytest.mark.parametrize("value", ["BF16", "F16", "TF32", "ANY"])
def test_less_precise_modes_of_onednn_are_not_believed(monkeypatch, exactly, name, value):
    monkeypatch.setenv(name, value)
    assert_not_believed(exactly)


@pytest.mark.parametrize(
    ("name", "precision"),
    [("backends", "bf16"), ("backends.mkldnn.matmul", "tf32"), ("backends.mkldnn.conv", "bf16")],
)
def test_less_precise_operations_of_torch_are_not_believed(name, precision):
    """In a process of its own: not all of these settings can be taken back."""
    script = SCRIPT.replace(
        'torch.set_float32_matmul_precision("medium")',
        f'torch.{name}.fp32_precision = "{precision}"\n'
        "from stages.core.exact.answers import is_float32_trusted\n"
        "assert not is_float32_trusted()",
    )
    assert script != SCRIPT
    subprocess.run((sys.executable, "-c", script), cwd=ROOT, check=True)


def assert_not_believed(exactly):
    model = nn.Sequential(randomly(Conv2d(1, 8, 3, padding=1), 0), nn.ReLU(), Linear(8 * 784, 10))
    x = torch.rand(50, 1, 28, 28, generator=generator(1))
    found = answer(model, x)
    assert sum(exactly) == 50
    assert torch.equal(found, model(x).argmax(1))


SCRIPT = """
import torch
from torch import nn
from stages.core.exact.answers import Answers
from stages.core.exact.layers import Conv2d, Linear

torch.set_float32_matmul_precision("medium")
torch.manual_seed(0)
model = nn.Sequential(Conv2d(1, 16, 5, padding=2), nn.ReLU(), Linear(16 * 784, 10))
x = torch.rand(256, 1, 28, 28)
with torch.inference_mode():
    assert torch.equal(Answers(model)(x)[:, 0], model(x).argmax(1))
"""


def test_answers_are_exact_where_a_library_takes_fewer_bits():
    """As oneDNN does on some processors, once it is told to."""
    environment = os.environ | {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}
    subprocess.run((sys.executable, "-c", SCRIPT), cwd=ROOT, env=environment, check=True)


def test_without_settings_float32_is_believed(monkeypatch):
    for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"):
        monkeypatch.delenv(name, raising=False)
    assert answers.is_float32_trusted()
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "STRICT")
    assert answers.is_float32_trusted()
