"""Marks of labels, in figures and on the page: a letter in a colour.

Of any two of the colours, the colour-blind see a difference too; and in grey there is the letter.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

COLOURS = (  # the page has others on a dark ground, in page.css
    "#0000fc",
    "#fc542a",
    "#2a547e",
    "#fc2afc",
    "#a82a00",
    "#00a87e",
    "#540000",
    "#a87ea8",
    "#545454",
    "#00007e",
)
MOST = len(COLOURS)  # labels with a mark of their own: of more, the commonest


class Marks(NamedTuple):
    """The labels that have a mark, in order, and their letters; the number of each image's mark, -1
    without one; how many labels have none; and whether an image has no label."""

    labels: list[str]
    letters: list[str]
    of_images: list[int]
    num_others: int
    any_unlabelled: bool


def marks_of(labels: Sequence[str | None], names: Sequence[str]) -> Marks:
    """By the images' labels, None without one, and the names of all labels in their order. A label
    of a letter or two is its own mark; if there is a longer one, the marks are A, B, C …"""
    counts = Counter(label for label in labels if label is not None)
    commonest = {*sorted(counts, key=lambda label: (-counts[label], names.index(label)))[:MOST]}
    marked = [name for name in names if name in commonest]
    short = all(len(name) <= 2 and name.isascii() and name.isalnum() for name in marked)
    letters = marked if short else [chr(ord("A") + number) for number in range(len(marked))]
    number_of: dict[str | None, int] = {name: number for number, name in enumerate(marked)}
    return Marks(
        marked,
        letters,
        [number_of.get(label, -1) for label in labels],
        len(counts) - len(marked),
        None in labels,
    )
