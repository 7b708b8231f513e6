"""Two runs set side by side: what differs, what one lacks, and weights as tiles."""

import numpy as np
import pytest

from stages.tools.compare import Run, changes, metric_rows, tiles, weight_grids


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
