"""Integers in float64: their bits, their sums, and that no order, batch or thread changes them."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.exact.images import Enlarge, RepeatGrey, enlarged
from stages.core.exact.integers import (
    exact_mean,
    exact_sum,
    means_of_maps,
    product_bits,
    sum_bits,
    to_integers,
    to_integers_per_example,
)

from common import contract

tried = settings(max_examples=100, deadline=None, derandomize=True, database=None)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
counts = st.integers(1, 30).flatmap(lambda n: st.integers(2 ** (n - 1), 2**n))
EDGES = sorted({max(1, 2**n + d) for n in range(31) for d in (-1, 0, 1)})


@pytest.mark.parametrize("num_terms", EDGES)
def test_bits_are_as_many_as_a_sum_allows(num_terms):
    """The worst sum is at most 2^53, and with one more bit for both factors it would not be."""
    bits = product_bits(num_terms)
    assert bits == contract.product_bits(num_terms) >= 11
    assert num_terms * 2 ** (2 * bits) <= 2**53
    assert 2 ** contract.ceil_log2(num_terms) * 2 ** (2 * bits + 2) > 2**53
    bits = sum_bits(num_terms)
    assert bits == contract.sum_bits(num_terms)
    assert num_terms * 2**bits <= 2**53 < 2 ** contract.ceil_log2(num_terms) * 2 ** (bits + 1)


@tried
@given(counts)
def test_bits_of_any_number_of_terms(num_terms):
    assert product_bits(num_terms) == contract.product_bits(num_terms)
    assert sum_bits(num_terms) == contract.sum_bits(num_terms)


@tried
@given(st.lists(numbers, min_size=1, max_size=6), st.integers(15, 53))
def test_integers_are_the_contract_s(values, bits):
    """Of any float32: zeros, denormals, huge ones; and of an example alone the same."""
    found, unit = to_integers(torch.tensor(values), bits)
    expected, expected_unit = contract.integers(values, bits)
    assert found.tolist() == expected and unit == expected_unit
    assert found.abs().max() <= 2**bits
    batch = torch.tensor([values, [1.5] * len(values), [0.0] * len(values)])
    integers, units = to_integers_per_example(batch, bits)
    assert integers[0].tolist() == expected and units[0].item() == expected_unit
    assert integers[1].tolist() == [1.5 * 2 ** (bits - 1)] * len(values)
    assert integers[2].tolist() == [0] * len(values) and units[2].item() == 2.0**-bits


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_makes_no_number(bad):
    """Rather than numbers that depend on an order, because they are too large for exact sums."""
    x = torch.tensor([[1e30, bad], [1.0, 2.0]])
    assert all(part.isnan().all() for part in map(torch.as_tensor, to_integers(x, 20)))
    integers, units = to_integers_per_example(x, 20)
    assert integers.isnan().tolist() == [[True, True], [False, False]]
    assert units.isnan().tolist() == [[True], [False]]
    assert exact_sum(x, [0]).isnan().all() and math.isnan(exact_mean(x))
    maps = means_of_maps(x.view(2, 1, 1, 2))
    assert maps.isnan().tolist() == [[True], [False]]


@tried
@given(st.integers(1, 3), st.integers(1, 4), st.data())
def test_sums_are_the_contract_s(rows, columns, data):
    values = data.draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))
    x = torch.tensor(values).view(rows, columns)
    assert exact_sum(x, [1]).tolist() == contract.sums(contract.split(values, columns))
    assert exact_sum(x, [0]).tolist() == contract.sums([values[i::columns] for i in range(columns)])
    assert exact_sum(x, [0, 1]).item() == contract.exact_sum(values)
    assert exact_mean(x) == contract.exact_sum(values) / len(values)


@tried
@given(*(st.integers(1, most) for most in (3, 3, 4, 4)), st.integers(0, 2**32 - 1))
def test_means_of_maps_are_the_contract_s(n, channels, height, width, seed):
    """Of maps of very different sizes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, channels, height, width, generator=generator)
    x *= 10.0 ** torch.randint(-20, 20, (n, channels, 1, 1), generator=generator)
    expected = contract.means_of_maps(x.flatten().tolist(), tuple(x.shape))
    assert means_of_maps(x).flatten().tolist() == expected


@pytest.mark.parametrize("num_terms", [1, 2, 3, 1000, 2**16 + 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_worst_sums_and_products_are_exact(num_terms, sign):
    """All numbers are the largest there are, so that nothing cancels; just below a power of two,
    where rounding gives 2^bits itself."""
    largest = 2 - 2.0**-23
    column = torch.full((num_terms, 1), largest)
    bits = product_bits(num_terms)
    (left, _), (right, _) = to_integers(column.T * sign, bits), to_integers(column, bits)
    q = round(Fraction(largest) * 2 ** (bits - 1))
    assert q <= 2**bits and num_terms * q * q <= 2**53
    assert (left @ right).item() == sign * num_terms * q * q
    unit = Fraction(2) ** (1 - sum_bits(num_terms))
    total = num_terms * round(Fraction(largest) / unit) * unit
    assert exact_sum(column * sign, [0, 1]).item() == sign * total


@pytest.mark.parametrize("sign", [1, -1])
def test_the_worst_means_are_exact(sign):
    """Of feature maps, and of losses, which have all digits of float64."""
    largest = sign * (2 - 2.0**-23)
    for side in (1, 3, 18, 157):
        assert (means_of_maps(torch.full((2, 3, side, side), largest)) == largest).all()
    for count in (1, 2, 3, 64, 1000, 2**15 + 1):
        losses = sign * (2 - 2.0**-52 * torch.arange(1, count + 1, dtype=torch.float64))
        total = contract.exact_sum(losses.tolist())
        assert exact_sum(losses, [0]).item() == total and exact_mean(losses) == total / count


def test_no_order_batch_or_thread_changes_a_sum():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 40, generator=generator)
    x *= 10.0 ** torch.randint(-6, 6, x.shape, generator=generator)
    expected = exact_sum(x, [0])
    for seed in range(5):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        assert torch.equal(exact_sum(x[order], [0]), expected)
    assert not torch.equal(x[order].sum(0), x.sum(0))  # as float32 has it


def test_a_white_image_stays_white():
    """The largest sums: 255 (2 · 224)², far below 2^53."""
    assert (enlarged(np.full((1, 28, 28), 255, np.uint8), 224) == 1).all()


SHAPES = [(1, 1), (1, 5), (2, 7), (3, 3), (5, 4), (28, 63), (28, 96)]


@pytest.mark.parametrize(("side", "size"), SHAPES)
def test_enlarged_images_are_the_contract_s_and_torch_s(side, size):
    images = np.random.default_rng(0).integers(0, 256, (2, side, side), np.uint8)
    found = enlarged(images, size)
    assert found.dtype == torch.float32 and found.shape == (2, 1, size, size)
    assert found[1].flatten().tolist() == contract.enlarged(images[1].tolist(), size)
    pixels = torch.from_numpy(images).unsqueeze(1).double() / 255
    theirs = torch.nn.functional.interpolate(
        pixels, size=(size, size), mode="bilinear", align_corners=False
    )
    assert torch.allclose(found.double(), theirs, rtol=0, atol=1e-7)
    assert torch.equal(Enlarge(size)(pixels.float()), found)


def test_every_byte_is_enlarged_as_a_byte():
    images = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1).repeat(2, 1).repeat(2, 2)
    pixels = torch.from_numpy(images).unsqueeze(1) / 255
    assert torch.equal(Enlarge(3)(pixels), enlarged(images, 3))


@pytest.mark.parametrize(("side", "size"), SHAPES)
def test_the_gradient_of_enlarging_is_the_contract_s_and_torch_s(side, size):
    generator = torch.Generator().manual_seed(0)
    g = torch.randn(2, 1, size, size, generator=generator)
    g *= 10.0 ** torch.randint(-3, 3, g.shape, generator=generator)
    x = torch.zeros(2, 1, side, side, requires_grad=True)
    [found] = torch.autograd.grad(Enlarge(size)(x), x, g)
    for example, grad in zip(found, g, strict=True):
        assert example.flatten().tolist() == contract.enlarged_gradient(grad[0].tolist(), side)
    theirs = torch.nn.functional.interpolate(
        x.double(), size=(size, size), mode="bilinear", align_corners=False
    )
    [expected] = torch.autograd.grad(theirs, x, g.double())
    largest = expected.abs().max().item()
    assert torch.allclose(found, expected, rtol=0, atol=1e-6 * largest)


def test_repeated_grey_gets_the_gradients_of_all_three():
    """Added before they are rounded: 2^24 + 1 + 1 is 2^24 in float32, in this order."""
    x = torch.zeros(1, 1, 1, 1, requires_grad=True)
    g = torch.tensor([2.0**24, 1, 1]).view(1, 3, 1, 1)
    assert torch.autograd.grad(RepeatGrey()(x), x, g)[0].item() == 2**24 + 2
