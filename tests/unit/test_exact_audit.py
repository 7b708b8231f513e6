"""No result of a stage passes through an operation whose result depends on the machine."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn
from torch.nn import functional as F

from stages import (
    alexnet_maps,
    alexnet_patches,
    convolve,
    data_efficiency,
    embed_digits,
    exciting_patches,
    train,
)
from stages.core.alexnet import embedding, network
from stages.core.alexnet.embedding import embed_images
from stages.core.alexnet.network import alexnet
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import save_tensors
from stages.core.data.digits import SPLITS, Split
from stages.core.exact import frozen, layers
from stages.core.learning import models, training
from stages.core.learning.settings import TrainParams
from stages.core.learning.trained import load_model

from common import parameters, paths
from common.alexnet import write_random_weights
from common.audit import InexactError, audited
from common.project import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = yaml.safe_load("""
conv: {kind: conv, channels: 3, kernel: 5, padding: 2, stride: 2}
tanh: {kind: tanh}
pool: {kind: avg_pool, window: 2}
wide: {kind: conv, channels: 4, kernel: 2, padding: 1, stride: 1}
max: {kind: max_pool, window: 2}
relu: {kind: relu}
hidden: {kind: linear, units: 12}
dropout: {kind: dropout, p: 0.5}
out: {kind: linear, units: 10}
""")
ADAM = {"kind": "adam", "learning_rate": 0.01, "weight_decay": 0.1}
SGD = {"kind": "sgd", "learning_rate": 0.1, "weight_decay": 0.1, "momentum": 0.9}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with 60 digits of each split, made of random pixels, and a function that changes
    params.yaml."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    tensors = {}
    for split in SPLITS:
        tensors[f"{split}_images"] = random.integers(0, 256, (60, 28, 28), np.uint8)
        tensors[f"{split}_labels"] = np.arange(60) % 10
    save_tensors(tensors, paths.DIGITS, in_metadata(DIGITS))
    parameters.write(parameters.read())
    return tmp_path


def trained(optimizer=ADAM):
    parameters.change_model(Path(), "cnn", layers=LAYERS, optimizer=optimizer, batch_size=20)
    train.main(
        "cnn", paths.DIGITS, *map(Path, ("model", "snapshots", "curve", "answers", "metrics"))
    )


@pytest.mark.parametrize("optimizer", [ADAM, SGD])
def test_training_is_exact(project, optimizer):
    with audited() as audit:
        trained(optimizer)
    assert {"mm", "convolution", "convolution_backward", "sum", "topk"} <= audit.seen


def split(num_features):
    inputs = torch.rand(50, num_features, generator=torch.Generator().manual_seed(0))
    return Split(inputs, torch.arange(50) % 10)


def test_data_efficiency_is_exact():
    params = TrainParams(optimizer=ADAM, batch_size=10, epochs=2, seed=0)
    data = {name: split(30) for name in SPLITS}
    with audited() as audit:
        data_efficiency.accuracies(params, [10, 50], data, 10, "pixels")
    assert {"mm", "sum"} <= audit.seen


def test_what_excites_a_model_is_exact(project):
    trained()
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with audited() as audit:
        exciting_patches.strongest_places(load_model(Path("model")), images, 2, 2)
    assert {"mm", "convolution"} <= audit.seen


@pytest.fixture
def photo(project, monkeypatch):
    """Makes a photograph of so many pixels a side; and pictures are not drawn."""
    for stage in (convolve, alexnet_maps):
        monkeypatch.setattr(stage, "save_figure", lambda *args: None)

    def make(side):
        pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save("photo.png")
        return Path("photo.png")

    return make


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with random weights for AlexNet's convolutions."""
    path = tmp_path_factory.mktemp("alexnet") / "features.safetensors"
    write_random_weights(path)
    return path


def convolved(photo, weights):
    convolve.main(photo(200), Path("out"))


def alexnet_s_maps(photo, weights):
    parameters.change(Path(), "alexnet_maps", normalize=True)
    alexnet_maps.main(weights, photo(63), Path("out"))


def alexnet_s_patches(photo, weights):
    squares = np.random.default_rng(0).integers(0, 256, (2, 63, 63, 3), np.uint8)
    alexnet_patches.look(alexnet(weights), squares, 0, channels=2, patches=2)


def embedded_digits(photo, weights):
    digits = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
    embed_digits.embed(alexnet(weights), 63, digits)


def interpolated(images, size):
    return F.interpolate(torch.from_numpy(images)[:, None] / 255, (size, size), mode="bilinear")


def embedded_images(photo, weights):
    for pool in (True, False):
        embedded = embed_images(
            [str(photo(70))], folder=Path(), weights=weights, size=63, pool=pool
        )
        assert embedded.rows[0].features.shape == (256,)


@pytest.mark.parametrize(
    ("make", "operations"),
    [
        (convolved, {"convolution", "div"}),
        (alexnet_s_maps, {"addmm", "div"}),
        (alexnet_s_patches, {"addmm", "div"}),
        (embedded_digits, {"addmm", "bmm", "div"}),
        (embedded_images, {"addmm", "sum", "div"}),
    ],
)
def test_features_and_maps_are_exact(photo, weights, make, operations):
    with audited() as audit:
        make(photo, weights)
    assert operations <= audit.seen


@pytest.mark.parametrize(
    ("owner", "name", "inexact", "operation"),
    [
        (layers.Linear, "forward", lambda s, x: F.linear(x.flatten(1), s.weight, s.bias), "addmm"),
        (layers.Conv2d, "forward", nn.Conv2d.forward, "convolution"),
        (layers.Tanh, "forward", lambda _, x: x.tanh(), "tanh"),
        (layers.AvgPool2d, "forward", lambda _, x: F.avg_pool2d(x, 2), "avg_pool2d"),
        (layers.Dropout, "forward", lambda s, x: F.dropout(x, s.p, s.training), "bernoulli_"),
        (layers, "exact_sum", lambda x, dims: x.sum(tuple(dims)).double(), "sum"),
        (layers, "product_bits", lambda num_terms: 27, "convolution"),
        (training, "cross_entropy", F.cross_entropy, "_log_softmax"),
        (train, "cross_entropy", F.cross_entropy, "_log_softmax"),
        (train, "logits", lambda model, x: model(x).softmax(1), "_softmax"),
        (training, "shuffled", lambda _, count: torch.rand(count).argsort(), "rand"),
        (models, "initialize", lambda layer, words: None, "convolution"),
    ],
)
def test_what_is_not_exact_is_found(project, monkeypatch, owner, name, inexact, operation):
    monkeypatch.setattr(owner, name, inexact)
    with pytest.raises(InexactError, match=rf"^aten\.{operation}\."), audited():
        trained()


@pytest.mark.parametrize(
    ("make", "owner", "name", "inexact", "operation"),
    [
        (convolved, convolve, "block_means", F.avg_pool2d, "avg_pool2d"),
        (alexnet_s_maps, alexnet_maps, "normalized", F.normalize, "linalg_vector_norm"),
        (embedded_digits, embed_digits, "enlarged", interpolated, "upsample_bilinear2d"),
        (embedded_digits, network, "FrozenConv2d", lambda layer: layer, "convolution"),
        (embedded_digits, frozen, "product_bits", lambda num_terms: 26, "addmm_"),
        (embedded_images, embedding, "means_of_maps", lambda x: x.mean((2, 3)), "mean"),
    ],
)
def test_what_is_not_exact_is_found_in_every_stage(
    photo, weights, monkeypatch, make, owner, name, inexact, operation
):
    monkeypatch.setattr(owner, name, inexact)
    with pytest.raises(InexactError, match=rf"^aten\.{operation}\."), audited():
        make(photo, weights)


def test_products_of_integers_are_made_in_the_exact_room_alone(photo, monkeypatch):
    """Elsewhere, nobody has shown that none is too large."""
    monkeypatch.setattr(convolve, "shape", lambda tensor: str((tensor == 0).double().sum()))
    with pytest.raises(InexactError, match="outside of the exact room"), audited():
        convolved(photo, None)


A, B = torch.tensor([[0.5, 1.5]]), torch.tensor([[3.0], [2.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    "compute",
    [
        lambda: A.add(A, alpha=0.1),
        lambda: A.addcmul(A, A),
        lambda: A.lerp(A, 0.5),
        lambda: A.sqrt(),
        lambda: A.exp(),
        lambda: A.softmax(1),
        lambda: A.mean(),
        lambda: A.var(),
        lambda: A.norm(),
        lambda: A.sum(),
        lambda: A.cumsum(1),
        lambda: A.double().sum(),
        lambda: A @ A.T,
        lambda: A.double() @ B,
        lambda: (B * 2.0**30).T @ (B * 2.0**30),
        lambda: (B * 2.0**52).sum(),
        lambda: torch.randn(3),
        lambda: A.bfloat16(),
        lambda: F.interpolate(A[None], scale_factor=2, mode="linear"),
        lambda: torch._fused_sgd_(
            *([A.clone()] for _ in range(3)),
            weight_decay=0.0,
            momentum=0.9,
            lr=0.1,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=True,
        ),
        lambda: F.conv2d(B[None, None], B[None, None] / 2),
        lambda: torch.addmm(B / 2, B, B[:1]),
        lambda: torch.addmm(B, B, B[:1] / 2),
        lambda: torch.addmm(B, B, B[:1], alpha=0.5),
        lambda: torch.addmm(B, B, B[:1], beta=0.5),
        lambda: torch.addmm(B, B, B[:1] * 2.0**52),
        lambda: F.conv2d(B[None, None], B[None, None], torch.tensor([0.5]).double()),
    ],
)
def test_operations_that_are_not_exact_are_refused(compute):
    for inference in (False, True):
        with pytest.raises(InexactError), torch.inference_mode(inference), audited():
            compute()


@pytest.mark.parametrize(
    "compute",
    [
        lambda: A + A - A * A / A,
        lambda: A.double().to(torch.float32).relu().round(),
        lambda: B.T @ B,
        lambda: (B.sum(), B.sum(0), torch.arange(3).sum(), (A > 1).sum()),
        lambda: torch.arange(5).cumsum(0),
        lambda: F.max_pool2d(A[None, None], 1),
        lambda: F.conv2d(B[None, None], B[None, None]),
        lambda: torch.addmm(B, B, B[:1] * 2.0**49),
        lambda: B.clone().addmm_(B, B[:1]).addmm_(B, B[:1]),
        lambda: F.pad(A, (1, 1))[:, 1:].flatten().tolist(),
    ],
)
def test_exact_operations_pass(compute):
    for inference in (False, True):
        with torch.inference_mode(inference), audited():
            compute()


# What the exact room may use of numpy and math, which the audit does not see; no sums among it.
ALLOWED = {
    "np": "abs add arange argsort copysign errstate float32 float64 frexp frombuffer int32 "
    "isfinite ldexp maximum minimum nan ndarray ones_like random rint sqrt uint8 where zeros "
    "zeros_like",
    "math": "frexp inf isfinite ldexp nan prod sqrt",
}
INEXACT_METHODS = "cumsum dot mean prod std trace var"  # of arrays; torch's own, the audit sees


def used(module):
    """What a module uses of numpy and math, and the attributes of anything else."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="np" | "math" as library), attr=name):
                yield library, name
            case ast.Attribute(attr=name):
                yield "", name
            case ast.ImportFrom(module="numpy" | "math", names=names):
                yield from (("import", name.name) for name in names)


@pytest.mark.parametrize("module", sorted((ROOT / "stages/core/exact").glob("*.py")))
def test_of_numpy_only_exact_functions_are_used(module):
    found = set(used(module))
    for library, names in ALLOWED.items():
        assert not {name for where, name in found if where == library} - set(names.split())
    assert not {name for where, name in found if where == ""} & set(INEXACT_METHODS.split())
    assert not {name for where, name in found if where == "import"}
