"""Tiles in rows: where each of them is, and what is between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.drawing.tiles import tiled


def test_tiles_fill_the_rows_one_after_the_other():
    tiles = np.arange(5, dtype=np.uint8).repeat(6).reshape(5, 2, 3)
    expected = np.full((6, 11), 9, np.uint8)
    for index, (top, left) in enumerate([(0, 0), (0, 4), (0, 8), (4, 0), (4, 4)]):
        expected[top : top + 2, left : left + 3] = index
    assert np.array_equal(tiled(tiles, columns=3, gaps=(2, 1), ground=9), expected)


# The same tiles on every run, and no files of hypothesis' own.
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.integers(1, 9),
    st.integers(1, 12),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.sampled_from([(), (3,), (4,)]),
)
def test_every_tile_is_there_and_the_rest_is_ground(columns, count, size, gaps, colours):
    tiles = 1 + np.arange(count * np.prod((*size, *colours))).reshape(count, *size, *colours)
    canvas = tiled(tiles, columns, gaps, ground=-7)
    (height, width), (down, across) = size, gaps
    rows = (count + columns - 1) // columns
    assert canvas.shape == (
        rows * height + (rows - 1) * down,
        columns * width + (columns - 1) * across,
        *colours,
    )
    assert canvas.dtype == tiles.dtype
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + down), index % columns * (width + across)
        place = canvas[top : top + height, left : left + width]
        assert np.array_equal(place, tile)
        place[:] = -7
    assert (canvas == -7).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_tiles_are_not_changed(dtype):
    tiles = np.arange(8).reshape(2, 2, 2).astype(dtype)
    canvas = tiled(tiles, 2, (0, 0), 0)
    canvas[:] = 1
    assert np.array_equal(tiles.ravel(), np.arange(8)) and canvas.dtype == dtype
