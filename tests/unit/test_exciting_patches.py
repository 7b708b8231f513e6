"""What excites units most: the places that the two stages find, cut out and draw."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F
from torchvision.models import AlexNet

from stages import alexnet_patches, exciting_patches
from stages.core.alexnet.network import MEAN, STD
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.data.digits import SPLITS
from stages.core.data.squares import read_image
from stages.core.drawing.tiles import GROUND, at_side, cut_out, framed
from stages.core.interpretation.alexnet import alexnet_convolutions
from stages.core.interpretation.receptive import fields_in_image
from stages.core.learning.layers import Layers
from stages.core.learning.trained import TrainedModel, load_model, save_model

from common import parameters, paths
from common.alexnet import write_random_weights
from common.artifacts import drawn, rows_of
from common.stages import run_stage

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = {
    "conv1": {"kind": "conv", "channels": 4, "kernel": 3, "padding": 1, "stride": 1},
    "pool1": {"kind": "max_pool", "window": 2},
    "relu1": {"kind": "relu"},
    "conv2": {"kind": "conv", "channels": 5, "kernel": 4, "padding": 2, "stride": 3},
    "tanh2": {"kind": "tanh"},
    "hidden": {"kind": "linear", "units": 6},
    "relu3": {"kind": "relu"},
    "fc": {"kind": "linear", "units": 10},
}
NUM_IMAGES = 50


def model_of(layers, input_shape, *, labels=DIGITS):
    """With random weights, and biases of 0."""
    checked = TypeAdapter(Layers).validate_python(layers, strict=True)
    model = TrainedModel(input_shape, checked, {}, labels)
    random = np.random.default_rng(0)
    weights = {
        f"{name}.{kind}": np.float32(random.normal(0.1, 1, size=size) * (kind == "weight"))
        for name, (shape, _) in model.shapes.items()
        for kind, size in model.layers[name].parameter_shapes(shape).items()
    }
    return model._replace(weights=weights)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with random digits and a trained `cnn`."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    tensors = {}
    for split in SPLITS:
        tensors[f"{split}_labels"] = np.arange(NUM_IMAGES) % 10
        images = random.integers(0, 256, (NUM_IMAGES, 28, 28), np.uint8)
        tensors[f"{split}_images"] = images * (random.random(images.shape) < 0.3)
    save_tensors(tensors, paths.DIGITS, in_metadata(DIGITS))
    params = parameters.read()
    params["exciting_patches"] = {"images": 1000, "units": 3, "patches": 5}
    parameters.write(params)
    save_model(model_of(LAYERS, (1, 28, 28)), paths.weights("cnn"))
    return tmp_path


def found(model="cnn"):
    rows = rows_of(paths.INTERPRETATION / f"patches/{model}.csv")
    return [
        {key: value if key == "layer" else float(value) for key, value in row.items()}
        for row in rows
    ]


def grid_of(model, layer, best, images, count):
    field = fields_in_image(model)[layer]
    pixels = exciting_patches.pixels_of(best[layer], field, images, count)
    labels = np.arange(len(images)) % 10
    return exciting_patches.grid(model, layer, best[layer], pixels, images, labels)


def plain(model, images):
    """Each layer's outputs by PyTorch's own layers in float64, for images N × 28 × 28 (uint8)."""
    x = torch.from_numpy(images).double()[:, None] / 255
    outputs = {}
    for name, layer in model.layers.items():
        weight, bias = (
            torch.from_numpy(model.weights[f"{name}.{kind}"]).double()
            if model.parameters(name)
            else None
            for kind in ("weight", "bias")
        )
        match layer.kind:
            case "conv":
                x = F.conv2d(x, weight, bias, layer.stride, layer.padding)
            case "linear":
                x = F.linear(x.flatten(1), weight, bias)
            case "max_pool":
                x = F.max_pool2d(x, layer.window)
            case "relu":
                x = x.relu()
            case "tanh":
                x = x.tanh()
        outputs[name] = x
    return outputs


def test_they_are_the_largest_activations_and_what_is_cut_out_is_all_that_counts(folder):
    """Whatever else is in an image, the units that see the patches have the same activations."""
    run_stage("exciting_patches@cnn")
    rows, model = found(), load_model(paths.weights("cnn"))
    images = load_tensors(paths.DIGITS)["test_images"]
    patches = load_tensors(paths.INTERPRETATION / "patches/cnn.safetensors")
    outputs = plain(model, images)
    steps = {"conv1": (3, 1, -1), "conv2": (10, 6, -5)}  # side, step and start, by hand
    assert {row["layer"] for row in rows} == {"conv1", "conv2", "hidden", "fc"}
    for layer in ("conv1", "conv2", "hidden", "fc"):
        for unit in range(3):
            of_unit = [row for row in rows if (row["layer"], row["unit"]) == (layer, unit)]
            assert [row["rank"] for row in of_unit] == [1, 2, 3, 4, 5]
            values = [row["activation"] for row in of_unit]
            assert values == sorted(values, reverse=True)
            assert values[0] == pytest.approx(outputs[layer][:, unit].max().item(), rel=1e-5)
            if layer not in steps:
                assert {(row["top"], row["left"], row["side"]) for row in of_unit} == {(0, 0, 28)}
                continue
            side, step, start = steps[layer]
            for row, pixels in zip(of_unit, patches[layer][unit], strict=True):
                assert row["side"] == side
                image = images[int(row["image"])]
                top, left = int(row["top"]), int(row["left"])
                other = np.full_like(image, 100)
                there = np.ix_(*(range(max(0, each), min(28, each + side)) for each in (top, left)))
                other[there] = image[there]
                assert np.array_equal(pixels, cut_out(image, top, left, side, GROUND))
                place = (top - start) // step, (left - start) // step
                value = plain(model, other[None])[layer][0, unit, *place].item()
                assert value == pytest.approx(row["activation"], rel=1e-5)


def test_a_unit_that_is_never_above_zero_is_said_to_be_so(folder):
    """If a ReLU follows; of a logit, the largest is shown, whatever its sign."""
    model = load_model(paths.weights("cnn"))
    weights = dict(model.weights)
    for name, unit in (("conv1", 1), ("hidden", 0), ("fc", 2), ("conv2", 2)):
        weights[f"{name}.weight"] = weights[f"{name}.weight"].copy()
        weights[f"{name}.weight"][unit] = 0
        weights[f"{name}.bias"] = weights[f"{name}.bias"].copy()
        weights[f"{name}.bias"][unit] = -1
    model = model._replace(weights=weights)
    save_model(model, paths.weights("cnn"))
    run_stage("exciting_patches@cnn")
    units = {(row["layer"], row["unit"]) for row in found()}
    assert units == {
        *(("conv1", unit) for unit in (0, 2)),
        *(("conv2", unit) for unit in (0, 1, 2)),
        *(("hidden", unit) for unit in (1, 2)),
        *(("fc", unit) for unit in (0, 1, 2)),
    }
    constant = [row["activation"] for row in found() if (row["layer"], row["unit"]) == ("fc", 2)]
    assert constant == [-1]  # in all images the same: the first is shown

    images = load_tensors(paths.DIGITS)["test_images"]
    inputs = torch.from_numpy(images)[:, None] / 255
    best = exciting_patches.strongest_places(model, inputs, 3, 5)
    grid = grid_of(model, "conv1", best, images, 5)
    assert grid.beside == ["channel 0", "channel 1\nnever above zero", "channel 2"]
    assert grid.heading.startswith("conv1: the first 3 of 4 channels; a unit sees 3 × 3 pixels. ")
    assert (grid.tiles[10:20] == GROUND).all()
    assert grid.labels[10:20] == [""] * 10


def test_a_patch_stands_beside_the_image_that_it_is_from(folder):
    """A single bright pixel, and a kernel that looks for it."""
    images = np.zeros((NUM_IMAGES, 28, 28), np.uint8)
    images[7, 4, 20] = 200
    images[9, 0, 0] = 100
    layers = {"look": LAYERS["conv1"], "relu": {"kind": "relu"}, "fc": LAYERS["fc"]}
    model = model_of(layers, (1, 28, 28))
    kernels = np.zeros((4, 1, 3, 3), np.float32)
    kernels[:, 0, 1, 1] = 1
    weights = dict(model.weights) | {"look.weight": kernels, "look.bias": np.zeros(4, np.float32)}
    model = model._replace(weights=weights)
    inputs = torch.from_numpy(images)[:, None] / 255
    best = exciting_patches.strongest_places(model, inputs, 1, 5)
    assert [place[1:] for place in best["look"][0]] == [(7, 4, 20), (9, 0, 0)]
    grid = grid_of(model, "look", best, images, 2)
    assert (grid.columns, grid.second, len(grid.tiles)) == (4, 2, 4)
    assert grid.labels == ["0.784", "0.392", "7", "9"]
    first, second, whole, corner = grid.tiles
    assert whole.shape == first.shape == (56, 56, 3)
    # 3 × 3 pixels as blocks of 18, with a margin of one pixel; beyond the image there is nothing.
    expected = np.full((56, 56, 3), GROUND)
    expected[1:55, 1:55] = 0
    expected[19:37, 19:37] = 200
    assert np.array_equal(first, expected)
    expected[1:19, 1:55] = expected[1:55, 1:19] = GROUND
    expected[19:37, 19:37] = 100
    assert np.array_equal(second, expected)
    assert (whole[8:10, 40:42] == 200).all()
    orange = (whole == exciting_patches.FRAME).all(2)
    assert orange.sum() == 4 * 7 and orange[[5, 12], 37:45].all() and orange[5:13, [37, 44]].all()
    orange = (corner == exciting_patches.FRAME).all(2)
    assert orange.sum() == 9 and orange[4, :5].all() and orange[:5, 4].all()


def test_units_that_get_features_see_the_whole_image(folder):
    tensors = load_tensors(paths.DIGITS)
    random = np.random.default_rng(2)
    for split in SPLITS:
        del tensors[f"{split}_images"]
        features = random.random((NUM_IMAGES, 256 * 4), np.float32)
        tensors[f"{split}_features"] = features
    save_tensors(tensors, paths.EMBEDDED_DIGITS, in_metadata(DIGITS))
    layers = {
        "conv": {"kind": "conv", "channels": 2, "kernel": 2, "padding": 0, "stride": 1},
        "fc": {"kind": "linear", "units": 10},
    }
    save_model(model_of(layers, (256, 2, 2)), paths.weights("probe"))
    run_stage("exciting_patches@probe")
    rows = found("probe")
    assert len(rows) == (2 + 3) * 5
    assert {(row["top"], row["left"], row["side"]) for row in rows} == {(0, 0, 28)}
    assert drawn(paths.INTERPRETATION / "patches/probe.png").ndim == 3


def test_only_so_many_images_are_looked_at(folder):
    parameters.change(Path(), "exciting_patches", images=7, units=64)
    run_stage("exciting_patches@cnn")
    assert {row["image"] for row in found()} <= {*range(7)}
    assert {row["unit"] for row in found() if row["layer"] == "conv1"} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("stage", "section", "key", "value", "said"),
    [
        ("exciting_patches@cnn", "exciting_patches", "patches", 13, "less than or equal to 12"),
        ("exciting_patches@cnn", "exciting_patches", "units", 0, "greater than or equal to 1"),
        ("alexnet_patches", "alexnet_patches", "images", 0, "greater than or equal to 1"),
        ("alexnet_patches", "alexnet_patches", "channels", 65, "less than or equal to 64"),
    ],
)
def test_a_number_out_of_range_is_one_line(folder, failure, stage, section, key, value, said):
    parameters.change(Path(), section, **{key: value})
    assert failure(stage) == f"params.yaml: {section}.{key} is {value}; it should be {said}"


def test_a_square_is_cut_out_and_beyond_the_image_there_is_ground():
    image = np.arange(1, 21, dtype=np.uint8).reshape(4, 5)
    assert cut_out(image, 1, 2, 2, 0).tolist() == [[8, 9], [13, 14]]
    assert cut_out(image, -1, -1, 3, 0).tolist() == [[0, 0, 0], [0, 1, 2], [0, 6, 7]]
    assert cut_out(image, 3, 4, 3, 99).tolist() == [[20, 99, 99], [99, 99, 99], [99, 99, 99]]
    for place in ((-9, 1), (9, 1), (1, -9), (1, 9)):
        assert (cut_out(image, *place, 3, 7) == 7).all()
    assert cut_out(image[..., None].repeat(3, axis=2), -2, 0, 9, 7).shape == (9, 9, 3)


def test_a_square_gets_another_size():
    square = np.array([[1, 2], [3, 4]], np.uint8)
    assert at_side(square, 5, 9).tolist() == [
        [1, 1, 2, 2, 9],
        [1, 1, 2, 2, 9],
        [3, 3, 4, 4, 9],
        [3, 3, 4, 4, 9],
        [9, 9, 9, 9, 9],
    ]
    assert at_side(np.full((10, 10, 3), 7, np.uint8), 4, 9).tolist() == [[[7] * 3] * 4] * 4


def test_a_frame_is_around_a_square_as_far_as_it_is_in_the_image():
    image = np.zeros((5, 6, 3), np.uint8)
    drawn = framed(image, 1, 2, 2, (1, 2, 3))
    assert (drawn.sum(2) > 0).astype(int).tolist() == [
        [0, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert {*map(tuple, drawn[drawn.any(2)])} == {(1, 2, 3)}
    assert not image.any()
    assert framed(image, -1, 4, 2, (1, 2, 3)).any(2).astype(int).tolist() == [
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 1],
        *[[0] * 6] * 3,
    ]
    assert not framed(image, 50, -50, 2, (1, 2, 3)).any()


# ---- AlexNet.

SIZE = 100


@pytest.fixture(scope="module")
def alexnet_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("alexnet") / "features.safetensors"
    write_random_weights(path)
    return path


@pytest.fixture
def images(tmp_path, monkeypatch, alexnet_weights):
    """A folder with made-up weights for AlexNet, six images in colour, and a photograph."""
    monkeypatch.chdir(tmp_path)
    paths.ALEXNET.parent.mkdir(parents=True)
    paths.ALEXNET.symlink_to(alexnet_weights)
    params = parameters.read()
    params["images"] |= {"path": "own", "size": SIZE}
    params["alexnet_patches"] = {"images": 4, "channels": 3, "patches": 4}
    parameters.write(params)
    random = np.random.default_rng(0)
    Path("own").mkdir()
    names = [f"{number}.png" for number in range(6)]
    for path in (*(Path("own", name) for name in names), paths.PHOTO):
        side = 200 if path == paths.PHOTO else 80
        cells = Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8))
        cells.resize((side, side), Image.Resampling.NEAREST).save(path)
    paths.EMBEDDED_IMAGES.mkdir(parents=True)
    for part, some in enumerate((names[:4], names[4:])):
        pq.write_table(pa.table({"path": some}), paths.EMBEDDED_IMAGES / f"part-{part:06}.parquet")
    return tmp_path


def of_reference(weights, image):
    """After each convolution and its ReLU, by PyTorch's own layers in float64."""
    with torch.device("meta"):
        network = AlexNet().features
    tensors = {
        name.removeprefix("features."): torch.from_numpy(weight).double()
        for name, weight in load_tensors(weights).items()
    }
    network.load_state_dict(tensors, assign=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    x = ((torch.tensor(image).permute(2, 0, 1) / 255 - mean) / std)[None].double()
    outputs = []
    with torch.inference_mode():
        for layer in network:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                outputs.append(x[0].clone())
    return dict(zip(FIELDS, outputs, strict=True))


FIELDS = {  # side, step and start
    "conv1": (11, 4, -2),
    "conv2": (51, 8, -18),
    "conv3": (99, 16, -34),
    "conv4": (131, 16, -50),
    "conv5": (163, 16, -66),
}


def test_alexnet_s_patches_are_all_that_counts_for_their_activations(images):
    run_stage("alexnet_patches")
    out = paths.INTERPRETATION / "alexnet_patches"
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"{name}.png" for name in FIELDS),
        "patches.csv",
        "patches.safetensors",
        "receptive_fields.csv",
    ]
    told = rows_of(out / "receptive_fields.csv")
    assert {
        row["layer"]: tuple(int(row[key]) for key in ("size", "step", "start"))
        for row in told
        if row["layer"].startswith("conv")
    } == FIELDS
    assert [(row["layer"], row["kernel"], row["stride"]) for row in told] == [
        *(("conv1", "11", "4"), ("pool1", "3", "2"), ("conv2", "5", "1"), ("pool2", "3", "2")),
        *((f"conv{number}", "3", "1") for number in (3, 4, 5)),
        ("pool5", "3", "2"),
    ]
    rows = rows_of(out / "patches.csv")
    looked_at = ["0.png", "1.png", "3.png", "4.png"]  # of six, evenly spread
    squares = {name: read_image(Path("own"), name, SIZE)[1] for name in looked_at}
    squares[str(paths.PHOTO)] = np.asarray(Image.open(paths.PHOTO))
    outputs = {name: of_reference(paths.ALEXNET, square) for name, square in squares.items()}
    small = load_tensors(out / "patches.safetensors")
    assert {name: tiles.shape for name, tiles in small.items()} == {
        name: (3, 8, side, side, 3) for name, side in zip(FIELDS, (11, 48, 48, 48, 48), strict=True)
    }
    assert {row["path"] for row in rows} <= {*squares}
    for layer, (side, step, start) in FIELDS.items():
        for channel in range(3):
            for source, names in (("images", looked_at), ("photo", [str(paths.PHOTO)])):
                of_channel = [
                    row
                    for row in rows
                    if (row["layer"], row["channel"], row["source"])
                    == (layer, str(channel), source)
                ]
                largest = max(outputs[name][layer][channel].max().item() for name in names)
                values = [float(row["activation"]) for row in of_channel]
                assert [row["rank"] for row in of_channel] == [*"1234"[: len(of_channel)]]
                assert values == sorted(values, reverse=True)
                assert (values[0] if values else 0) == pytest.approx(largest, rel=1e-4)
                for row in of_channel[:1]:
                    square = squares[row["path"]]
                    top, left = int(row["top"]), int(row["left"])
                    tile = small[layer][channel, 4 * (source == "photo")]
                    seen = cut_out(square, top, left, side, GROUND)
                    assert np.array_equal(tile, at_side(seen, len(tile), GROUND))
                    other = np.full_like(square, 90)
                    there = np.ix_(
                        *(
                            range(max(0, each), min(len(square), each + side))
                            for each in (top, left)
                        )
                    )
                    other[there] = square[there]
                    place = (top - start) // step, (left - start) // step
                    value = of_reference(paths.ALEXNET, other)[layer][channel][place].item()
                    assert value == pytest.approx(values[0], rel=1e-4)


def test_a_patch_is_drawn_as_it_is(images):
    pixels = np.arange(11 * 11 * 3, dtype=np.uint8).reshape(11, 11, 3)
    places = [alexnet_patches.Place(value, 0, 0, 0) for value in (12.34, 0.5)]
    groups = [[{places[0]: pixels}, {}], [{}, {}]]
    field = alexnet_convolutions()["conv1"].field
    figure = alexnet_patches.draw_layer("conv1", field, groups, 2, "somewhere")
    [drawn] = figure.artists
    said = [text.get_text() for text in figure.texts]
    assert said[0] == "What excites AlexNet's conv1 most"
    assert said[1].startswith("A unit sees 11 × 11 pixels. A row for each of the first 2 channels:")
    assert said[2:] == ["12.3", *[""] * 7, "channel 0", "channel 1\nalways zero"]
    grey = (drawn.pixels[..., :3] == GROUND).all(2)
    rows, columns = np.nonzero(~grey)
    assert np.array_equal(
        drawn.pixels[rows.min() : rows.max() + 1 : 9, columns.min() : columns.max() + 1 : 9, :3],
        pixels,
    )


def test_what_alexnet_s_patches_need_is_said(images, failure):
    Image.new("RGB", (62, 62)).save(paths.PHOTO)
    assert failure("alexnet_patches") == (
        f"{paths.PHOTO} has 62 × 62 pixels; AlexNet needs 63 × 63 or more"
    )
    Image.new("RGB", (63, 63)).save(paths.PHOTO)
    Path("own/3.png").write_bytes(b"no image")
    assert failure("alexnet_patches").endswith("; `dvc repro` embeds the images anew")
    shutil.rmtree(paths.EMBEDDED_IMAGES)
    paths.EMBEDDED_IMAGES.mkdir()
    assert failure("alexnet_patches") == (
        f"{paths.EMBEDDED_IMAGES} has no Parquet files; `dvc repro embed_images` writes them"
    )
    part = paths.EMBEDDED_IMAGES / "part-000000.parquet"
    part.write_bytes(b"no table")
    assert failure("alexnet_patches").startswith(f"{part} is no table of embedded images: ")
    pq.write_table(pa.table({"name": ["0.png"]}), part)
    assert failure("alexnet_patches").startswith(f"{part} is no table of embedded images: ")
    assert not (paths.INTERPRETATION / "alexnet_patches").exists()
