"""Points in the plane, each the mark of its label, drawn pixel by pixel.

A mark is drawn once, and stamped at whole pixels: it takes a fraction of the time of a text for
each, and what matplotlib would round is rounded here.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from stages.core.drawing.figure import DPI, names_in_font, shortened, text_width, wrapped
from stages.core.drawing.frame import WIDTH, Frame, frames
from stages.core.drawing.grids import LARGE, MARGIN, MEDIUM, SMALL, TITLE, TITLE_LINE, Pixels
from stages.core.drawing.marks import COLOURS, Marks

# All in pixels.
APART = 44  # between two panels
SIZE, MEAN = 12, 34  # of a point's mark, and of that at the mean of a label's points
HALO = 2  # around the latter
LINE = 20  # of a heading, and of the legend
NAME, BETWEEN = 150, 26  # in the legend: a name, at most, and to the next mark
OTHER = "+"  # the mark of images whose label has none
GREY, RULE = 150, 200


class Panel(NamedTuple):
    """A space: its name, what was measured in it, a line each, the places of N points (N × 2), and
    the words at its axes."""

    name: str
    measured: Sequence[str]
    places: np.ndarray
    x_label: str
    y_label: str


def stamp(letter: str, size: int) -> np.ndarray:
    """How much of each pixel the letter covers (0 to 255), as small as it fits."""
    side = 3 * size
    renderer = RendererAgg(side, side, DPI)
    font = FontProperties(size=size * 72 / DPI, weight="bold")
    renderer.draw_text(renderer.new_gc(), size // 2, 2 * size, letter, font, 0)
    covered = np.asarray(renderer.buffer_rgba())[..., 3]
    rows, columns = (np.flatnonzero(covered.any(axis)) for axis in (1, 0))
    return covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def with_halo(covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A stamp with room around it, and the same grown by HALO pixels."""
    padded = np.pad(covered, HALO)
    grown = np.zeros_like(padded)
    reach = range(-HALO, HALO + 1)
    for down in reach:
        for across in reach:
            if down * down + across * across <= HALO * HALO + 1:
                grown = np.maximum(grown, np.roll(padded, (down, across), (0, 1)))
    return padded, grown


def put(canvas: np.ndarray, covered: np.ndarray, colour: np.ndarray, x: int, y: int) -> None:
    """Stamp a colour onto pixels (height × width × 3, uint8), the middle of the stamp at a place
    from the left and from the top. What lies beyond an edge is left out."""
    height, width = covered.shape
    top, left = y - height // 2, x - width // 2
    up, before = max(0, -top), max(0, -left)
    part = canvas[top + up : top + height, left + before : left + width]
    share = covered[up : up + part.shape[0], before : before + part.shape[1], None].astype(int)
    part[:] = (part * (255 - share) + colour * share + 127) // 255


def in_turn(numbers: Sequence[int]) -> list[int]:
    """The order of drawing: one image of each label after the other, so that none lies above all
    others; those without a mark first."""
    seen: dict[int, int] = {}
    turns = []
    for number in numbers:
        seen[number] = seen.get(number, 0) + 1
        turns.append(0 if number < 0 else seen[number])
    return sorted(range(len(turns)), key=turns.__getitem__)


def pixel(inside: Frame, place: np.ndarray) -> tuple[int, int]:
    """The whole pixel in which a place lies, from the left and from the top."""
    x, y = inside.pixel(place)
    return round(x), round(y)


def compose(places: np.ndarray, marks: Marks, inside: Frame) -> np.ndarray:
    """A panel as pixels, height × WIDTH × RGBA: zero is marked by thin lines, and there is a larger
    mark at the mean of each label's points."""
    canvas = np.full((inside.height, WIDTH, 3), 255, np.uint8)
    x, y = pixel(inside, np.zeros(2))
    if 0 <= x < WIDTH:
        canvas[:, x] = RULE
    if 0 <= y < inside.height:
        canvas[y] = RULE
    canvas[[0, -1]] = canvas[:, [0, -1]] = RULE
    colours = [(np.array(to_rgb(colour)) * 255).round().astype(int) for colour in COLOURS]
    colours.append(np.full(3, GREY))
    stamps = {number: stamp(letter, SIZE) for number, letter in enumerate(marks.letters)}
    stamps[-1] = stamp(OTHER, SIZE)
    for index in in_turn(marks.of_images):
        number = marks.of_images[index]
        put(canvas, stamps[number], colours[number], *pixel(inside, places[index]))
    for number, letter in enumerate(marks.letters):
        own = places[np.array(marks.of_images) == number]
        total = np.zeros(2)
        for place in own:  # one after the other: their sum is rounded
            total = total + place
        covered, grown = with_halo(stamp(letter, MEAN))
        for shape, colour in ((grown, np.full(3, 255)), (covered, colours[number])):
            put(canvas, shape, colour, *pixel(inside, total / len(own)))
    return np.dstack((canvas, np.full(canvas.shape[:2], 255, np.uint8)))


def legend(marks: Marks) -> list[tuple[int, str]]:
    """The number of each mark, and what stands beside it."""
    names = names_in_font(marks.labels)
    entries = [
        (number, "" if letter == name else shortened(name, MEDIUM, NAME))
        for number, (letter, name) in enumerate(zip(marks.letters, names, strict=True))
    ]
    others = [f"{marks.num_others:,} other labels"] if marks.num_others else []
    others += ["no label"] if marks.any_unlabelled else []
    return [*entries, (-1, ", or ".join(others))] if others else entries


def draw_points(title: str, explained: str, panels: Sequence[Panel], marks: Marks) -> Figure:
    """Panels beside each other, with one legend."""
    inner = len(panels) * (WIDTH + APART) - APART
    heading, said = wrapped(title, LARGE, inner), wrapped(explained, MEDIUM, inner)
    top = MARGIN + TITLE + TITLE_LINE * heading.count("\n")
    first = top + LINE * (said.count("\n") + 1) + LINE // 2
    upper = first + LINE * (1 + max(len(panel.measured) for panel in panels)) + 8
    insides = frames([panel.places for panel in panels])
    height = insides[0].height
    entries = legend(marks)
    widths = [SIZE + 8 + round(text_width(name, MEDIUM)) + BETWEEN for _, name in entries]
    rows: list[list[int]] = [[]]
    for index, width in enumerate(widths):
        if rows[-1] and sum(widths[each] for each in rows[-1]) + width > inner:
            rows.append([])
        rows[-1].append(index)
    below = upper + height + 2 * LINE
    size = 2 * MARGIN + inner, below + LINE * len(rows) + MARGIN
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    write = partial(figure.text, transform=None, va="top", parse_math=False)  # in pixels, upwards
    write(MARGIN, size[1] - MARGIN, heading, fontsize=LARGE)
    write(MARGIN, size[1] - top, said, fontsize=MEDIUM)
    for index, (panel, inside) in enumerate(zip(panels, insides, strict=True)):
        left = MARGIN + index * (WIDTH + APART)
        write(left, size[1] - first, panel.name, fontsize=MEDIUM, weight="bold")
        for number, line in enumerate(panel.measured, start=1):
            write(left, size[1] - first - number * LINE, line, fontsize=MEDIUM)
        pixels = compose(panel.places, marks, inside)
        lower = size[1] - upper - height
        figure.add_artist(Pixels(pixels, left, lower))
        write(left + WIDTH // 2, lower - 5, panel.x_label, fontsize=SMALL, ha="center")
        figure.text(
            left - 5,
            lower + height // 2,
            panel.y_label,
            transform=None,
            ha="right",
            va="center",
            rotation=90,
            fontsize=SMALL,
            parse_math=False,
        )
    for row, indices in enumerate(rows):
        across = MARGIN
        for index in indices:
            number, name = entries[index]
            letter = OTHER if number < 0 else marks.letters[number]
            colour = str(GREY / 255) if number < 0 else COLOURS[number]
            y = size[1] - below - row * LINE
            write(across, y, letter, fontsize=MEDIUM, weight="bold", color=colour)
            write(across + SIZE + 8, y, name, fontsize=MEDIUM)
            across += widths[index]
    return figure
