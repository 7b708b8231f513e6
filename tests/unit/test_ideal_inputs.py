"""The stages that make images that would excite units most: for whatever model, and for AlexNet."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torchvision.models import AlexNet

from stages import alexnet_ideal_inputs, ideal_inputs
from stages.core.alexnet.network import MEAN, normalized
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.exact.functions import softmax
from stages.core.interpretation.alexnet import alexnet_convolutions
from stages.core.interpretation.ascent import of_units
from stages.core.interpretation.pixels import on_pixels
from stages.core.learning.layers import Layers
from stages.core.learning.models import build, frozen, weights
from stages.core.learning.trained import TrainedModel, load_model, save_model

from common import parameters
from common.audit import audited

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE, SIZE = 20, 63  # of digits, and of what they are enlarged to for AlexNet
CONV = {"kind": "conv", "channels": 3, "kernel": 4, "padding": 1, "stride": 2}
LAST = {"kind": "linear", "units": 4}
LAYERS = {
    "first": CONV,
    "drop": {"kind": "dropout", "p": 0.5},
    "mean": {"kind": "avg_pool", "window": 2},
    "second": CONV | {"channels": 9, "kernel": 2, "stride": 1},
    "squeezed": {"kind": "tanh"},
    "hidden": {"kind": "linear", "units": 6},
    "relu": {"kind": "relu"},
    "last": LAST,
}
ON_FEATURES = {"maps": CONV | {"kernel": 1}, "last": LAST}
LABELS = ["a", "b", "c", "d"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with params.yaml, and with digits of another size than MNIST's."""
    monkeypatch.chdir(tmp_path)
    params = parameters.read()
    params["models"] = {"m": {"title": "Title"}}
    params["embed"]["size"] = SIZE
    params["ideal_inputs"] |= {"units": 5, "steps": 3}
    params["alexnet_ideal_inputs"] |= {"channels": 4, "steps": 2}
    parameters.write(params)
    images = np.zeros((2, SIDE, SIDE), np.uint8)
    save_tensors({"test_images": images}, Path("digits"), in_metadata(DIGITS))
    return tmp_path


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory):
    """A file with random weights for AlexNet's convolutions."""
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in AlexNet().features.state_dict().items()}
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("alexnet") / "features.safetensors"
    arrays = {
        f"features.{name}": random.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]))
        for name, shape in shapes.items()
    }
    save_tensors({name: array.astype(np.float32) for name, array in arrays.items()}, path)
    return path


def trained(layers, shape=(1, SIDE, SIDE)):
    kinds = TypeAdapter(Layers).validate_python(layers, strict=True)
    model = TrainedModel(shape, kinds, weights(build(kinds, shape, 0, "")), LABELS)
    save_model(model, Path("model"))
    return model


def made(weights_file):
    ideal_inputs.main(
        "m", *map(Path, ("model", "digits")), weights_file, Path("inputs"), Path("figure")
    )
    return load_tensors(Path("inputs"))


def test_every_layer_with_weights_gets_its_images(alexnet_file):
    """Of convolutions, what the unit in the middle sees; of hidden layers, the first units."""
    trained(LAYERS)
    found = made(alexnet_file)
    assert {name: tensor.shape for name, tensor in found.items()} == {
        "first": (3, 4, 4),
        "second": (5, 10, 10),
        "hidden": (5, SIDE, SIDE),
        "last": (4, SIDE, SIDE),
        "last.alone": (4, SIDE, SIDE),
        "last.probabilities": (4, 4),
        "last.alone.probabilities": (4, 4),
    }
    assert Path("figure").read_bytes().startswith(b"\x89PNG")


def test_probabilities_are_those_of_the_bytes(alexnet_file):
    model = trained(LAYERS)
    found = made(alexnet_file)
    for name in ("last", "last.alone"):
        with torch.inference_mode():
            logits = frozen(model)(torch.from_numpy(found[name])[:, None] / 255)
        expected = softmax(logits.numpy())[0].astype(np.float32)
        assert np.array_equal(found[f"{name}.probabilities"], expected)


def test_images_excite_more_than_the_black_that_they_begin_from(alexnet_file):
    parameters.change(Path(), "ideal_inputs", steps=20)
    model = trained(LAYERS)
    images = made(alexnet_file)["last"]
    with torch.inference_mode():
        black, found = (
            frozen(model)(torch.from_numpy(pixels)[:, None] / 255)
            for pixels in (np.zeros_like(images), images)
        )
    assert (found.diagonal() > black.diagonal()).all()


def test_a_model_of_features_gets_images_of_pixels(alexnet_file):
    shape = (256, 1, 1)
    model = trained(ON_FEATURES, shape)
    found = made(alexnet_file)
    assert found["maps"].shape == (3, SIDE, SIDE) and found["last"].shape == (4, SIDE, SIDE)
    assert found["maps"].any() and found["last"].any()
    with torch.inference_mode():
        logits = on_pixels(model, alexnet_file, SIZE)(
            torch.from_numpy(found["last"])[:, None] / 255
        )
    expected = softmax(logits.numpy())[0].astype(np.float32)
    assert np.array_equal(found["last.probabilities"], expected)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_the_unit_in_the_middle_sees_what_is_cut_out_and_no_more(layer):
    model = trained(LAYERS)
    rows, columns = ideal_inputs.what_it_sees(load_model(Path("model")), layer, SIDE)
    network = frozen(model)[: [*LAYERS].index(layer) + 1]
    x = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted = of_units(model.shapes[layer][1], range(1, 2))
    (gradient,) = torch.autograd.grad(network(x), x, wanted)
    seen = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    seen[rows, columns] = True
    assert torch.equal(gradient[0, 0] != 0, seen)


def test_alexnet_s_units_see_the_images_to_the_edge(alexnet_file):
    """And nothing beyond it: no padding comes into it."""
    network = alexnet_ideal_inputs.unpadded(alexnet_file)
    sides = []
    for place, _, _, field in alexnet_convolutions().values():
        side = field.size
        x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        y = network[: place + 1](normalized(x.requires_grad_()))
        wanted = torch.zeros_like(y)
        wanted[0, :, y.shape[2] // 2, y.shape[3] // 2] = 1
        (gradient,) = torch.autograd.grad(y, x, wanted)
        for edge in (
            gradient[..., 0, :],
            gradient[..., -1, :],
            gradient[..., 0],
            gradient[..., -1],
        ):
            assert edge.any(), place
        sides.append(side)
    assert sides == [11, 51, 99, 131, 163]


def test_each_convolution_of_alexnet_gets_images_that_excite_it(alexnet_file):
    parameters.change(Path(), "alexnet_ideal_inputs", channels=2, steps=10, jitter=0, rate=0.05)
    alexnet_ideal_inputs.main(alexnet_file, Path("out"))
    found = load_tensors(Path("out/images.safetensors"))
    network = alexnet_ideal_inputs.unpadded(alexnet_file)
    for name, (place, _, _, field) in alexnet_convolutions().items():
        side = field.size
        assert found[name].shape == (2, side, side, 3)
        images = torch.from_numpy(found[name]).permute(0, 3, 1, 2) / 255
        ground = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, side, side)
        before, after = (
            maps[:, :2, maps.shape[2] // 2, maps.shape[3] // 2]
            for maps in (network[: place + 1](normalized(x)) for x in (ground, images))
        )
        assert (after.diagonal() > before[0]).all()
    assert Path("out/images.png").read_bytes().startswith(b"\x89PNG")


def test_both_stages_are_exact(alexnet_file, monkeypatch):
    for stage in (ideal_inputs, alexnet_ideal_inputs):
        monkeypatch.setattr(stage, "in_threads", map)
        monkeypatch.setattr(stage, "save_figure", lambda *args: None)
    parameters.change(Path(), "alexnet_ideal_inputs", channels=1)
    trained(LAYERS)
    with audited() as audit:
        made(alexnet_file)
    assert {"mm", "convolution", "convolution_backward"} <= audit.seen
    trained(ON_FEATURES, (256, 1, 1))
    with audited():
        made(alexnet_file)
        alexnet_ideal_inputs.main(alexnet_file, Path("out"))
