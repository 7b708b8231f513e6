"""AlexNet: the real weights, their shapes, and what they make of the photograph."""

import hashlib

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from stages.core.alexnet.network import alexnet
from stages.core.base.tensors import load_tensors
from stages.core.data.photo import read_photo
from stages.core.drawing.grids import limits_around_zero
from stages.core.exact.layers import Conv2d

from common.artifacts import rows_of


@pytest.fixture(scope="module")
def weights(pipeline):
    return load_tensors(pipeline / "data/alexnet/features.safetensors")


@pytest.fixture(scope="module")
def model(pipeline):
    return alexnet(pipeline / "data/alexnet/features.safetensors")


def test_the_weights_are_torchvision_s(weights):
    digest = hashlib.sha256()
    for index in (0, 3, 6, 8, 10):
        for kind in ("weight", "bias"):
            digest.update(weights[f"features.{index}.{kind}"].tobytes())
    assert digest.hexdigest() == "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc"
    # As anybody sees them who prints AlexNet's state dict.
    first = weights["features.0.weight"]
    assert first[0, 0, 0, :3] == pytest.approx([0.11864, 0.094069, 0.095435], abs=1e-5)
    assert weights["features.0.bias"][:2] == pytest.approx([-0.9705, -2.8070], abs=1e-4)


def test_every_layer_s_shape_and_parameters(pipeline):
    rows = [tuple(row.values()) for row in rows_of(pipeline / "artifacts/alexnet/shapes.csv")]
    assert [row[1:] for row in rows] == [
        ("Conv2d", "1x64x157x157", "23296"),
        ("ReLU", "1x64x157x157", "0"),
        ("MaxPool2d", "1x64x78x78", "0"),
        ("Conv2d", "1x192x78x78", "307392"),
        ("ReLU", "1x192x78x78", "0"),
        ("MaxPool2d", "1x192x38x38", "0"),
        ("Conv2d", "1x384x38x38", "663936"),
        ("ReLU", "1x384x38x38", "0"),
        ("Conv2d", "1x256x38x38", "884992"),
        ("ReLU", "1x256x38x38", "0"),
        ("Conv2d", "1x256x38x38", "590080"),
        ("ReLU", "1x256x38x38", "0"),
        ("MaxPool2d", "1x256x18x18", "0"),
    ]
    assert [row[0] for row in rows] == [f"features.{index}" for index in range(13)]
    assert sum(int(row[3]) for row in rows) == 2_469_696


def test_the_architecture_has_both_parts(pipeline):
    text = (pipeline / "artifacts/alexnet/architecture.txt").read_text(encoding="utf-8")
    assert text == f"{torchvision.models.alexnet()}\n"
    assert "(features): Sequential(" in text and "(classifier): Sequential(" in text


def test_the_features_are_those_of_torchvision_s_own_network(pipeline, weights):
    network = torchvision.models.alexnet().eval()
    network.load_state_dict(
        {name: torch.from_numpy(value) for name, value in weights.items()}, strict=False
    )
    network.double()
    photo = read_photo(pipeline / "data/photo.png")
    assert photo.shape == (1, 3, 631, 631)
    assert photo.min() >= 0 and photo.max() <= 1
    with torch.inference_mode():
        expected = network.features(photo.double()).numpy()
    features = load_tensors(pipeline / "artifacts/alexnet/features.safetensors")["features"]
    assert features.shape == (1, 256, 18, 18) and features.dtype == np.float32
    assert expected.max() > 1
    assert np.abs(features - expected).max() < 5e-5 * expected.max()  # of integers of 20 bits


def test_the_features_are_those_of_exact_layers_that_are_not_frozen(pipeline, model, weights):
    """Bit for bit; and all convolutions that could take rows in pairs, which is faster, do."""
    x = read_photo(pipeline / "data/photo.png")[..., :131, :98]
    in_pairs = []
    with torch.inference_mode():
        for index, (plain, layer) in enumerate(
            zip(torchvision.models.alexnet().features, model.features, strict=True)
        ):
            if isinstance(plain, torch.nn.Conv2d):
                plain.__class__ = Conv2d
                for name in ("weight", "bias"):
                    array = weights[f"features.{index}.{name}"]
                    plain.get_parameter(name).copy_(torch.from_numpy(array))
                in_pairs.append(layer.in_pairs)
            expected = plain(x.clone())
            assert torch.equal(layer(x.clone()), expected)
            x = expected
    assert x.shape == (1, 256, 3, 2) and x.max() > 1
    assert in_pairs == [False, True, True, True, True]  # the first has a stride of 4


def test_an_activation_is_what_the_formula_says(pipeline, model, weights):
    photo = read_photo(pipeline / "data/photo.png")
    with torch.inference_mode():
        maps = model.features[0](photo)[0].numpy()
    padded = np.pad(photo[0].numpy(), ((0, 0), (2, 2), (2, 2)))
    for channel, row, column in ((0, 0, 0), (17, 60, 80), (63, 156, 156)):
        window = padded[:, 4 * row : 4 * row + 11, 4 * column : 4 * column + 11]
        kernel, bias = weights["features.0.weight"][channel], weights["features.0.bias"][channel]
        assert maps[channel, row, column] == pytest.approx((kernel * window).sum() + bias, abs=1e-4)


def test_the_classifier_costs_no_memory(model):
    assert all(parameter.is_meta for parameter in model.classifier.parameters())
    assert not any(parameter.is_meta for parameter in model.features.parameters())


def test_the_figures_are_of_the_right_layers(pipeline, model):
    """The pictures show, pixel by pixel, the maps after the layers that their names say."""
    x = read_photo(pipeline / "data/photo.png")
    outputs = []
    with torch.inference_mode():
        for layer in model.features[:6]:
            x = layer(x.clone())
            outputs.append(x[0, :64].numpy())
    for name, maps, zoom in (
        ("conv1", outputs[0], 1),
        ("conv1_relu", outputs[1], 1),
        ("conv2_pool", outputs[5], 4),
    ):
        picture = np.asarray(Image.open(pipeline / f"artifacts/alexnet/{name}.png").convert("L"))
        low, high = limits_around_zero(maps)
        side = maps.shape[-1]
        for channel in (0, 21, 63):
            top = 24 + 36 + 26 + 15 + channel // 6 * (side * zoom + 4 + 15)
            left = 24 + channel % 6 * (side * zoom + 4)
            tile = picture[top : top + side * zoom : zoom, left : left + side * zoom : zoom]
            expected = np.floor((maps[channel] - low) / (high - low) * 256).clip(0, 255)
            assert np.abs(tile - expected).max() <= 1, (name, channel)
