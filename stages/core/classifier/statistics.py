"""How good a classifier is, and how sure one can be of that.

Counts are integers, and the rest is one operation of IEEE 754 at a time, so the numbers are the
same on every machine.
"""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

MOST_LABELS = 30  # in a table of what is taken for what; more are too many to look at
Z = 1.959963984540054  # a normal variable is between -Z and Z with a probability of 95 %


class LabelScores(NamedTuple):
    """One label's test images. Precision is None if it was never the answer."""

    precision: float | None
    recall: float
    f1: float


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, by its number of successes (Wilson, 1927): unlike the usual
    ± interval, it holds for few images, and stays between 0 and 1."""
    share, square = right / total, Z * Z
    scale = 1 + square / total
    middle = (share + square / (2 * total)) / scale
    width = Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / scale
    return max(0.0, middle - width), min(1.0, middle + width)


def most_confused(counts: np.ndarray, number: int) -> list[int]:
    """Up to so many labels, in their order: those that are taken for others, or others for them,
    most often."""
    wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    return sorted(np.argsort(-wrong, kind="stable")[:number].tolist())


def label_scores(counts: np.ndarray) -> list[LabelScores]:
    """Precision, recall and F1 of each label, by the confusion matrix."""
    scores = []
    for right, given, answered in zip(
        counts.diagonal().tolist(), counts.sum(1).tolist(), counts.sum(0).tolist(), strict=True
    ):
        precision = right / answered if answered else None
        scores.append(LabelScores(precision, right / given, 2 * right / (given + answered)))
    return scores


def balanced_accuracy(counts: np.ndarray) -> float:
    """The mean of all labels' recalls."""
    recalls = [
        Fraction(right, given)
        for right, given in zip(counts.diagonal().tolist(), counts.sum(1).tolist(), strict=True)
    ]
    return float(sum(recalls) / len(recalls))


def baseline_accuracy(train: Sequence[int], test: Sequence[int]) -> float:
    """The test accuracy of always saying the commonest training label, of equal ones the first."""
    counts = Counter(train)
    commonest = min(counts, key=lambda label: (-counts[label], label))
    return Counter(test)[commonest] / len(test)
