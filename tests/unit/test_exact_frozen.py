"""Frozen layers are the exact layers, bit for bit, whichever way they take."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from stages.core.exact.frozen import FrozenConv2d, FrozenMaxPool2d
from stages.core.exact.integers import to_integers_per_example
from stages.core.exact.layers import Conv2d

from common import contract

pytestmark = pytest.mark.usefixtures("one_thread")

tried = settings(max_examples=100, deadline=None, derandomize=True, database=None)
small = st.integers(1, 4)


def layer_and_inputs(seed, kernel, shape, outputs=3, spread=3, **settings):
    """With numbers of several magnitudes, some of them zero."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        x = torch.randn(shape, generator=generator)
        x *= 10.0 ** torch.randint(-spread, spread + 1, shape, generator=generator)
        return x.where(torch.rand(shape, generator=generator) > 0.1, 0)

    layer = Conv2d(shape[1], outputs, kernel, **settings).requires_grad_(False)
    layer.weight.copy_(numbers(*layer.weight.shape))
    layer.bias.copy_(numbers(outputs))
    return layer, numbers(*shape)


@st.composite
def convolutions(draw):
    """A layer and its inputs: any kernel, stride and padding; sides that are odd and even, and as
    small as can be."""
    kernel, padding = draw(st.integers(1, 11)), draw(st.integers(0, 5))
    least = max(1, kernel - 2 * padding)
    height, width = (draw(st.integers(least, least + 6)) for _ in "12")
    return layer_and_inputs(
        draw(st.integers(0, 2**32 - 1)),
        kernel,
        (draw(small), draw(small), height, width),
        outputs=draw(small),
        spread=draw(st.sampled_from([0, 3])),
        stride=draw(st.sampled_from([1, 1, 2, 3, 4])),
        padding=padding,
    )


def gradient(layer, x, g=None):
    """Of the input, for that of the output; the output itself by default."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return torch.autograd.grad(y, x, y.detach() if g is None else g)[0]


@pytest.mark.parametrize("largest", [1, 1e6])
def test_it_is_the_exact_convolution(largest):
    """One weight that is much larger than the others has it take rows in pairs."""
    in_pairs = []

    @tried
    @given(convolutions())
    def check(layer_and_x):
        layer, x = layer_and_x
        layer.weight[0, 0, 0, 0] = largest
        frozen = FrozenConv2d(layer)
        assert torch.equal(frozen(x), layer(x))
        assert torch.equal(gradient(frozen, x), gradient(layer, x))
        if frozen.stride == 1 and frozen.kernel % 3 != 1:
            in_pairs.append(frozen.in_pairs)

    check()
    assert in_pairs.count(True) > 10 and (largest > 1 or False in in_pairs)


def sums(frozen, x):
    """The sums of integers, by single rows and in pairs."""
    integers, _ = to_integers_per_example(x, frozen.bits)
    padded = F.pad(integers, (0, 0, 0, 1)).permute(1, 2, 0, 3)
    height, width = (extent - frozen.kernel + 1 for extent in x.shape[2:])
    return frozen.single_rows(padded, height, width), frozen.pairs_of_rows(padded, height, width)


def large(channels, kernel, share, sign, outputs=2):
    """A layer of which all weights but one are close to `share` of the largest, and inputs that are
    all close to the largest: so the sums are as large as they can be. `sign`: of every other row,
    -1 for large differences in place of sums."""
    generator = torch.Generator().manual_seed(0)

    def close_to_one(*shape):
        x = 1 - torch.rand(shape, generator=generator) / 64
        x[..., 1::2, :] *= sign
        return x

    layer = Conv2d(channels, outputs, kernel).requires_grad_(False)
    layer.weight.copy_(close_to_one(*layer.weight.shape) * share)
    layer.weight[0, 0, 0, 0] = 1 - 2.0**-24
    return layer, close_to_one(2, channels, kernel + 3, kernel + 1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("channels", [3, 7, 64, 340])
@pytest.mark.parametrize("kernel", [2, 3, 5, 6, 8, 9, 11])
def test_sums_in_pairs_are_exact_where_they_are_taken(kernel, channels, sign):
    """As integers, for as floats in the end they would hide most of a wrong digit."""
    taken = set()
    for share in (1, 0.5, 0.25, 0.15, 0.1, 0.01):
        layer, x = large(channels, kernel, share, sign)
        frozen = FrozenConv2d(layer)
        taken.add(frozen.in_pairs)
        by_single_rows, in_pairs = sums(frozen, x)
        assert not frozen.in_pairs or torch.equal(by_single_rows, in_pairs)
        assert torch.equal(frozen(x), layer(x))
    assert taken == {False, True}


@pytest.mark.parametrize(("channels", "kernel"), [(7, 2), (1, 5), (64, 5), (64, 9), (64, 11)])
def test_sums_in_pairs_would_not_always_be_exact(channels, kernel):
    """So that the bound is needed."""
    layer, x = large(channels, kernel, 1, 1)
    frozen = FrozenConv2d(layer)
    assert not frozen.in_pairs and not torch.equal(*sums(frozen, x))


@pytest.mark.parametrize("in_pairs", [False, True])
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_spoils_its_own_example_alone(bad, in_pairs):
    layer, x = layer_and_inputs(0, 3, (3, 4, 8, 7), spread=0, padding=1)
    frozen, pool = FrozenConv2d(layer), FrozenMaxPool2d(3, 2)
    frozen.in_pairs = in_pairs
    expected = layer(x)
    x[1, 2, 7, 6] = bad
    y = frozen(x)
    assert not y[1].isfinite().any() and torch.equal(y[[0, 2]], expected[[0, 2]])
    assert not pool(y)[1].isfinite().any() and pool(y)[[0, 2]].isfinite().all()


@pytest.mark.parametrize("in_pairs", [False, True])
def test_no_batch_and_no_number_of_threads_changes_a_bit(in_pairs):
    layer, x = layer_and_inputs(0, 5, (12, 8, 31, 30), spread=0, outputs=16, padding=2)
    frozen = FrozenConv2d(layer)
    frozen.in_pairs = in_pairs
    whole, back = frozen(x), gradient(frozen, x)
    assert torch.equal(torch.cat([gradient(frozen, part) for part in x.split(5)]), back)
    assert torch.equal(torch.cat([frozen(part) for part in x.split(5)]), whole)
    assert torch.equal(frozen(x.flip(0)).flip(0), whole)
    for count in (3, 8):
        torch.set_num_threads(count)
        assert frozen(x).numpy().tobytes() == whole.numpy().tobytes()


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3), (1, 1), (5, 4)])
def test_pooling_is_pytorch_s(window, stride):
    for height in range(window, window + 5):
        _, x = layer_and_inputs(height, 1, (2, 3, height, window + 3))
        assert torch.equal(FrozenMaxPool2d(window, stride)(x), F.max_pool2d(x, window, stride))


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3), (5, 4)])
def test_the_gradient_of_pooling_is_the_contract_s(window, stride):
    """Of many values, and of few with many ties."""
    pool = FrozenMaxPool2d(window, stride)
    for height in range(window, window + 5):
        _, x = layer_and_inputs(height, 1, (2, 3, height, window + 3))
        for values in (x, x.sign()):
            y = pool(values)
            _, g = layer_and_inputs(height + 1, 1, y.shape)
            found = gradient(pool, values, g)
            expected = contract.overlapping_max_pool(
                *(tensor.flatten().tolist() for tensor in (values, g)), x.shape, window, stride
            )
            assert (y.flatten().tolist(), found.flatten().tolist()) == expected
