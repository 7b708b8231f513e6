"""Elementary functions, the cross-entropy, optimizers and random numbers against the contract, bit
for bit, and against the libraries whose place they take."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from stages.core.exact import functions
from stages.core.exact.functions import cross_entropy, softmax
from stages.core.exact.layers import Conv2d, Linear, initialize
from stages.core.exact.optimizers import SGD, Adam
from stages.core.exact.random import Purpose, Words, keep_mask, shuffled

from common import contract

tried = settings(max_examples=50, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)
SEEDS = (0, 1, 12345, 2**31, 2**32 - 1)


def of_many(function, domain):
    """A function of arrays for numbers one at a time, and its results for all of them at once."""
    values = np.array(domain)
    results = function(values)
    assert values.tolist() == list(domain)  # and unchanged
    return results.tolist()


LESS_THAN_ZERO = [-(10.0**power) for power in np.linspace(-300, 40, 400)]
DOMAINS = {
    "exp": [0.0, -math.inf, -700, -700.1, -1e308, *LESS_THAN_ZERO],
    "log": [
        *(10.0, 784.0, 5e-324, 1e308, *np.linspace(1, 1100, 400), *np.linspace(0.708, 1.414, 400)),
        *(1 + sign * 2.0**-n for n in range(1, 54) for sign in (1, -1)),
        *(math.sqrt(2) * 2.0**n * (1 + m * 2.0**-52) for n in range(-3, 4) for m in range(-2, 3)),
    ],
    "tanh": [0.0, 2**-10, -(2**-10), *LESS_THAN_ZERO, *(-v for v in LESS_THAN_ZERO)],
}


@pytest.mark.parametrize("name", DOMAINS)
def test_functions_are_the_contract_s_and_the_library_s(name):
    """To 13 digits."""
    found = of_many(getattr(functions, name), DOMAINS[name])
    assert found == [getattr(contract, name)(v) for v in DOMAINS[name]]
    expected = [getattr(math, name)(v) for v in DOMAINS[name]]
    absolute = 1e-304 if name == "exp" else 0
    for v, value, wanted in zip(DOMAINS[name], found, expected, strict=True):
        assert value == pytest.approx(wanted, rel=1e-13, abs=absolute), v


@tried
@given(st.floats(-700, 0), st.floats(1e-300, 1e300), st.floats(-1e30, 1e30))
def test_functions_of_any_numbers_are_the_contract_s(power, positive, any_number):
    for name, v in (("exp", power), ("log", positive), ("tanh", any_number)):
        assert of_many(getattr(functions, name), [v]) == [getattr(contract, name)(v)]


def test_functions_of_infinite_numbers_are_right_and_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = of_many(functions.tanh, [math.inf, -math.inf])
        assert found == [1, -1] and np.isnan(functions.tanh(np.array([math.nan])))


@tried
@given(st.integers(1, 5), st.integers(2, 6), st.floats(-3, 3), seeds)
def test_cross_entropy_is_the_contract_s(n, labels, power, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, labels, generator=generator) * 10**power
    which = torch.randint(0, labels, (n,), generator=generator)
    logits.requires_grad_()
    found = cross_entropy(logits, which)
    [gradient] = torch.autograd.grad(found, logits)
    assert found.dtype == gradient.dtype == torch.float32
    loss, expected = contract.cross_entropy(logits.tolist(), which.tolist())
    assert (found.item(), gradient.tolist()) == (loss, expected)


@pytest.mark.parametrize("size", [1e-3, 1, 30, 1e4])
def test_cross_entropy_is_pytorch_s(size):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 10, generator=generator) * size
    labels = torch.randint(0, 10, (500,), generator=generator)
    ours, theirs = logits.requires_grad_(), logits.detach().double().requires_grad_()
    found, expected = cross_entropy(ours, labels), F.cross_entropy(theirs, labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    ours_grad, theirs_grad = (
        torch.autograd.grad(*pair)[0] for pair in ((found, ours), (expected, theirs))
    )
    assert (ours_grad - theirs_grad).abs().max() <= 1e-6 * theirs_grad.abs().max()
    probabilities, log_sums = softmax(logits.detach().numpy())
    assert np.allclose(probabilities, theirs.softmax(1).detach(), rtol=1e-10)
    assert np.allclose(log_sums, theirs.logsumexp(1).detach(), rtol=1e-10)


INFINITE, UNDEFINED = [math.inf, 0.0, 0.0], [0.0, math.nan, 0.0]


@pytest.mark.parametrize(
    ("logits", "loss"),
    [
        ([0.0, 0.0, 0.0], math.log(3)),
        ([1e30, -1e30, 3e38], 3e38),
        ([1e-45, -1e-45, 0.0], math.log(3)),
        ([0.0, -math.inf, -math.inf], 0),
        ([0.0, 200.0, -200.0], 200),
        (INFINITE, None),
        (UNDEFINED, None),
        ([-math.inf, 0.0, 0.0], None),
    ],
)
def test_cross_entropy_at_the_ends_of_float32(logits, loss):
    """Of the label 0; None: a loss that is not finite, and says nothing on standard error."""
    for others in ([], [[0.0, 0.0, 0.0]]):
        batch = torch.tensor([logits, *others])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = cross_entropy(batch, torch.zeros(len(batch), dtype=torch.int64)).item()
        if loss is None:
            assert not math.isfinite(found)
        elif not others:
            assert found == pytest.approx(loss, rel=1e-7, abs=2e-16)


def test_no_order_of_a_batch_changes_the_loss():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1000, 10, generator=generator) * 20
    labels = torch.randint(0, 10, (1000,), generator=generator)
    expected = cross_entropy(logits, labels)
    for seed in range(3):
        order = torch.randperm(1000, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(cross_entropy(logits[order], labels[order]), expected)


OPTIMIZERS = [
    (Adam, contract.Adam, torch.optim.Adam, {}),
    (SGD, contract.SGD, torch.optim.SGD, {"momentum": 0.0}),
    (SGD, contract.SGD, torch.optim.SGD, {"momentum": 0.9}),
]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("ours", "contract_s", "torch_s", "settings"), OPTIMIZERS)
def test_optimizers_are_the_contract_s_and_pytorch_s(
    ours, contract_s, torch_s, settings, weight_decay
):
    """The same weights after every one of thirty updates; bit for bit, and within the precision of
    float32. Some gradients are 0, some tiny."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(4, 3, generator=generator), torch.randn(4, generator=generator)]
    found, theirs = ([nn.Parameter(tensor.clone()) for tensor in start] for _ in range(2))
    optimizer = ours(found, learning_rate=0.1, weight_decay=weight_decay, **settings)
    reference = torch_s(theirs, lr=0.1, weight_decay=weight_decay, **settings)
    values = torch.cat([tensor.flatten() for tensor in start]).tolist()
    expected = [contract_s(value, 0.1, weight_decay, **settings) for value in values]
    for _ in range(30):
        gradients = [torch.randn(p.shape, generator=generator) for p in start]
        gradients[0][0], gradients[1][0] = 0, 1e-30
        optimizer.update(gradients)
        for weight, gradient in zip(
            expected, torch.cat([g.flatten() for g in gradients]).tolist(), strict=True
        ):
            weight.update(gradient)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        reference.step()
        bits = torch.cat([parameter.detach().flatten() for parameter in found])
        assert bits.tolist() == [weight.weight for weight in expected]
        for a, b in zip(found, theirs, strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("ours", "contract_s", "torch_s", "settings"), OPTIMIZERS)
def test_optimizers_are_the_contract_s_and_pytorch_s_before_they_round(
    monkeypatch, ours, contract_s, torch_s, settings
):
    """Given weights in float64, which show the order of all operations; and within the precision of
    float64."""
    monkeypatch.setattr(contract, "f32", float)
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(500, generator=generator, dtype=torch.float64)
    theirs = nn.Parameter(found.clone())
    expected = [contract_s(weight, 0.03, 0.01, **settings) for weight in found.tolist()]
    optimizer = ours([found], learning_rate=0.03, weight_decay=0.01, **settings)
    reference = torch_s([theirs], lr=0.03, weight_decay=0.01, **settings)
    for _ in range(3):
        gradients = torch.randn(500, generator=generator)
        optimizer.update([gradients])
        for weight, gradient in zip(expected, gradients.tolist(), strict=True):
            weight.update(gradient)
        theirs.grad = gradients.double()
        reference.step()
        assert found.tolist() == [weight.weight for weight in expected]
        assert torch.allclose(found, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("gradient", [math.inf, math.nan, 3e38])
@pytest.mark.parametrize("ours", [Adam, SGD])
def test_an_update_that_diverges_leaves_no_finite_weight_and_is_silent(ours, gradient):
    weight = torch.ones(2)
    settings = {"momentum": 0.9} if ours is SGD else {}
    optimizer = ours([weight], learning_rate=1e300, weight_decay=0.0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.update([torch.tensor([gradient, 0])])
    assert not weight[0].isfinite() and weight[1] == 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("purpose", Purpose)
def test_words_are_those_of_python_s_mersenne_twister(seed, purpose):
    """However many are taken at a time."""
    words, expected = Words(seed, purpose), contract.Words(seed, purpose)
    for shape in ((1,), (3, 5), (2, 1, 2), (700,)):
        found = words.take(*shape)
        assert found.dtype == np.uint32 and found.shape == shape
        assert found.flatten().tolist() == expected.take(math.prod(shape))


def test_purposes_have_the_contract_s_numbers():
    names = ["WEIGHTS", "ORDER", "DROPOUT", "ASCENT", "PLACES"]
    assert [*Purpose.__members__] == names and [*Purpose] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", SEEDS)
def test_initial_weights_are_the_contract_s(seed):
    words, expected = Words(seed, Purpose.WEIGHTS), contract.Words(seed, 1)
    for layer, fan_in in (
        (Linear(7, 3), 7),
        (Conv2d(2, 4, 3), 18),
        (nn.ReLU(), 0),
        (Linear(1, 1), 1),
    ):
        initialize(layer, words)
        for parameter in layer.parameters():
            assert parameter.dtype == torch.float32
            values = contract.initial_weights(expected, parameter.numel(), fan_in)
            assert parameter.flatten().tolist() == values


def test_initial_weights_are_uniform_within_the_bounds_that_pytorch_has():
    """PyTorch's layers are uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in) as well."""
    layer = Linear(100, 400)
    initialize(layer, Words(0, Purpose.WEIGHTS))
    found = layer.weight.detach().flatten().sort().values.double() * math.sqrt(100)
    assert found.abs().max() <= 1
    distance = found - torch.linspace(-1, 1, len(found), dtype=torch.float64)
    assert distance.abs().max() < 2 * 1.63 / math.sqrt(len(found))  # Kolmogorov, at 1 %
    theirs = nn.Linear(100, 400).weight.detach()
    assert theirs.abs().max().item() * math.sqrt(100) == pytest.approx(1, abs=1e-3)


@tried
@given(st.integers(1, 300), seeds)
def test_shuffles_are_the_contract_s(count, seed):
    words, expected = Words(seed, Purpose.ORDER), contract.Words(seed, 2)
    for _ in range(2):
        found = shuffled(words, count)
        assert found.dtype == torch.int64 and found.tolist() == contract.shuffled(expected, count)
        assert sorted(found.tolist()) == [*range(count)]


class Given:
    """Words that a test chooses."""

    def __init__(self, *words):
        self.words = np.array(words, np.uint32)

    def take(self, *shape):
        return self.words.reshape(shape)


def test_equal_words_stay_in_order():
    assert shuffled(Given(5, 5, 5, 7, 7, 7, 5, 5), 8).tolist() == [0, 1, 2, 6, 7, 3, 4, 5]


def test_a_word_of_just_p_keeps_its_element():
    words = Given(2**31 - 1, 2**31, 2**31 + 1)
    assert keep_mask(words, (1, 3), 0.5).tolist() == [[False, True, True]]
    assert keep_mask(Given(0, 2**32 - 1), (2,), 0.0).all()


@tried
@given(st.floats(0, 1, exclude_max=True), seeds)
def test_masks_are_the_contract_s(p, seed):
    found = keep_mask(Words(seed, Purpose.DROPOUT), (3, 2, 4), p)
    words = contract.Words(seed, 3).take(24)
    assert found.flatten().tolist() == [word >= p * 2**32 for word in words]
