"""What is said of a classifier and of its images, as rows of tables."""

from pathlib import Path
from typing import NamedTuple

from stages.core.base.tables import read_table


class Answer(NamedTuple):
    """A test image: its path in the folder, its label, what it was taken for, and the probability
    (0 to 1) of that."""

    path: str
    label: str
    predicted: str
    probability: float


def read_answers(path: Path) -> list[Answer]:
    """Those to the test images. Raises InputError if the file holds something else."""
    rows = read_table(
        path,
        lambda row: (
            row["split"],
            Answer(row["path"], row["label"], row["predicted"], float(row["probability"])),
        ),
    )
    return [answer for split, answer in rows if split == "test"]


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
