"""Labelled images, ready to train on."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stages.core.base.errors import InputError
from stages.core.classifier.copies import first_of_copies
from stages.core.classifier.split import assign, check_splits, places, split_keys
from stages.core.classifier.table import Part, Table


class Data(NamedTuple):
    """N images: the rows of their table; the names of the labels; each image's label by its number
    (int64), -1 if it has none; the first of those that are nearly the same, or itself (int64); its
    split; and its places in [0, 1) for each of PURPOSES."""

    table: Table
    names: list[str]
    labels: np.ndarray
    first: np.ndarray
    splits: np.ndarray
    places: np.ndarray

    def rows(self, split: str) -> np.ndarray:
        """The indices of a split's images."""
        return np.flatnonzero(self.splits == split)

    @property
    def labelled(self) -> np.ndarray:
        return np.flatnonzero(self.labels >= 0)

    def part(self, rows: np.ndarray) -> Part:
        """Some of the images."""
        return Part(
            self.table.features, torch.from_numpy(rows), torch.from_numpy(self.labels[rows])
        )

    def first_of_each(self, count: int) -> np.ndarray:
        """`count` training images of each label; of more, those of fewer are a part."""
        train = self.rows("train")
        ranked = train[np.lexsort((self.places["order"][train], self.labels[train]))]
        labels = self.labels[ranked]
        ranks = np.arange(len(ranked)) - np.searchsorted(labels, labels)
        return np.sort(ranked[ranks < count])

    @property
    def most(self) -> int:
        """The number of training images of the label that has the most."""
        return max(Counter(self.labels[self.rows("train")].tolist()).values())


def first_digests(digests: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Of images that are nearly the same, the first digest in alphabetical order, for each."""
    found = np.array(digests)
    for row in np.flatnonzero(first != np.arange(len(first))).tolist():
        found[first[row]] = min(found[first[row]], found[row])
    return found[first]


def labelled_data(
    table: Table,
    groups: list[str | None],
    together: bool,
    test: float,
    val: float,
    seed: int,
    where: str,
    folder: Path,
) -> Data:
    """The images with their labels and splits. An image without a label is in none. Those that are
    nearly the same are on one side if they should be `together`.

    Raises InputError unless there are two labels or more, with enough images of each. `where`: the
    key of the shares, and `folder`: that of the images, for the messages.
    """
    names = sorted({label for label in table.labels if label is not None})
    if len(names) < 2:
        found = f"all images are in {names[0]}/" if names else "no image is in a folder of its own"
        raise InputError(
            f"{folder}: {found}; a classifier needs two labels or more, which the folders in "
            f"{folder} name"
        )
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([-1 if label is None else numbers[label] for label in table.labels])
    first = first_of_copies(table.thumbnails)
    digests = first_digests(table.digests, first) if together else table.digests
    where_to = places(split_keys(digests, groups), seed)
    splits = assign(where_to["split"], test, val)
    splits[labels < 0] = ""
    has_label = labels >= 0
    try:
        check_splits([names[each] for each in labels[has_label]], splits[has_label].tolist(), where)
    except InputError as error:
        copies = int((first != np.arange(len(first))).sum())
        if not (together and copies):
            raise
        raise InputError(
            f"{error}; {where}.copies_together keeps {copies:,} images on the side of others that "
            "look nearly the same"
        ) from None
    return Data(table, names, labels, first, splits, where_to)
