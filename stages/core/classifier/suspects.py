"""Images whose label looks wrong, and images that stand in the folder more than once."""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch

from stages.core.classifier.data import Data
from stages.core.classifier.model import Classifier, fit
from stages.core.classifier.results import Suspect
from stages.core.classifier.table import Part
from stages.core.exact.integers import exact_mean

FOLDS = 5


def cross_validated(
    data: Data, weight_decay: float, seed: int, done: Callable[[int], object]
) -> list[tuple[Classifier, Part]]:
    """Models that have not seen a fold of the labelled images, and the images of that fold; but not
    those of a label of which the model has seen no other image, since it cannot judge them. `done`
    is called with 1 after each fold."""
    folds = np.floor(data.places["fold"] * FOLDS)
    found = []
    for fold in range(FOLDS):
        inside = folds == fold
        others = np.flatnonzero(~inside & (data.labels >= 0))
        judged = np.flatnonzero(inside & np.isin(data.labels, data.labels[others]))
        if len(judged):
            model = fit(data.part(others), len(data.names), weight_decay, seed)
            found.append((model, data.part(judged)))
        done(1)
    return found


def wrong_labels(
    judged: Sequence[tuple[Classifier, Part]], num_labels: int
) -> list[tuple[float, int, int]]:
    """The images whose label looks wrong: its probability, the image's row, and the label that it
    looks like; first those whose own label is the least likely.

    By confident learning (Northcutt, Jiang and Chuang, 2021): an image looks like a label if that
    is at least as likely as it is on average for the images that have it.
    """
    own = [np.empty(0)]
    for model, images in judged:
        for block, shares in model.judged(images):
            own.append(shares[np.arange(len(block)), block.labels])
    labels = np.concatenate([np.empty(0, np.int64), *(images.labels for _, images in judged)])
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    of_each = np.split(np.concatenate(own)[order], starts)[1:]
    thresholds = np.full(num_labels, np.inf)
    for label, of_label in zip(present, of_each, strict=True):
        thresholds[label] = exact_mean(torch.from_numpy(of_label))
    found: list[tuple[float, int, int]] = []
    for block, shares in (pair for model, images in judged for pair in model.judged(images)):
        index = np.arange(len(block))
        candidates = np.where(shares >= thresholds, shares, -1).argmax(1)
        given, best = shares[index, block.labels], shares[index, candidates]
        wrong = (best >= thresholds[candidates]) & (best > given)
        columns = given[wrong], block.rows.numpy()[wrong], candidates[wrong]
        found += zip(*(column.tolist() for column in columns), strict=True)
    return sorted(found)


def duplicates(digests: np.ndarray) -> list[tuple[int, int]]:
    """The first of equal images, and each later one."""
    digests = np.ascontiguousarray(digests)  # in memory, where sorting is faster
    found = []
    for _, equal in groupby(np.argsort(digests, kind="stable"), digests.__getitem__):
        first, *later = map(int, equal)
        found += [(first, row) for row in later]
    return sorted(found)


def find_suspects(data: Data, judged: Sequence[tuple[Classifier, Part]]) -> list[Suspect]:
    """All of them: labels that look wrong, by the models of a cross-validation, and then
    duplicates, those with another label first."""
    paths, labels = data.table.paths, data.table.labels
    found = [
        Suspect(
            paths[row], labels[row], "label looks wrong", data.names[looks_like], round(own, 6), ""
        )
        for own, row, looks_like in wrong_labels(judged, len(data.names))
    ]
    equal = duplicates(data.table.digests)
    later = {row for _, row in equal}
    near = [
        (int(data.first[row]), row)
        for row in np.flatnonzero(data.first != np.arange(len(paths))).tolist()
        if row not in later
    ]
    copies = []
    for pairs, reason in ((equal, "same image"), (sorted(near), "nearly the same image")):
        for first, row in pairs:
            differ = len({labels[row], labels[first]} - {None}) > 1
            said = f"{reason}, other label" if differ else reason
            copies.append((differ, Suspect(paths[row], labels[row], said, "", None, paths[first])))
    copies.sort(key=lambda copy: not copy[0])  # one of the two labels must be wrong
    return [*found, *(suspect for _, suspect in copies)]
