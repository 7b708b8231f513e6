"""What the figures show: every tile in its place, on its scale, under its label."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from PIL import Image
from pydantic import TypeAdapter

from stages import learning_curves, weight_grid
from stages.core.base.labels import DIGITS
from stages.core.drawing.figure import DPI, save_figure, text_width, wrapped
from stages.core.drawing.grids import GROUND, Grid, compose, draw_grids, limits_around_zero
from stages.core.learning.curves import CurvePoint
from stages.core.learning.layers import Layers
from stages.core.learning.trained import TrainedModel, save_model

from common import parameters, paths
from common.artifacts import GAP, LABEL, LEFT, TOP, drawn
from common.parameters import of_model, section
from common.stages import run_stage

MODEL = paths.weights("logistic")


def texts(figure):
    return [text.get_text() for text in figure.texts]


def trained(layers, input_shape, weight=None):
    """A model of these layers; its weights are random, or else all of them `weight`."""
    checked = TypeAdapter(Layers).validate_python(layers, strict=True)
    model = TrainedModel(input_shape, checked, {}, DIGITS)
    random = np.random.default_rng(0)
    weights = {}
    for name, (shape, _) in model.shapes.items():
        for kind, size in model.layers[name].parameter_shapes(shape).items():
            drawn = random.normal(size=size) if weight is None else np.full(size, weight)
            weights[f"{name}.{kind}"] = drawn.astype(np.float32)
    return model._replace(weights=weights)


def of_project(model):
    """A model of params.yaml, on pixels."""
    return trained(of_model(parameters.read(), model)["layers"], (1, 28, 28))


def test_weight_grids_say_what_they_show():
    model = of_project("logistic")
    [grid] = weight_grid.grids(model)
    assert grid.heading == (
        "The weight of every pixel: positive speaks for the digit, negative against it"
    )
    assert (grid.rows, grid.columns, grid.labels) == (2, 5, DIGITS)
    assert np.array_equal(grid.tiles, model.weights["layer.weight"].reshape(10, 28, 28))
    figure = draw_grids("Logistic regression", [grid], (-2, 2), "gray", "weight")
    assert texts(figure) == ["Logistic regression", grid.heading, *"0123456789"]
    bar = figure.axes[0]
    assert bar.get_ylabel() == "weight" and bar.get_ylim() == (-2, 2)


def test_every_convolution_has_a_grid_with_a_column_for_each_of_its_channels():
    """And the linear layer after them none: it sees no pixels."""
    model = of_project("cnn")
    first, second = weight_grid.grids(model)
    assert first.heading == "conv1: 1 input channel → 4 output channels"
    assert second.heading == "conv2: 4 input channels → 8 output channels, one column each"
    assert first.labels == ["0 → 0", "0 → 1", "0 → 2", "0 → 3"]
    assert second.labels[:5] == ["0 → 0", "0 → 1", "0 → 2", "0 → 3", "0 → 4"]
    assert (first.rows, first.columns, second.rows, second.columns) == (1, 4, 4, 8)
    weight = model.weights["conv2.weight"]
    for label, tile in zip(second.labels, second.tiles, strict=True):
        channel, output = map(int, label.split(" → "))
        assert np.array_equal(tile, weight[output, channel])


LINEAR = {"kind": "linear", "units": 10}


def conv(channels, kernel=3):
    return {"kind": "conv", "channels": channels, "kernel": kernel, "padding": 0, "stride": 1}


def test_only_the_first_16_channels_are_drawn():
    [grid] = weight_grid.grids(trained({"a": conv(40), "b": LINEAR}, (33, 5, 5)))
    assert grid.heading == (
        "a: 33 input channels → 40 output channels, the first 16 of each at most, one column each"
    )
    assert (grid.rows, grid.columns) == (16, 16)
    assert grid.labels[-1] == "15 → 15"
    assert draw_grids("", [grid], (-1, 1), "gray", "").bbox.width <= 1118  # fits the page


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 11, 28])
@pytest.mark.parametrize("channels", [1, 3, 256])
def test_a_kernel_of_any_size_has_room_for_its_label(kernel, channels):
    [grid] = weight_grid.grids(trained({"a": conv(2, kernel), "b": LINEAR}, (channels, 28, 28)))
    assert 48 <= kernel * grid.zoom <= 96


def test_feature_maps_of_a_unit_are_a_square_of_squares():
    """The fifth map is the second of the second row; where there is none, the weight is zero."""
    model = trained({"relu": {"kind": "relu"}, "a": LINEAR}, (7, 2, 3))
    [grid] = weight_grid.grids(model)
    assert grid.heading == (
        "Weights on 7 feature maps of 2 × 3, in no particular order: no shape to see"
    )
    assert grid.tiles.shape == (10, 6, 9)
    weight = model.weights["a.weight"].reshape(10, 7, 2, 3)
    assert np.array_equal(grid.tiles[:, 2:4, 3:6], weight[:, 4])
    assert np.array_equal(grid.tiles[:, 4:6, :3], weight[:, 6])
    assert (grid.tiles[:, 4:6, 3:] == 0).all()


@pytest.mark.parametrize(
    ("units", "rows", "columns"), [(1, 1, 1), (7, 4, 2), (30, 6, 5), (64, 8, 8), (1024, 40, 26)]
)
def test_any_number_of_units_is_laid_out(units, rows, columns):
    """Of the first linear layer alone: the one after it sees no pixels."""
    hidden = {"kind": "linear", "units": units}
    [grid] = weight_grid.grids(
        trained({"a": hidden, "b": {"kind": "relu"}, "c": LINEAR}, (1, 28, 28))
    )
    assert grid.heading == (
        "The weight of every pixel: positive excites the unit, negative inhibits it"
    )
    assert (grid.rows, grid.columns, len(grid.tiles)) == (rows, columns, units)
    assert draw_grids("", [grid], (-1, 1), "gray", "").bbox.width <= 1118  # fits the page


def test_the_colour_map_is_the_one_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = of_project("logistic")
    weight = np.linspace(-1, 1, 7840, dtype=np.float32).reshape(10, 784)
    save_model(model._replace(weights=model.weights | {"layer.weight": weight}), MODEL)
    for cmap, colour in (("gray", [255, 255, 255]), ("viridis", [253, 231, 36])):
        params = parameters.read()
        params["weight_grid"]["cmap"] = cmap
        parameters.write(params)
        run_stage("weight_grid@logistic")
        picture = drawn(paths.figure("logistic", "weights"))
        last = picture[TOP + 28 * 5 + GAP + LABEL + 27 * 5 + 2, LEFT + 4 * 144 + 27 * 5 + 2]
        assert last.tolist() == colour


def test_weights_that_are_all_zero_can_be_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters.write(parameters.read())
    save_model(trained({"layer": LINEAR}, (1, 28, 28), weight=0), MODEL)
    run_stage("weight_grid@logistic")
    assert paths.figure("logistic", "weights").exists()


@pytest.mark.parametrize("title", [None, 3])
def test_a_title_is_a_text(failure, tmp_path, monkeypatch, title):
    monkeypatch.chdir(tmp_path)
    save_model(of_project("logistic"), MODEL)
    params = parameters.read()
    of_model(params, "logistic")["title"] = title
    parameters.write(params)
    assert failure("weight_grid@logistic") == (
        f"params.yaml: {section('logistic')}.title is {title}; it should be a valid string"
    )


def test_tiles_fill_the_rows_one_after_the_other():
    tiles = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    scale = ScalarMappable(Normalize(0, 4), "gray")
    canvas = compose(Grid("", tiles, columns=3, zoom=4), scale)
    assert canvas.shape == (2 * (8 + GAP + LABEL) - GAP, 3 * (12 + GAP) - GAP, 4)
    assert (canvas[..., 3] == 255).all()
    for index, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        top, left = LABEL + row * (8 + GAP + LABEL), column * (12 + GAP)
        assert (canvas[top : top + 8, left : left + 12, :3] == min(64 * index, 255)).all()
        canvas[top : top + 8, left : left + 12, :3] = GROUND
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


def test_limits_have_zero_in_the_middle_or_at_the_end_and_leave_out_the_extremes():
    assert limits_around_zero(np.arange(1000.0)) == (0, 989)
    assert limits_around_zero(np.arange(-999.0, 1)) == (-989, 989)
    assert limits_around_zero(np.array([-1.0, 7.0])) == (-7, 7)
    assert limits_around_zero(np.zeros((2, 2))) == (0, 0)


LONG = "A very long title of a model, as somebody may well choose who tries many of them " * 3
TITLES = ["CNN", LONG, "W" * 200, "", "two\nlines", "costs $5 or $6_{"]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("size", [1, 40])
def test_no_word_of_a_grid_is_cut_off_or_lies_on_another(title, size):
    """Nor on a tile, however small the tiles are."""
    tiles = np.linspace(-1, 1, 12 * size**2).reshape(12, size, size)
    drawn = [Grid(title, tiles, 12, 1), Grid("second", tiles, 5, 1, ["12 → 12"] * 12)]
    figure = draw_grids(title, drawn, (-1, 1), "gray", "weight")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    frame = figure.bbox
    boxes = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    for box in boxes:
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1
    for index, box in enumerate(boxes):
        for other in boxes[:index]:
            apart = box.x0 >= other.x1 or other.x0 >= box.x1 or box.y0 >= other.y1 - 3
            assert apart or other.y0 >= box.y1 - 3  # letters have a little room above and below
    labels = figure.texts[2 : 2 + 12]
    first, second = (image for image in figure.artists)
    assert first.y + first.pixels.shape[0] - 15 < min(t.get_position()[1] for t in labels) + 1
    assert second.y + second.pixels.shape[0] < first.y
    bars = figure.axes[0].get_tightbbox(renderer)
    assert bars.x1 <= frame.x1 and bars.y0 >= frame.y0
    assert all(bars.x0 >= box.x1 for box in boxes)


def test_a_text_is_broken_at_spaces_and_long_words_anywhere():
    width = text_width("nine words", 10)
    assert wrapped("nine words", 10, width) == "nine words"
    assert wrapped("nine words or more", 10, width) == "nine words\nor more"
    lines = wrapped("or " + "m" * 30, 10, width).split("\n")
    assert lines[0] == "or" and "".join(lines[1:]) == "m" * 30
    assert all(text_width(line, 10) <= width for line in lines)


def test_three_weights_in_one_colour_have_a_bar_each_and_one_for_all_alike():
    tiles = np.zeros((1, 2, 2, 3))
    tiles[0, 0, 0] = 2, 0, 0
    tiles[0, 1, 1] = -2, -2, -2
    figure = draw_grids("", [Grid("", tiles, 1, 9)], (-2, 2), "gray", "weight")
    bars = [axes._colorbar for axes in figure.axes]
    assert texts(figure)[-4:] == ["red", "green", "blue", "all three"]
    [image] = figure.artists
    shown = image.pixels[15::9, ::9][:2, :2, :3].astype(int)
    for value, index, (row, column) in ((2, 0, (0, 0)), (-2, 3, (1, 1)), (0, 1, (0, 1))):
        colour = np.array(bars[index].cmap(bars[index].norm(value), bytes=True)[:3], int)
        assert np.abs(shown[row, column] - colour).max() <= 1  # the bar says what is drawn
    assert all(bar.norm(0) == 0.5 for bar in bars)


def test_greys_are_drawn_as_they_are_and_nothing_where_there_is_none():
    scale = ScalarMappable(Normalize(-1, 1), "viridis")
    greys = np.array([[[0, 7], [200, 255]]], np.uint8)
    canvas = compose(Grid("", greys, 1, 1), scale)
    assert canvas[15:, :2, :3].tolist() == np.repeat(greys[0, ..., None], 3, 2).tolist()
    tiles = np.array([[[np.nan, 1.0]]])
    canvas = compose(Grid("", tiles, 1, 1), scale)
    assert canvas[15, 0].tolist() == [GROUND, GROUND, GROUND, 255]
    assert canvas[15, 1].tolist() == [253, 231, 36, 255]


def test_rows_have_words_beside_them_and_groups_of_tiles_stand_apart():
    """Where there are only colours, nothing has a scale."""
    tiles = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)
    beside = ["first", "second\nwith a longer line"]
    grid = Grid("heading", tiles, 3, 20, [""] * 6, beside, second=1)
    figure = draw_grids("title", [grid], cmap="viridis")
    assert figure.axes == [] and texts(figure)[2:] == [""] * 6 + beside
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    [pixels] = figure.artists
    shown = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    words = [text.get_window_extent(canvas.get_renderer()) for text in figure.texts[-2:]]
    bottom = figure.bbox.y1
    lefts = []
    for index, (y, x) in enumerate(grid.places):
        top = round(bottom - pixels.y - pixels.pixels.shape[0]) + y
        left = round(pixels.x) + x
        drawn = shown[top : top + 80 : 20, left : left + 80 : 20]
        assert np.array_equal(drawn, tiles[index])
        box = words[index // 3]
        assert box.x1 < left and bottom - top - 80 <= box.y0 and box.y1 <= bottom - top + 4
        lefts.append(x)
    assert lefts[:3] == lefts[3:]
    assert lefts[2] - lefts[1] == 80 + GAP < lefts[1] - lefts[0]


def test_equal_values_can_be_drawn(tmp_path):
    figure = draw_grids("", [Grid("", np.zeros((2, 3, 3)), 2, 4)], (0.0, 0.0), "gray", "")
    save_figure(figure, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").exists()


def test_learning_curves_show_the_numbers_of_the_file():
    curve = [
        CurvePoint(1, 2.3, 0.1, 0.2),
        CurvePoint(2, 1.5, 0.4, 0.3),
        CurvePoint(3, 0.7, 0.8, 0.9345),
    ]
    sets = {"train_accuracy": "training images", "val_accuracy": "validation images"}
    axes = learning_curves.draw_curves(curve, sets, "CNN: accuracy", "share").axes[0]
    training, validation = axes.lines
    assert training.get_xydata().tolist() == [[1, 0.1], [2, 0.4], [3, 0.8]]
    assert validation.get_xydata().tolist() == [[1, 0.2], [2, 0.3], [3, 0.9345]]
    assert training.get_linestyle() != validation.get_linestyle()  # told apart without colour
    assert [text.get_text() for text in axes.get_legend().texts] == [
        "training images: 0.800 at the end",
        "validation images: 0.935 at the end",
    ]
    assert (axes.get_title(), axes.get_ylabel()) == ("CNN: accuracy", "share")
    assert axes.get_ylim()[0] == 0 and axes.get_xlim()[0] == 0


def test_a_single_point_is_seen():
    curve = [CurvePoint(93, 0.4, 0.9, 0.9)]
    [axes] = learning_curves.draw_curves(curve, {"loss": "loss"}, "", "").axes
    assert axes.lines[0].get_marker() == "."


def test_a_missing_curve_is_named(failure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failure("learning_curves@mlp") == "artifacts/curves/mlp.csv: No such file or directory"
