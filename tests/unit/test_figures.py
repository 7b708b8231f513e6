"""What the figures show: every tile in its place, on its scale, under its label."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from PIL import Image

from stages import learning_curves, weight_grid
from stages.core.base.tensors import save_tensors
from stages.core.drawing.figure import DPI, save_figure
from stages.core.drawing.grids import GROUND, Grid, compose, draw_grids, percentile_limits
from stages.core.learning.curves import Point

from common.artifacts import GAP, LABEL, LEFT, TOP, drawn
from common.stages import run_stage


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_weight_grids_say_what_they_show():
    random = np.random.default_rng(0)
    weights = {"layer.weight": random.normal(size=(10, 784))}
    title, [grid] = weight_grid.grids("logistic", weights)
    figure = draw_grids(title, [grid], (-2, 2), "gray", "weight")
    assert texts(figure)[0] == "Logistic regression"
    assert texts(figure)[2:] == list("0123456789")
    assert (grid.rows, grid.columns) == (2, 5)
    bar = figure.axes[0]
    assert bar.get_ylabel() == "weight" and bar.get_ylim() == (-2, 2)

    weights = {
        "conv1.weight": random.normal(size=(4, 1, 3, 3)),
        "conv2.weight": random.normal(size=(8, 4, 3, 3)),
    }
    title, [first, second] = weight_grid.grids("cnn", weights)
    assert first.labels == ["0 → 0", "0 → 1", "0 → 2", "0 → 3"]
    assert second.labels[:5] == ["0 → 0", "1 → 0", "2 → 0", "3 → 0", "0 → 1"]
    assert (first.rows, first.columns, second.rows, second.columns) == (1, 4, 8, 4)


@pytest.mark.parametrize(
    ("units", "rows", "columns"), [(1, 1, 1), (7, 4, 2), (30, 6, 5), (64, 8, 8)]
)
def test_any_number_of_units_is_laid_out(units, rows, columns):
    title, [grid] = weight_grid.grids("mlp", {"layer1.weight": np.zeros((units, 784))})
    assert title == f"MLP, number of hidden units: {units}"
    assert (grid.rows, grid.columns) == (rows, columns)
    assert grid.size[1] <= 900


def test_the_colour_map_is_the_one_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weight = np.linspace(-1, 1, 7840, dtype=np.float32).reshape(10, 784)
    save_tensors(
        {"layer.weight": weight, "layer.bias": weight[:, 0].copy()},
        Path("artifacts/models/logistic.safetensors"),
    )
    for cmap, colour in (("gray", [255, 255, 255]), ("viridis", [253, 231, 36])):
        Path("params.yaml").write_text(yaml.safe_dump({"weight_grid": {"cmap": cmap}}))
        run_stage("weight_grid@logistic")
        picture = drawn("artifacts/figures/logistic/weights.png")
        last = picture[TOP + 28 * 5 + GAP + LABEL + 27 * 5 + 2, LEFT + 4 * 144 + 27 * 5 + 2]
        assert last.tolist() == colour


def test_tiles_fill_the_rows_one_after_the_other():
    tiles = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    scale = ScalarMappable(Normalize(0, 4), "gray")
    canvas = compose(Grid("", tiles, columns=3, zoom=2), scale)
    assert canvas.shape == (2 * (4 + GAP + LABEL) - GAP, 3 * (6 + GAP) - GAP, 4)
    assert (canvas[..., 3] == 255).all()
    for index, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        top, left = LABEL + row * (4 + GAP + LABEL), column * (6 + GAP)
        assert (canvas[top : top + 4, left : left + 6, :3] == min(64 * index, 255)).all()
        canvas[top : top + 4, left : left + 6, :3] = GROUND
    assert (canvas[..., :3] == GROUND).all()


def test_only_figures_without_colour_have_one_channel(tmp_path):
    tiles = np.array([[[0.0, 1.0]]])
    for cmap, mode in (("gray", "L"), ("viridis", "RGB")):
        save_figure(draw_grids("", [Grid("", tiles, 1, 8)], (0, 1), cmap, ""), tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.mode == mode
            assert picture.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)


def test_the_scale_marks_what_lies_beyond_it():
    tiles = np.array([[[-3.0, 0.0, 3.0]]])

    def extend(limits):
        figure = draw_grids("", [Grid("", tiles, 1, 4)], limits, "gray", "")
        return figure.axes[0]._colorbar.extend

    assert extend((-3, 3)) == "neither"
    assert extend((-2, 3)) == "min"
    assert extend((-3, 2)) == "max"
    assert extend((-2, 2)) == "both"


def test_the_middle_leaves_out_the_extremes():
    assert percentile_limits(np.arange(1000.0)) == (5, 994)
    assert percentile_limits(np.arange(10.0)) == (0, 9)


def test_equal_values_can_be_drawn(tmp_path):
    figure = draw_grids("", [Grid("", np.zeros((2, 3, 3)), 2, 4)], (0.0, 0.0), "gray", "")
    save_figure(figure, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").exists()


def test_learning_curves_show_the_numbers_of_the_file():
    curve = [Point(1, 2.3, 0.1, 0.2), Point(2, 1.5, 0.4, 0.3), Point(3, 0.7, 0.8, 0.6)]
    sets = {"train_accuracy": "training images", "val_accuracy": "validation images"}
    axes = learning_curves.draw_curves(curve, sets, "CNN: accuracy", "share").axes[0]
    training, validation = axes.lines
    assert training.get_xydata().tolist() == [[1, 0.1], [2, 0.4], [3, 0.8]]
    assert validation.get_xydata().tolist() == [[1, 0.2], [2, 0.3], [3, 0.6]]
    assert training.get_linestyle() != validation.get_linestyle()  # told apart without colour
    assert [text.get_text() for text in axes.get_legend().texts] == [
        "training images: 0.800 at the end",
        "validation images: 0.600 at the end",
    ]
    assert (axes.get_title(), axes.get_ylabel()) == ("CNN: accuracy", "share")
    assert axes.get_ylim()[0] == 0 and axes.get_xlim()[0] == 0


def test_a_single_point_is_seen():
    curve = [Point(93, 0.4, 0.9, 0.9)]
    [axes] = learning_curves.draw_curves(curve, {"loss": "loss"}, "", "").axes
    assert axes.lines[0].get_marker() == "."


def test_a_missing_curve_is_named(failure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failure("learning_curves@mlp") == "artifacts/curves/mlp.csv: No such file or directory"
