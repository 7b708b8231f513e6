"""Mistakes, each beside the training images that are most like it."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from stages.core.drawing.figure import DPI, shortened, wrapped
from stages.core.drawing.grids import LARGE, MARGIN, MEDIUM, SMALL, TITLE, TITLE_LINE, Pixels

# All in pixels.
SIDE = 112  # of a picture
GAP, APART = 8, 28  # between neighbours, and between them and the mistake
LINE = 17  # of small text
ACROSS, BETWEEN = 72, 32  # from a mistake to the one beside it and to the one below it
COLUMNS = 2


class Picture(NamedTuple):
    """SIDE × SIDE × 3 (uint8), and the words below: a line each."""

    pixels: np.ndarray
    words: Sequence[str]


class Mistake(NamedTuple):
    """A heading, the image, and the training images that are nearest to it, as many for each."""

    heading: str
    image: Picture
    neighbours: Sequence[Picture]


def draw_mistakes(mistakes: Sequence[Mistake], num_wrong: int, num_test: int) -> Figure:
    """Some of the mistakes on the test images, in two columns, from left to right and from top to
    bottom."""
    title = "Mistakes on test images"
    some = f"{len(mistakes)} of {num_wrong:,}" if len(mistakes) < num_wrong else f"All {num_wrong}"
    subtitle = (
        f"{some}, the most certain first: label → answer, its probability; beside it the training "
        "images that are most like it to the network"
    )
    if not mistakes:
        subtitle = f"All {num_test:,} test images are recognised: there is no mistake."
    num_neighbours = max((len(mistake.neighbours) for mistake in mistakes), default=3)
    num_lines = max((len(mistake.image.words) for mistake in mistakes), default=0)
    width = SIDE + APART + num_neighbours * (SIDE + GAP) - GAP
    height = 2 * LINE + SIDE + num_lines * LINE
    columns = min(COLUMNS, max(1, len(mistakes)))
    rows = -(-len(mistakes) // columns)

    inner = columns * (width + ACROSS) - ACROSS
    heading = wrapped(title, LARGE, inner)
    explained = wrapped(subtitle, MEDIUM, inner)
    top = MARGIN + TITLE + TITLE_LINE * (heading.count("\n") + explained.count("\n")) + TITLE
    size = 2 * MARGIN + inner, top + rows * (height + BETWEEN) - BETWEEN * bool(rows) + MARGIN
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    write = partial(figure.text, transform=None, va="top", parse_math=False)  # in pixels, upwards
    write(MARGIN, size[1] - MARGIN, heading, fontsize=LARGE)
    first = MARGIN + TITLE + TITLE_LINE * heading.count("\n")
    write(MARGIN, size[1] - first, explained, fontsize=MEDIUM)

    def place(picture: Picture, left: int, upper: int) -> None:
        opaque = np.full((SIDE, SIDE, 1), 255, np.uint8)
        pixels = np.concatenate((picture.pixels, opaque), axis=2)
        figure.add_artist(Pixels(pixels, left, size[1] - upper - SIDE))
        for line, words in enumerate(picture.words):
            below = upper + SIDE + 4 + line * LINE
            write(left, size[1] - below, shortened(words, SMALL, SIDE), fontsize=SMALL)

    for index, mistake in enumerate(mistakes):
        row, column = divmod(index, columns)
        left, upper = MARGIN + column * (width + ACROSS), top + row * (height + BETWEEN)
        said = shortened(mistake.heading, MEDIUM, width)
        write(left, size[1] - upper, said, fontsize=MEDIUM)
        upper += LINE + GAP
        place(mistake.image, left, upper)
        for number, picture in enumerate(mistake.neighbours):
            place(picture, left + SIDE + APART + number * (SIDE + GAP), upper)
    return figure
