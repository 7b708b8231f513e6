"""Images whose label looks wrong, and images that stand in the folder more than once."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from stages.core.classifier.data import Data
from stages.core.classifier.model import fit
from stages.core.classifier.split import fold_of
from stages.core.exact.integers import exact_mean

FOLDS = 5


class Suspect(NamedTuple):
    """An image to look at. For a label that looks wrong: the label that the model takes it for, and
    the probability of the one that it has. For a duplicate: the path of the first that is equal."""

    path: str
    label: str | None
    reason: str
    suggestion: str
    probability: float | None
    same_as: str


def cross_validated(
    data: Data, weight_decay: float, seed: int, done: Callable[[int], object]
) -> np.ndarray:
    """The probabilities (float64, N × labels) of each labelled image by a model that has not seen
    its fold; nan if that model has seen no other image of its label, and so cannot judge it. `done`
    is called with 1 after each fold."""
    rows = data.labelled
    features, labels = data.part(rows)
    folds = fold_of([data.keys[row] for row in rows], FOLDS, seed)
    found = np.full((len(rows), len(data.names)), np.nan)
    for fold in range(FOLDS):
        inside = folds == fold
        others = labels[~inside]
        judged = inside & torch.isin(labels, others)
        if judged.any():
            model = fit(features[~inside], others, len(data.names), weight_decay, seed)
            found[judged.numpy()] = model.probabilities(features[judged])
        done(1)
    return found


def wrong_labels(probabilities: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """The images whose label looks wrong, and the label that they look like; first those whose own
    label is the least likely.

    By confident learning (Northcutt, Jiang and Chuang, 2021): an image looks like a label if that
    is at least as likely as it is on average for the images that have it.
    """
    rows = np.flatnonzero(~np.isnan(probabilities[:, 0]))
    own = probabilities[np.arange(len(labels)), labels]
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels[rows]):
        thresholds[label] = exact_mean(torch.from_numpy(own[rows][labels[rows] == label]))
    found = []
    for row in rows.tolist():
        likely = probabilities[row] >= thresholds
        candidate = int(np.where(likely, probabilities[row], -1).argmax())
        if likely[candidate] and probabilities[row, candidate] > own[row]:
            found.append((row, candidate))
    return sorted(found, key=lambda pair: (own[pair[0]], pair[0]))


def duplicates(digests: Sequence[str]) -> list[tuple[int, int]]:
    """The images with the pixels of an earlier one, and the first of those."""
    places = defaultdict(list)
    for index, digest in enumerate(digests):
        places[digest].append(index)
    return [(index, first) for first, *rest in places.values() for index in rest]


def find_suspects(data: Data, judged: np.ndarray) -> list[Suspect]:
    """All of them: labels that look wrong, by the probabilities of a cross-validation, and then
    duplicates."""
    paths, labels = data.table.paths, data.table.labels
    rows = data.labelled.tolist()
    found = []
    for index, looks_like in wrong_labels(judged, data.labels[rows]):
        own = round(judged[index, data.labels[rows[index]]].item(), 6)
        path, label = paths[rows[index]], labels[rows[index]]
        found.append(Suspect(path, label, "label looks wrong", data.names[looks_like], own, ""))
    for row, first in duplicates(data.table.digests):
        differ = len({labels[row], labels[first]} - {None}) > 1
        reason = "same image, other label" if differ else "same image"
        found.append(Suspect(paths[row], labels[row], reason, "", None, paths[first]))
    return found
