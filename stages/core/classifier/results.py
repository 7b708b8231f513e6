"""What is said of a classifier and of its images, as rows of tables."""

from typing import NamedTuple


class Point(NamedTuple):
    """The test accuracy after training on up to so many images of each label, and the ends of its
    95 % interval."""

    images: int
    accuracy: float
    low: float
    high: float


class Suspect(NamedTuple):
    """An image to look at. For a label that looks wrong: the label that the model takes it for, and
    the probability of the one that it has. For a duplicate: the path of the first that is the same,
    or nearly the same."""

    path: str
    label: str | None
    reason: str
    suggestion: str
    probability: float | None
    same_as: str
