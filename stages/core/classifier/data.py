"""Labelled images, ready to train on."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stages.core.base.errors import InputError
from stages.core.classifier.split import assign, check_splits, place, split_keys
from stages.core.classifier.table import Table


class Data(NamedTuple):
    """N images: the rows of their table; the names of the labels; each image's label by its number
    (int64), -1 if it has none; what keeps images together, and their splits."""

    table: Table
    names: list[str]
    labels: np.ndarray
    keys: list[str]
    splits: np.ndarray

    def rows(self, split: str) -> np.ndarray:
        """The indices of a split's images."""
        return np.flatnonzero(self.splits == split)

    @property
    def labelled(self) -> np.ndarray:
        return np.flatnonzero(self.labels >= 0)

    def part(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The features and labels of some images."""
        return self.table.features[torch.from_numpy(rows)], torch.from_numpy(self.labels[rows])

    def first_of_each(self, count: int, seed: int) -> np.ndarray:
        """`count` training images of each label; of more, those of fewer are a part."""
        train = self.rows("train")
        order = np.array([place(self.keys[row], seed, "order") for row in train])
        ranked = train[np.argsort(order, kind="stable")]
        chosen = [ranked[self.labels[ranked] == label][:count] for label in range(len(self.names))]
        return np.sort(np.concatenate(chosen))

    @property
    def most(self) -> int:
        """The number of training images of the label that has the most."""
        return max(Counter(self.labels[self.rows("train")].tolist()).values())


def labelled_data(
    table: Table,
    groups: list[str | None],
    test: float,
    val: float,
    seed: int,
    where: str,
    folder: Path,
) -> Data:
    """The images with their labels and splits. An image without a label is in none.

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
    keys = split_keys(table.digests, groups)
    splits = np.array(assign(keys, test, val, seed))
    splits[labels < 0] = ""
    has_label = labels >= 0
    check_splits([names[label] for label in labels[has_label]], splits[has_label].tolist(), where)
    return Data(table, names, labels, keys, splits)
