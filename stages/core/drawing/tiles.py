"""Tiles arranged in rows, as one array."""

import numpy as np


def tiled(tiles: np.ndarray, columns: int, gaps: tuple[int, int], ground: float) -> np.ndarray:
    """Arrange tiles N × height × width, or N × height × width × colours, in rows of `columns`.

    `gaps`: pixels between a tile and the one below it, and the one beside it. `ground`: the value
    of the gaps, and of empty places in the last row.
    """
    count, height, width, *colours = tiles.shape
    rows = -(-count // columns)
    (down, across) = (height + gaps[0], width + gaps[1])
    shape = (rows * down - gaps[0], columns * across - gaps[1], *colours)
    canvas = np.full(shape, ground, tiles.dtype)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        canvas[row * down :, column * across :][:height, :width] = tile
    return canvas
