"""Convolution and pooling: shapes against the formula, maps against plain loops."""

from pathlib import Path

from stages.core.numerics.pinned import torch

import numpy as np
import pytest
import yaml
from PIL import Image

from stages import convolve

from common.artifacts import rows_of
from common.stages import run_stage


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a photograph of 40 × 40 pixels and one convolution to change."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save("data/photo.png")
    write_params()
    return tmp_path


def write_params(name="a", **change):
    sizes = {"in_channels": 3, "out_channels": 10, "kernel_size": 3, "padding": 0, "stride": 1}
    section = {"seed": 0, "cmap": "gray", "convolutions": {name: sizes | change}}
    Path("params.yaml").write_text(yaml.safe_dump({"convolve": section}), encoding="utf-8")


@pytest.mark.parametrize("kernel_size", [1, 2, 5, 11])
@pytest.mark.parametrize("padding", [0, 1, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_shapes_follow_the_formula(folder, kernel_size, padding, stride):
    write_params(kernel_size=kernel_size, padding=padding, stride=stride)
    run_stage("convolve")
    [row] = rows_of(folder / "artifacts/convolution/shapes.csv")
    side = (40 + 2 * padding - kernel_size) // stride + 1
    assert row["output"] == f"1x10x{side}x{side}"
    assert row["pooled"] == f"1x10x{side // 2}x{side // 2}"
    assert row["convolution_parameters"] == str(10 * 3 * kernel_size**2 + 10)


def test_maps_are_sums_of_products_and_pooling_their_maxima(folder, monkeypatch):
    seen = {}

    def keep(convolution, maps, pooled, cmap):
        seen.update(maps=maps[0].numpy(), pooled=pooled[0].numpy())
        return real(convolution, maps, pooled, cmap)

    real = convolve.draw
    monkeypatch.setattr(convolve, "draw", keep)
    write_params(padding=1, stride=2)
    run_stage("convolve")
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 10, 3, stride=2, padding=1)
    kernel, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    photo = np.asarray(Image.open("data/photo.png")).transpose(2, 0, 1) / 255
    padded = np.pad(photo, ((0, 0), (1, 1), (1, 1)))
    for channel, row, column in ((0, 0, 0), (3, 7, 11), (9, 19, 19)):
        window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected = (kernel[channel] * window).sum() + bias[channel]
        assert seen["maps"][channel, row, column] == pytest.approx(expected, abs=1e-5)
    blocks = seen["maps"].reshape(10, 10, 2, 10, 2)
    assert np.array_equal(seen["pooled"], blocks.max((2, 4)))


CONVOLUTION = convolve.Convolution(
    in_channels=3, out_channels=10, kernel_size=3, padding=1, stride=1
)


@pytest.mark.parametrize(("side", "tile"), [(8, 160), (400, 200), (640, 320), (641, 213)])
def test_the_figure_has_all_channels_before_and_after(side, tile):
    """Large maps are shrunk and small ones enlarged; after pooling they are half as large."""
    maps = torch.arange(10.0).view(1, 10, 1, 1).expand(1, 10, side, side)
    pooled = maps[..., : side // 2 * 2 : 2, : side // 2 * 2 : 2]
    figure = convolve.draw(CONVOLUTION, maps, pooled, "gray")
    assert [text.get_text() for text in figure.texts] == [
        "An untrained 3 × 3 convolution, padding 1, stride 1",
        f"After the convolution: 10 × {side} × {side}",
        *"0123456789",
        f"After 2 × 2 max pooling: 10 × {side // 2} × {side // 2}",
        *"0123456789",
    ]
    before, after = (image.pixels for image in figure.artists)
    greys = [min(256 * channel // 9, 255) for channel in range(10)]
    assert before[15, :: tile + 4, 0].tolist() == greys[:5]
    assert before[-1, :: tile + 4, 0].tolist() == greys[5:]
    assert after[15, :: tile // 2 + 4, 0].tolist() == greys


def test_the_smallest_map_can_be_drawn(folder):
    write_params(kernel_size=39, out_channels=1)
    run_stage("convolve")
    [row] = rows_of(folder / "artifacts/convolution/shapes.csv")
    assert (row["output"], row["pooled"]) == ("1x1x2x2", "1x1x1x1")


def test_the_seed_decides(folder):
    run_stage("convolve")
    before = Path("artifacts/convolution/a.png").read_bytes()
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["convolve"]["seed"] = 1
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    run_stage("convolve")
    assert Path("artifacts/convolution/a.png").read_bytes() != before


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"kernel_size": 40}, "40 with stride 1"), ({"stride": 38}, "3 with stride 38")],
)
def test_what_leaves_nothing_to_pool_is_refused(folder, failure, change, problem):
    write_params(**change)
    assert failure("convolve") == (
        f"params.yaml: convolve.convolutions.a: a kernel of {problem} on 40 pixels "
        "leaves less than the 2 × 2 that pooling needs"
    )


@pytest.mark.parametrize("name", ["../a", "A", "", "a" * 51])
def test_a_name_that_makes_no_good_file_name_is_refused(folder, failure, name):
    write_params(name)
    assert "it should match pattern '^[a-z0-9_]{1,50}$'" in failure("convolve")
