"""Layers against the contract, bit for bit, against PyTorch's own in float64, and at the ends of
what float32 can hold."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from stages.core.exact.functions import cross_entropy
from stages.core.exact.layers import AvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, Tanh, initialize
from stages.core.exact.random import Purpose, Words

from common import contract
from common.reference import in_float64

pytestmark = pytest.mark.usefixtures("one_thread")

tried = settings(max_examples=30, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)
small = st.integers(1, 4)
convolutions = st.fixed_dictionaries(
    {
        "out_channels": small,
        "kernel_size": st.integers(1, 5),
        "stride": st.integers(1, 5),
        "padding": st.integers(0, 4),
    }
)


def numbers(seed, *shape, spread=3):
    """Random numbers of several magnitudes, some of them zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    x *= 10.0 ** torch.randint(-spread, spread + 1, shape, generator=generator)
    return x.where(torch.rand(shape, generator=generator) > 0.1, 0)


def redrawn(layer, seed):
    with torch.no_grad():
        for offset, parameter in enumerate(layer.parameters()):
            parameter.copy_(numbers(seed + offset, *parameter.shape))
    return layer


def flat(tensor):
    return tensor.flatten().tolist()


def forward_and_back(layer, x, g=None):
    """The output, and the gradients of the input and the parameters, for that of the output; random
    by default."""
    x = x.clone().requires_grad_()
    y = layer(x)
    g = numbers(1, *y.shape).to(y.dtype) if g is None else g
    return y.detach(), g, torch.autograd.grad(y, [x, *layer.parameters()], g)


def assert_contract_s(layer, described, x):
    y, g, gradients = forward_and_back(layer, x)
    weight, bias = flat(layer.weight), flat(layer.bias)
    assert flat(y) == described.forward(flat(x), weight, bias)
    expected = described.gradients(flat(x), weight, flat(g))
    for found, values in zip(gradients, expected, strict=True):
        assert flat(found) == values


@tried
@given(small, st.integers(1, 9), small, seeds)
def test_linear_is_the_contract_s(n, inputs, outputs, seed):
    layer = redrawn(Linear(inputs, outputs), seed)
    assert_contract_s(layer, contract.linear(inputs, outputs), numbers(seed + 2, n, inputs))


@tried
@given(convolutions, small, small, st.integers(1, 7), st.integers(1, 7), seeds)
def test_conv_is_the_contract_s(settings, n, channels, height, width, seed):
    needed = settings["kernel_size"] - 2 * settings["padding"]
    shape = (channels, max(height, needed), max(width, needed))
    layer = redrawn(Conv2d(channels, **settings), seed)
    described = contract.conv(shape, **settings)
    assert_contract_s(layer, described, numbers(seed + 2, n, *shape))


def input_gradient(layer, x, g):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(layer(x), x, g)[0]


@tried
@given(convolutions, small, small, st.integers(1, 7), st.integers(1, 7), seeds)
def test_a_frozen_layer_s_gradient_is_that_of_each_example(settings, n, channels, h, w, seed):
    needed = settings["kernel_size"] - 2 * settings["padding"]
    shape = (channels, max(h, needed), max(w, needed))
    inputs = math.prod(shape)
    for layer, described in (
        (Conv2d(channels, **settings), contract.conv(shape, **settings)),
        (Linear(inputs, 3), contract.linear(inputs, 3)),
    ):
        layer.requires_grad_(False)
        redrawn(layer, seed)
        x = numbers(seed + 2, n, *shape)
        g = numbers(seed + 3, *layer(x).shape)
        found = input_gradient(layer, x, g)
        for example, grad in zip(found, g, strict=True):
            assert flat(example) == described.gradient_of_input(flat(layer.weight), flat(grad))


@pytest.mark.parametrize("window", range(1, 6))
@pytest.mark.parametrize("shape", [(1, 1, 5, 5), (2, 1, 9, 6), (5, 4, 13, 18)])
def test_pools_are_the_contract_s(shape, window):
    """Of many values, and of few with many ties."""
    values = numbers(0, *shape)
    ties = torch.randint(-1, 2, shape, generator=torch.Generator().manual_seed(0)).float()
    for layer, expected in (
        (MaxPool2d(window), contract.max_pool),
        (AvgPool2d(window), contract.avg_pool),
    ):
        for x in (values, ties):
            y, g, [of_x] = forward_and_back(layer, x)
            assert (flat(y), flat(of_x)) == expected(flat(x), flat(g), shape, window)
            with torch.no_grad():
                assert torch.equal(layer(x), y)


def test_an_average_is_rounded_once():
    """Not after each addition, as float32 would be."""
    x = torch.tensor([1, 2.0**-24, 2.0**-24, 0]).view(1, 1, 2, 2)
    assert AvgPool2d(2)(x).item() == 0.25 + 2.0**-25


@tried
@given(seeds, st.sampled_from([nn.ReLU, Tanh]))
def test_activations_are_the_contract_s(seed, kind):
    x = numbers(seed, 20)
    y, g, [of_x] = forward_and_back(kind(), x)
    expected = {nn.ReLU: contract.relu, Tanh: contract.tanh_layer}[kind]
    assert (flat(y), flat(of_x)) == expected(flat(x), flat(g))


@tried
@given(seeds, st.floats(0, 0.99))
def test_dropout_is_the_contract_s(seed, p):
    """Twice, since its words go on; and not at all while it does not train."""
    layer = Dropout(p, Words(seed, Purpose.DROPOUT))
    words = contract.Words(seed, 3)
    for _ in range(2):
        x = numbers(seed, 3, 2, 4)
        y, g, [of_x] = forward_and_back(layer, x)
        assert (flat(y), flat(of_x)) == contract.dropout(flat(x), flat(g), p, words.take(24))
        assert layer.eval()(x) is x
        layer.train()


def cnn(words):
    model = nn.Sequential(
        Conv2d(2, 4, 3, padding=1),
        MaxPool2d(2),
        nn.ReLU(),
        Conv2d(4, 6, 3, padding=2, stride=2),
        Tanh(),
        AvgPool2d(2),
        Linear(6 * 4, 12),
        nn.ReLU(),
        Dropout(0.3, words),
        Linear(12, 10),
    )
    for layer in model:
        initialize(layer, Words(0, Purpose.WEIGHTS))
    return model.eval()


LAYERS = {
    "linear": (Linear(98, 30), (2, 7, 7)),
    "convolution": (Conv2d(2, 5, 3, padding=1), (2, 9, 8)),
    "strided": (Conv2d(2, 5, 4, stride=3, padding=2), (2, 9, 8)),
    "max_pool": (MaxPool2d(2), (2, 9, 8)),
    "avg_pool": (AvgPool2d(3), (2, 9, 8)),
    "relu": (nn.ReLU(), (30,)),
    "tanh": (Tanh(), (30,)),
    "cnn": (cnn(Words(0, Purpose.DROPOUT)), (2, 12, 12)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_pytorch_s_layer_within_the_precision_of_float32(name):
    """Outputs and gradients, within 1e-5 of the largest."""
    layer, shape = LAYERS[name]
    x = torch.randn(20, *shape, generator=torch.Generator().manual_seed(0))
    y, g, gradients = forward_and_back(layer, x)
    expected, _, expected_gradients = forward_and_back(in_float64(layer), x.double(), g.double())
    for found, value in zip((y, *gradients), (expected, *expected_gradients), strict=True):
        assert found.dtype == torch.float32
        assert (found - value).abs().max() <= 1e-5 * value.abs().max()


def test_a_whole_model_s_loss_and_gradients_are_pyin_float64():
    model, shape = LAYERS["cnn"]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, *shape, generator=generator)
    labels = torch.randint(0, 10, (20,), generator=generator)
    theirs = in_float64(model)
    loss, expected = cross_entropy(model(x), labels), F.cross_entropy(theirs(x.double()), labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    gradients = torch.autograd.grad(loss, [*model.parameters()])
    expected_gradients = torch.autograd.grad(expected, [*theirs.parameters()])
    for found, value in zip(gradients, expected_gradients, strict=True):
        assert (found - value).abs().max() <= 1e-5 * value.abs().max()


@pytest.mark.parametrize("name", LAYERS)
def test_no_number_of_threads_changes_a_bit(name):
    layer, shape = LAYERS[name]
    x = numbers(0, 64, *shape)
    results = []
    for count in range(1, 9):
        torch.set_num_threads(count)
        y, _, gradients = forward_and_back(layer, x)
        results.append([tensor.numpy().tobytes() for tensor in (y, *gradients)])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", LAYERS)
def test_no_batch_changes_an_example_s_output(name):
    """However its examples are split, and whatever else is in it."""
    layer, shape = LAYERS[name]
    x = numbers(0, 12, *shape)
    whole = layer(x)
    assert torch.equal(torch.cat([layer(part) for part in x.split(1)]), whole)
    assert torch.equal(torch.cat([layer(part) for part in x.split(5)]), whole)
    assert torch.equal(layer(x.flip(0)).flip(0), whole)
    strange = torch.cat((x[:3], torch.full((1, *shape), math.nan), x[3:6] * 1e20))
    assert torch.equal(layer(strange)[:3], whole[:3])


def test_no_order_of_a_linear_layer_s_terms_changes_a_bit():
    """Neither of the inputs, nor of the outputs and examples, of which gradients are sums."""
    x, layer = numbers(0, 64, 500), redrawn(Linear(500, 20), 1)
    y, g, (of_x, of_weight, of_bias) = forward_and_back(layer, x)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        rows, inputs, outputs = (torch.randperm(n, generator=generator) for n in (64, 500, 20))
        other = Linear(500, 20)
        other.load_state_dict(
            {"weight": layer.weight[outputs][:, inputs], "bias": layer.bias[outputs]}
        )
        there, _, found = forward_and_back(other, x[rows][:, inputs], g[rows][:, outputs])
        assert torch.equal(there, y[rows][:, outputs])
        assert torch.equal(found[0], of_x[rows][:, inputs])
        assert torch.equal(found[1], of_weight[outputs][:, inputs])
        assert torch.equal(found[2], of_bias[outputs])


def test_no_order_of_a_convolution_s_channels_changes_a_bit():
    """Nor a mirrored image with mirrored kernels, which has the places in another order."""
    settings = {"kernel_size": 3, "padding": 1}
    x, layer = numbers(0, 5, 3, 8, 8), redrawn(Conv2d(3, 4, **settings), 1)
    y, g, (of_x, of_weight, of_bias) = forward_and_back(layer, x)
    for channels in permutations(range(3)):
        other = Conv2d(3, 4, **settings)
        weight = layer.weight[:, channels].flip(2, 3)
        other.load_state_dict({"weight": weight, "bias": layer.bias})
        there, _, found = forward_and_back(other, x[:, channels].flip(0, 2, 3), g.flip(0, 2, 3))
        assert torch.equal(there.flip(0, 2, 3), y)
        assert torch.equal(found[0].flip(0, 2, 3), of_x[:, channels])
        assert torch.equal(found[1].flip(2, 3), of_weight[:, channels])
        assert torch.equal(found[2], of_bias)


def assert_exact_at_worst(layer, described, shape, random_signs, seed):
    """All numbers are the largest there are, so that every sum comes as close to 2^53 as it can:
    forward and backward, against Python's integers."""
    generator = torch.Generator().manual_seed(seed)

    def worst(*shape):
        signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1 if random_signs else 1
        return torch.full(shape, 2 - 2.0**-23) * signs

    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(worst(*parameter.shape))
    x = worst(*shape)
    g = worst(*layer(x).shape)
    assume(g.numel() * layer.weight[0].numel() < 3000)  # Python is slow
    y, _, gradients = forward_and_back(layer, x, g)
    weight = flat(layer.weight)
    assert flat(y) == described.forward(flat(x), weight, flat(layer.bias))
    for found, values in zip(gradients, described.gradients(flat(x), weight, flat(g)), strict=True):
        assert flat(found) == values


@tried
@given(convolutions, st.sampled_from([1, 3, 40]), small, st.booleans(), seeds)
def test_the_worst_products_of_a_convolution_are_exact(settings, n, channels, random_signs, seed):
    shape = (channels, settings["kernel_size"] + 2, settings["kernel_size"])
    layer, described = Conv2d(channels, **settings), contract.conv(shape, **settings)
    assert_exact_at_worst(layer, described, (n, *shape), random_signs, seed)


@tried
@given(*(st.sampled_from([1, 2, 3, 17, 64, 784]) for _ in "123"), st.booleans(), seeds)
def test_the_worst_products_of_a_linear_layer_are_exact(n, inputs, outputs, random_signs, seed):
    assume(n * inputs * outputs < 3000)
    layer, described = Linear(inputs, outputs), contract.linear(inputs, outputs)
    assert_exact_at_worst(layer, described, (n, inputs), random_signs, seed)


EXTREME = {"zeros": 0.0, "denormal": 1e-42, "tiny": 1e-30, "huge": 1e30}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", EXTREME)
def test_zeros_tiny_and_huge_numbers_are_no_exception(name, size):
    """What float64 makes of them, where float32 can hold that; zeros give zeros."""
    layer, shape = LAYERS[name]
    x = numbers(0, 3, *shape, spread=0).sign() * EXTREME[size]
    y, g, gradients = forward_and_back(layer, x)
    expected, _, expected_gradients = forward_and_back(in_float64(layer), x.double(), g.double())
    for found, value in zip((y, *gradients), (expected, *expected_gradients), strict=True):
        assert found.isfinite().all()
        assert (found - value).abs().max() <= 1e-5 * value.abs().max() + 1e-44
    no_gradients = forward_and_back(layer, x, torch.zeros_like(y))[2]
    assert all((gradient == 0).all() for gradient in no_gradients)


def test_what_float32_cannot_hold_becomes_infinite():
    layer = Linear(1, 2)
    layer.load_state_dict({"weight": torch.tensor([[1e30], [-1e30]]), "bias": torch.zeros(2)})
    assert layer(torch.tensor([[1e30]])).tolist() == [[math.inf, -math.inf]]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["linear", "convolution", "cnn"])
def test_what_is_not_finite_is_not_made_finite(name, bad):
    """In an input, a weight or a gradient: whoever trains finds it in the loss or the weights."""
    layer, shape = LAYERS[name]
    x = numbers(0, 3, *shape)
    strange = x.clone()
    strange[1].view(-1)[0] = bad
    y = layer(strange)
    assert not y[1].isfinite().any() and torch.equal(y[[0, 2]], layer(x)[[0, 2]])
    weight = next(layer.parameters())
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.view(-1)[0] = bad
        assert not layer(x).isfinite().any()
    finally:
        with torch.no_grad():
            weight.copy_(before)
    g = torch.ones_like(y)
    g[0].view(-1)[0] = bad
    assert not any(found.isfinite().all() for found in forward_and_back(layer, x, g)[2])


@pytest.mark.parametrize("inputs", [torch.zeros(4, 2, 12, 12), torch.ones(1, 2, 12, 12)])
def test_blank_images_and_a_batch_of_one_are_learned_from(inputs):
    model, _ = LAYERS["cnn"]
    loss = cross_entropy(model(inputs), torch.arange(len(inputs)))
    gradients = torch.autograd.grad(loss, [*model.parameters()])
    assert loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients)


def test_a_sum_of_one_product():
    """One input, one output, one example: 26 bits, more than float32 has."""
    for x, weight, bias, g in numbers(0, 50, 4, spread=9).tolist():
        layer = Linear(1, 1)
        layer.load_state_dict({"weight": torch.tensor([[weight]]), "bias": torch.tensor([bias])})
        y, _, found = forward_and_back(layer, torch.tensor([[x]]), torch.tensor([[g]]))
        assert y.item() == contract.f32(x * weight + bias)
        expected = contract.f32(g * weight), contract.f32(g * x), g
        assert tuple(map(torch.Tensor.item, found)) == expected
