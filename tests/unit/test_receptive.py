"""Receptive fields: nothing outside of one changes its unit, and its corners do."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import nn
from torchvision.models import AlexNet

from stages.core.interpretation.receptive import PIXEL, Field, fields, fields_of_modules
from stages.core.learning.layers import LayerError, Layers

from common import parameters

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = TypeAdapter(Layers)
LARGE = 2.0**24  # more than any other number gets, and still exact in float64

# The same layers on every run, however long they take, and no files of hypothesis' own.
tried = settings(max_examples=200, deadline=None, derandomize=True, database=None)

convolutions = st.fixed_dictionaries(
    {
        "kind": st.just("conv"),
        "channels": st.just(1),
        "kernel": st.integers(1, 5),
        "padding": st.integers(0, 3),
        "stride": st.integers(1, 3),
    }
)
pools = st.fixed_dictionaries({"kind": st.just("max_pool"), "window": st.integers(1, 3)})
others = st.sampled_from([{"kind": "relu"}, {"kind": "dropout", "p": 0.5}])


def module(layer):
    """PyTorch's own, with every weight 1: sums of integers, in any order the same."""
    match layer.kind:
        case "conv":
            conv = nn.Conv2d(
                1, 1, layer.kernel, layer.stride, layer.padding, bias=False, dtype=torch.float64
            )
            nn.init.ones_(conv.weight)
            return conv
        case "max_pool":
            return nn.MaxPool2d(layer.window)
        case "relu":
            return nn.ReLU()
        case "dropout":
            return nn.Identity()


def check(network, field, side, seed):
    """Of a unit at a random place, in a random image. Whether its corners were tried: a unit whose
    square is partly beyond the image may see less of what is left of it, where pools drop rows."""
    random = np.random.default_rng(seed)
    image = torch.from_numpy(random.integers(1, 8, (1, 1, side, side))).double()
    maps = network(image)[0, 0]
    row, column = (int(random.integers(extent)) for extent in maps.shape)
    top, left = field.corner(row, column)
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[max(top, 0) : max(top + field.size, 0), max(left, 0) : max(left + field.size, 0)] = True
    other = torch.from_numpy(random.integers(0, 2**10, image.shape)).double()
    changed = network(torch.where(inside, image, other))[0, 0]
    assert changed[row, column] == maps[row, column]
    if not 0 <= min(top, left) <= max(top, left) <= side - field.size:
        return False
    for y in (top, top + field.size - 1):
        for x in (left, left + field.size - 1):
            changed = image.clone()
            changed[0, 0, y, x] += LARGE
            assert network(changed)[0, 0, row, column] > maps[row, column]
    return True


@tried
@given(
    st.lists(convolutions | pools | others, min_size=1, max_size=5),
    st.integers(8, 30),
    st.integers(0, 2**32 - 1),
)
def test_nothing_outside_of_it_changes_a_unit_and_its_corners_do(kinds, side, seed):
    layers = LAYERS.validate_python({f"layer{i}": kind for i, kind in enumerate(kinds)})
    shape = (1, side, side)
    for layer in layers.values():
        try:
            shape = layer.output_shape(shape)
        except LayerError:
            assume(False)
    network = nn.Sequential(*map(module, layers.values()))
    field = fields(layers)[f"layer{len(layers) - 1}"]
    check(network.requires_grad_(False), field, side, seed)


def test_those_of_the_lesson_s_cnn():
    """By hand: 3 rows; pooling joins two, 4; three of these, two pixels apart, 8; and so on."""
    layers = LAYERS.validate_python(parameters.of_model(parameters.read(), "cnn")["layers"])
    found = fields(layers)
    assert found == {
        "conv1": Field(3, 1, -1),
        "pool1": Field(4, 2, -1),
        "relu1": Field(4, 2, -1),
        "conv2": Field(8, 2, -3),
        "pool2": Field(10, 4, -3),
        "relu2": Field(10, 4, -3),
        "fc": None,
    }


def test_what_follows_a_linear_layer_sees_the_whole_image():
    layers = LAYERS.validate_python(
        {"a": {"kind": "linear", "units": 3}, "b": {"kind": "relu"}}, strict=True
    )
    assert fields(layers) == {"a": None, "b": None}
    assert PIXEL.corner(3, 4) == (3, 4)


def test_alexnet_s_are_those_that_are_published():
    """11, 51, 99, 131 and 163 pixels for the convolutions; 195 after the last pooling (Araujo,
    Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", 2019)."""
    with torch.device("meta"):
        modules = AlexNet().features
    found = fields_of_modules(modules)
    assert [found[name].size for name in ("0", "3", "6", "8", "10", "12")] == [
        *(11, 51, 99, 131, 163),
        195,
    ]


@pytest.mark.parametrize("last", [0, 2, 3, 5, 6, 8, 10, 12])
def test_alexnet_s_units_see_what_is_said(last):
    """Of one channel of its layers, all weights 1: strides, padding and pools that overlap."""
    with torch.device("meta"):
        described = AlexNet().features
    layers = [layer for layer in described[: last + 1] if not isinstance(layer, nn.ReLU)]
    network = nn.Sequential()
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            settings = layer.kernel_size, layer.stride, layer.padding
            layer = nn.Conv2d(1, 1, *settings, bias=False, dtype=torch.float64)
            nn.init.ones_(layer.weight)
        network.append(layer)
    field = fields_of_modules(described)[str(last)]
    network.requires_grad_(False)
    corners_tried = [check(network, field, 299, seed) for seed in range(5)]
    assert any(corners_tried)
