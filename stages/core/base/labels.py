"""The labels of images, by their names."""

from collections.abc import Sequence

DIGITS = [*"0123456789"]


def one_of(labels: Sequence[str]) -> str:
    """What to call one of the labels in a sentence: MNIST's are digits."""
    return "digit" if [*labels] == DIGITS else "label"
