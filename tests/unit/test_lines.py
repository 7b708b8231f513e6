"""Line plots: their lines, words and labels."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from stages.core.drawing.figure import DPI
from stages.core.drawing.grids import Grid, draw_grids
from stages.core.drawing.lines import Line, label_points, plot_lines

LINES = [Line("one", [1, 2, 4], [0.5, 0.25, 0.125], "-o"), Line("two", [3], [7], "--s")]


@pytest.fixture
def figure():
    return plot_lines(LINES, title="A title", x_label="the x", y_label="the y", markersize=5)


def test_every_line_is_drawn_with_its_style_under_its_label(figure):
    [axes] = figure.axes
    one, two = axes.lines
    assert one.get_xydata().tolist() == [[1, 0.5], [2, 0.25], [4, 0.125]]
    assert two.get_xydata().tolist() == [[3, 7]]
    assert [(line.get_linestyle(), line.get_marker()) for line in (one, two)] == [
        ("-", "o"),
        ("--", "s"),
    ]
    assert one.get_color() != two.get_color()
    assert {line.get_markersize() for line in (one, two)} == {5}
    assert [text.get_text() for text in axes.get_legend().texts] == ["one", "two"]


def test_the_axes_say_what_they_show(figure):
    [axes] = figure.axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("A title", "the x", "the y")
    assert (figure.get_size_inches() * DPI).tolist() == [800, 512]


@pytest.mark.parametrize("above", [True, False])
def test_labels_stand_above_or_below_their_points(figure, above):
    [axes] = figure.axes
    label_points(axes, LINES[0], ".2f", above, color="red")
    assert [label.get_text() for label in axes.texts] == [
        "0.50",
        "0.25",
        "0.13",
    ]  # a half away from zero
    assert [label.xy for label in axes.texts] == [(1, 0.5), (2, 0.25), (4, 0.125)]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for label in axes.texts:
        assert label.get_color() == "red"
        box = label.get_window_extent(canvas.get_renderer())
        x, y = axes.transData.transform(label.xy)
        assert np.isclose((box.x0 + box.x1) / 2, x, atol=1)
        assert box.y0 > y if above else box.y1 < y


LONG = "a_name_of_a_parameter_that_is_long." * 9


def test_no_word_is_cut_off():
    lines = [Line(LONG, [1, 2], [0.1, 0.2], "-o")]
    for title in (LONG, "a long title of many words " * 20):
        figure = plot_lines(lines, title=title, x_label=LONG, y_label="y")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        [axes] = figure.axes
        for words in (axes.title, axes.xaxis.label, *axes.get_legend().texts):
            box = words.get_window_extent(canvas.get_renderer())
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, words
            assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, words
        assert axes.get_window_extent().height > 200


@pytest.mark.parametrize("title", ["costs $5 or $6_{", r"$\frac$", "a % \\ title"])
def test_a_title_is_drawn_as_it_is_written(title):
    """Not as a formula, of which it may be none."""
    plot = plot_lines(LINES, title=title, x_label="x", y_label="y")
    grid = Grid("heading", np.zeros((1, 2, 2)), columns=1, zoom=9)
    for figure in (plot, draw_grids(title, [grid], (0, 1), "gray", unit="")):
        FigureCanvasAgg(figure).draw()
