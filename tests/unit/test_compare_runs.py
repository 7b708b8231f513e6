"""Two runs set side by side: what differs, what one lacks, and weights as tiles."""

import base64

import numpy as np
import pytest

from stages.tools.compare import (
    Curve,
    Run,
    caption,
    changes,
    charts,
    laid_out,
    lines,
    metric_rows,
    tiles,
    weight_grids,
)


def run(**changes):
    return Run(**({"params": {}, "metrics": {}, "curves": {}, "weights": {}} | changes))


def test_what_one_run_lacks_is_shown_without_a_difference():
    a = run(metrics={("m", "x"): 1, ("m", "old"): 2}, weights={("w", "w.weight"): np.ones((2, 3))})
    b = run(metrics={("m", "x"): 1.5, ("m", "new"): "good"})
    assert metric_rows(a, b) == [
        ("m", "x", 1, 1.5, 0.5),
        ("m", "old", 2, None, None),
        ("m", "new", None, "good", None),
    ]
    [grid], same = weight_grids(a, b)
    assert grid["shapes"] == [(2, 3), None] and grid["tiles"][1] is None and same == 0
    assert grid["captions"] == ["2 × 3", None] and not grid["alike"]
    assert changes({"p": 1, "q": 2}, {"p": 1, "q": 3, "r": 4}) == [("q", 2, 3), ("r", None, 4)]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10, 784), (10, 28, 28)),
        ((1024, 784), (64, 28, 28)),
        ((8, 4, 3, 3), (32, 3, 3)),
        ((10, 30), (1, 10, 30)),
    ],
)
def test_weights_become_tiles(shape, expected):
    assert tiles(np.zeros(shape, np.float32)).shape == expected


def test_tiles_lie_in_a_square_with_gaps_that_are_no_numbers():
    weight = np.arange(5 * 4, dtype=np.float32).reshape(5, 4)
    found = laid_out(weight)
    assert found.shape == (2 * 3 - 1, 3 * 3 - 1) and found.dtype == np.float32
    numbers = np.zeros(found.shape, bool)
    for index in range(5):
        top, left = index // 3 * 3, index % 3 * 3
        assert found[top : top + 2, left : left + 2].ravel().tolist() == weight[index].tolist()
        numbers[top : top + 2, left : left + 2] = True
    assert np.array_equal(np.isnan(found), ~numbers)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10, 784), "10 × 784"),
        ((64, 784), "64 × 784"),
        ((65, 784), "65 × 784, the first 64 of 65"),
        ((70, 30), "70 × 30"),  # one picture, of all of it
        ((16, 5, 3, 3), "16 × 5 × 3 × 3, the first 64 of 80"),
        ((8, 8, 3, 3), "8 × 8 × 3 × 3"),
    ],
)
def test_captions_say_how_much_is_shown(shape, expected):
    assert caption(np.zeros(shape, np.float32)) == expected


def test_weights_of_one_shape_have_a_difference_on_its_own_scale():
    first = np.array([[1, -4], [0, 2]], np.float32)
    second = np.array([[1, -3.5], [0, 2]], np.float32)
    same = {("w", "same.weight"): first}
    [grid], count = weight_grids(
        run(weights={("w", "w.weight"): first} | same),
        run(weights={("w", "w.weight"): second} | same),
    )
    assert (grid["name"], grid["alike"], count) == ("w.weight", True, 1)
    assert (grid["largest"], grid["largest_difference"]) == (4, 0.5)
    assert grid["captions"] == ["2 × 2"] * 3
    packed = [base64.b64decode(tile["elements"]) for tile in grid["tiles"]]
    assert packed == [weight.tobytes() for weight in (first, second, second - first)]


def rows(**columns):
    cells = zip(*columns.values(), strict=True)
    return [dict(zip(columns, map(str, row), strict=True)) for row in cells]


def test_words_tell_the_lines_of_a_table_apart():
    """Numbers do not, which are other curves of the same table, unless an x stands there twice."""
    table = rows(model=["a", "a", "b"], x=[1, 2, 1], y=[3, 4, 5], z=[1, 2, 3])
    assert lines(table, ("x", "y")) == {"a": table[:2], "b": table[2:]}
    assert lines(rows(x=[1, 2], y=[3, 4], z=[0, 1]), ("x", "y")).keys() == {""}
    table = rows(model=["1", "b"], run=["c", "c"], x=[1, 1], y=[2, 3])
    assert lines(table, ("x", "y")).keys() == {"1, c", "b, c"}
    table = rows(model=["1", "1", "02"], x=[1, 2, 1], y=[3, 4, 5], z=[7, 7, 7])
    assert lines(table, ("x", "y")) == {"1": table[:2], "02": table[2:]}
    assert lines([], ("x", "y")) == {}


def test_a_line_that_one_run_lacks_is_drawn_alone():
    a, b, c = (Curve("t", "p", "y", line, "x", "y") for line in ("a", "b", "c"))
    points, others = [(1.0, 2.0), (2.0, 1.0)], [(1.0, 2.0), (2.0, 3.0)]
    found, same = charts(
        run(curves={a: points, b: points}), run(curves={a: points, b: others, c: points})
    )
    drawn = {curve.line: [line.name for line in chart.lines] for curve, chart in found}
    assert drawn == {"b": ["a", "b"], "c": ["b"]} and same == 1
