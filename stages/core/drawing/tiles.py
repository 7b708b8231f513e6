"""Tiles arranged in rows, as one array; and tiles cut out of images."""

import numpy as np
from PIL import Image

GROUND = 229  # grey (0 to 255) between the tiles: white tiles stand out against it


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


def cut_out(image: np.ndarray, top: int, left: int, side: int, ground: int) -> np.ndarray:
    """A square of an image (height × width, or height × width × colours), whose upper left pixel is
    in the row `top` and the column `left`; of the value `ground` where it is beyond the image."""
    height, width, *colours = image.shape
    square = np.full((side, side, *colours), ground, image.dtype)
    rows, columns = (
        slice(max(start, 0), max(min(start + side, extent), 0))
        for start, extent in ((top, height), (left, width))
    )
    part = image[rows, columns]
    square[max(-top, 0) :, max(-left, 0) :][: len(part), : part.shape[1]] = part
    return square


def at_side(square: np.ndarray, side: int, ground: int) -> np.ndarray:
    """A square (uint8) at another size: each pixel as a block of pixels, as large as fits, in the
    middle of the new square; or, if it has more pixels, scaled down."""
    zoom = side // len(square)
    if zoom == 0:
        image = Image.fromarray(square)
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    zoomed = square.repeat(zoom, axis=0).repeat(zoom, axis=1)
    margin = (side - len(zoomed)) // 2
    return cut_out(zoomed, -margin, -margin, side, ground)


def framed(
    image: np.ndarray, top: int, left: int, side: int, colour: tuple[int, int, int]
) -> np.ndarray:
    """An image (height × width × 3) with a frame of one pixel around a square, as far as it is
    within the image."""

    def inside(margin: int) -> np.ndarray:
        rows, columns = (
            (np.arange(extent) >= start - margin) & (np.arange(extent) < start + side + margin)
            for extent, start in zip(image.shape[:2], (top, left), strict=True)
        )
        return rows[:, None] & columns

    return np.where((inside(1) & ~inside(0))[..., None], np.array(colour, image.dtype), image)
