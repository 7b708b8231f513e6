"""Tiles, in rows, as one array: pictures to be drawn pixel by pixel."""

import numpy as np


def tiled(tiles: np.ndarray, columns: int, gaps: tuple[int, int], ground: float) -> np.ndarray:
    """Tiles N × height × width, or N × height × width × colours, in rows of `columns`.

    `gaps`: pixels from a tile to the one below it, and to the one beside it; `ground`: their value,
    and that of places where there are no more tiles.
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
