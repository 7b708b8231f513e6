"""Images that excite a unit: the ascent against the contract, and what is done against noise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stages.core.exact.layers import Conv2d, Linear
from stages.core.interpretation.ascent import AscentParams, ascend, to_bytes

from common import contract
from common.audit import audited

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMS = AscentParams(steps=5, rate=0.3, jitter=2, blur=1, decay=0.02, seed=0)


def changed(**values):
    return PARAMS.model_copy(update=values)


def linear(weight):
    """A frozen linear layer with those weights, units × inputs."""
    layer = Linear(*reversed(weight.shape))
    layer.weight = nn.Parameter(torch.from_numpy(weight.astype(np.float32)), requires_grad=False)
    layer.bias.requires_grad_(False).zero_()
    return layer


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 3]),
    sides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    steps=st.integers(1, 4),
    jitter=st.integers(0, 7),
    blur=st.integers(0, 3),
    decay=st.sampled_from([0.0, 0.02, 0.3]),
)
def test_every_bit_is_the_contract_s(seed, channels, sides, steps, jitter, blur, decay):
    """Of a unit that is no straight line: of a convolution, then ReLU, then a linear layer."""
    random = np.random.default_rng(seed)
    shape = (channels, *sides)
    conv = Conv2d(channels, 2, 3, padding=1)
    last = linear(random.standard_normal((2, 2 * sides[0] * sides[1])))
    for parameter in conv.parameters():
        parameter.requires_grad_(False)
    ground = random.random(shape, np.float32)
    params = changed(steps=steps, jitter=jitter, blur=blur, decay=decay, seed=seed)
    wanted = torch.tensor([[0.0, 1.0]])
    [found] = ascend(nn.Sequential(conv, nn.ReLU(), last), wanted, ground, params)

    kernel, bias, weight = (
        parameter.flatten().tolist() for parameter in (conv.weight, conv.bias, last.weight)
    )
    first = contract.conv(shape, 2, 3, 1, 1)
    second = contract.linear(2 * sides[0] * sides[1], 2)

    def gradient(x):
        maps = first.forward(x, kernel, bias)
        _, back = contract.relu(maps, second.gradient_of_input(weight, [0.0, 1.0]))
        return first.gradient_of_input(kernel, back)

    expected = contract.ascent(
        gradient,
        ground.ravel().tolist(),
        shape,
        **params.model_dump(),
    )
    assert found.dtype == np.float32 and found.ravel().tolist() == expected


def test_an_image_does_not_depend_on_the_others_of_its_batch():
    weight = np.random.default_rng(0).standard_normal((3, 30))
    weight[1] *= 1e-6
    model, ground = linear(weight), np.full((1, 5, 6), 0.5, np.float32)
    together = ascend(model, torch.eye(3), ground, PARAMS)
    alone = [ascend(model, torch.eye(3)[i : i + 1], ground, PARAMS)[0] for i in range(3)]
    assert np.array_equal(together, np.stack(alone))


def test_left_alone_a_linear_unit_s_ideal_is_white_where_its_weight_is_above_zero():
    weight = np.random.default_rng(0).choice([-2.0, -1.0, 1.0, 2.0], (1, 30))
    params = changed(steps=60).alone()
    [[image]] = ascend(linear(weight), torch.ones(1, 1), np.zeros((1, 5, 6), np.float32), params)
    assert np.array_equal(image, weight.reshape(5, 6) > 0)


def test_pixels_that_do_not_matter_decay_to_the_ground():
    """Exactly, from wherever the noise began."""
    weight = np.zeros((1, 64))
    weight[0, 27:29] = 1
    params = changed(steps=30, jitter=1)
    ground = np.full((1, 8, 8), 0.4, np.float32)
    [[image]] = ascend(linear(weight), torch.ones(1, 1), ground, params)
    still = image == np.float32(0.4)
    assert still[0].all() and still[:, 0].all() and not still[3, 3:5].any()
    assert image[3, 3:5].min() == 1
    [[noisy]] = ascend(linear(weight), torch.ones(1, 1), ground, params.alone())
    assert not (noisy == np.float32(0.4)).any()


def test_a_unit_that_nothing_excites_leaves_the_ground():
    ground = np.zeros((1, 4, 4), np.float32)
    image = ascend(linear(np.zeros((1, 16))), torch.ones(1, 1), ground, PARAMS)
    assert not image.any()


def test_the_seed_changes_the_image():
    model, ground = linear(np.ones((1, 30))), np.full((1, 5, 6), 0.5, np.float32)
    one, other = (
        ascend(model, torch.ones(1, 1), ground, changed(seed=seed, steps=1)) for seed in (0, 1)
    )
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("side", "jitter", "blur"), [(3, 0, 0), (11, 1, 0), (16, 2, 1), (99, 2, 1)]
)
def test_a_unit_that_sees_little_gets_less_jitter_and_blur(side, jitter, blur):
    assert PARAMS.for_field(side) == changed(jitter=jitter, blur=blur)


def test_pixels_become_the_nearest_bytes():
    assert to_bytes(np.float32([0, 0.0019, 0.002, 0.5, 1])).tolist() == [0, 0, 1, 128, 255]


def test_it_is_exact():
    model, wanted = linear(np.ones((2, 48))), torch.eye(2)
    with audited() as audit:
        ascend(model, wanted, np.full((3, 4, 4), 0.5, np.float32), PARAMS)
    assert "mm" in audit.seen
