"""Convolution and pooling: shapes against the formula, maps against plain loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from stages import convolve
from stages.core.drawing.figure import save_figure
from stages.core.exact.layers import initialize
from stages.core.exact.random import Purpose, Words

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

    def keep(convolution, photo, maps, pooled, cmap):
        seen.update(maps=maps[0].numpy(), pooled=pooled[0].numpy())
        return real(convolution, photo, maps, pooled, cmap)

    real = convolve.draw
    monkeypatch.setattr(convolve, "draw", keep)
    write_params(padding=1, stride=2)
    run_stage("convolve")
    layer = torch.nn.Conv2d(3, 10, 3, stride=2, padding=1)
    initialize(layer, Words(0, Purpose.WEIGHTS))
    kernel, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    photo = np.asarray(Image.open("data/photo.png")).transpose(2, 0, 1) / 255
    padded = np.pad(photo, ((0, 0), (1, 1), (1, 1)))
    for channel, row, column in ((0, 0, 0), (3, 7, 11), (9, 19, 19)):
        window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected = (kernel[channel] * window).sum() + bias[channel]
        assert seen["maps"][channel, row, column] == pytest.approx(expected, abs=1e-5)
    blocks = seen["maps"].reshape(10, 10, 2, 10, 2)
    assert np.array_equal(seen["pooled"], blocks.max((2, 4)))


def example(side=40, bright=0, channels=2, **change):
    """The sizes of a convolution; a photograph of noise, brightest in 16 columns from `bright` on;
    and its feature maps."""
    sizes = {"out_channels": channels, "kernel_size": 3, "padding": 0, "stride": 1} | change
    convolution = convolve.Convolution(in_channels=3, **sizes)
    photo = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) / 2
    photo[..., bright : bright + 16] += 0.5
    torch.manual_seed(0)
    with torch.inference_mode():
        maps = torch.nn.Conv2d(**convolution.model_dump())(photo)
    return convolution, photo, maps


def drawn(cmap="gray", **change):
    convolution, photo, maps = example(**change)
    return convolve.draw(convolution, photo, maps, torch.nn.functional.max_pool2d(maps, 2), cmap)


def said(figure):
    """The title and the headings, each in one line."""
    return [
        " ".join(text.get_text().split()) for text in figure.texts if " " in text.get_text().strip()
    ]


def test_the_figure_has_all_channels_before_and_after():
    assert said(drawn(side=400, channels=5, padding=2, stride=2)) == [
        "An untrained 3 × 3 convolution: padding 2, stride 2",
        "The photograph: 3 channels of 400 × 400, drawn at 1/3 of their size, "
        "like the feature maps",
        "After the convolution: 5 × 201 × 201, as ⌊(400 + 2 · 2 − 3) / 2⌋ + 1 = 201",
        "After 2 × 2 max pooling: 5 × 100 × 100",
        "A piece of the photograph's upper edge, pixel by pixel, with 2 rows of zeros above",
        "The same piece after the convolution: one pixel for every 2 × 2 pixels of the photograph",
    ]
    assert said(drawn())[-2:] == [
        "A piece of the photograph's upper edge, pixel by pixel, not padded",
        "The same piece after the convolution: one pixel for every pixel of the photograph",
    ]
    assert said(drawn(padding=1))[-2].endswith("with 1 row of zeros above")


@pytest.mark.parametrize(("side", "zoom", "step"), [(63, 2, 1), (180, 1, 1), (631, 1, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_maps_stand_beside_the_photograph_at_their_true_sizes(side, zoom, step, stride):
    """A stride of two makes them half as large, and pooling half of that."""
    convolution, photo, maps = example(side=side, stride=stride)
    pooled = torch.nn.functional.max_pool2d(maps, 2)
    grids = [*convolve.whole(convolution, photo, maps, pooled)]
    for grid, length in zip(grids, (side, maps.shape[-1], maps.shape[-1] // 2), strict=True):
        assert (grid.zoom, grid.tiles.shape[-1]) == (zoom, -(-length // step))
    shown = grids[1].tiles[1]
    for row, column in ((0, 0), (3, 7)):
        block = maps[0, 1, row * step :, column * step :][:step, :step]
        assert shown[row, column] == pytest.approx(block.mean().item(), abs=1e-6)


@pytest.mark.parametrize("bright", [0, 9, 24])
@pytest.mark.parametrize(
    ("kernel_size", "padding", "stride"),
    [(3, 0, 1), (3, 1, 1), (3, 1, 2), (5, 0, 3), (5, 2, 1), (4, 0, 1), (9, 20, 2)],
)
def test_an_answer_lies_over_the_middle_of_what_the_kernel_sees(
    bright, kernel_size, padding, stride
):
    """In the piece of the edge; which begins with all rows of zeros, and is where it is bright."""
    change = {"kernel_size": kernel_size, "padding": padding, "stride": stride}
    convolution, photo, maps = example(bright=bright, **change)
    channels, answers = convolve.at_the_edge(convolution, photo, maps)
    pixels = (photo[0] * 255).round().numpy()
    zeros = channels.tiles[:, : 2 * padding]
    assert zeros.size == 0 or (zeros == 0).all()
    top = channels.tiles[:, 2 * padding :]
    middle = top[0, 0, top.shape[2] // 2]  # the photograph's first row: noise, so it tells where
    shown = top[0, 0, ::1]
    starts = [
        start
        for start in range(-2 * padding, 80)
        if all(
            value == (pixels[0, 0, (start + i) // 2] if 0 <= start + i < 80 else value)
            for i, value in enumerate(shown)
        )
        and 0 <= start + len(shown) // 2 < 80
        and pixels[0, 0, (start + len(shown) // 2) // 2] == middle
    ]
    assert len(starts) == 1
    [left] = starts  # in half pixels, as the formula below
    assert abs(left / 2 - bright) <= 2 * stride + padding
    for i in range(3):
        for j in range(maps.shape[-1]):
            down, across = (2 * (n * stride - padding) + kernel_size for n in (i, j))
            for row in (down - stride, down + stride - 1):
                for column in (across - stride, across + stride - 1):
                    place = row + 2 * padding, column - left
                    if 0 <= place[1] < answers.tiles.shape[2]:
                        assert (answers.tiles[:, *place] == maps[0, :, i, j].numpy()).all()
    first = 2 * -padding + kernel_size - stride + 2 * padding
    assert np.isnan(answers.tiles[:, :first]).all()


def test_padding_and_none_and_a_stride_are_told_apart():
    """Zeros beside something bright make the first row of a map another; nothing else does."""
    pieces = {}
    for name, padding, stride in (("none", 0, 1), ("padded", 1, 1), ("strided", 1, 2)):
        convolution, photo, _ = example(padding=padding, stride=stride)
        with torch.inference_mode():
            torch.manual_seed(0)
            maps = torch.nn.Conv2d(**convolution.model_dump())(photo * 0 + 0.9)
        tile = [*convolve.at_the_edge(convolution, photo * 0 + 0.9, maps)][1].tiles[0]
        pieces[name] = tile[~np.isnan(tile).all(1)][:, tile.shape[1] // 2]
    assert len(set(pieces["none"])) == 1
    edge, inside = pieces["padded"][0], pieces["padded"][-1]
    assert edge != pytest.approx(inside) and inside == pytest.approx(pieces["none"][0])
    assert pieces["padded"].tolist() == pytest.approx([edge] * 2 + [inside] * 30)
    assert pieces["strided"].tolist() == pytest.approx([edge] * 4 + [inside] * 28)


@pytest.mark.parametrize("cmap", ["gray", "viridis"])
@pytest.mark.parametrize(
    "change",
    [
        {"kernel_size": 62},
        {"padding": 64},
        {"stride": 31},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 190, "padding": 64},
        {"channels": 64},
        {"channels": 1, "side": 200, "stride": 64, "padding": 64},
    ],
)
def test_every_convolution_has_a_figure_that_fits_the_page(tmp_path, cmap, change):
    figure = drawn(cmap=cmap, **{"side": 63} | change)
    save_figure(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width <= 1118
        assert (picture.mode == "L") == (cmap == "gray")
    low, high = figure.axes[0].get_ylim()
    assert low in (-high, 0)


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
