"""Which images train, validate and test.

An image's split follows from its pixels, or from its group, and from nothing else: equal images,
and those of a group, are never on both sides, and one more image moves no other.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from stages.core.base.errors import InputError

SPLITS = ("test", "val", "train")
PURPOSES = ("split", "fold", "order")
FEWEST = {"test": 2, "train": 1}  # images of a label
NAMED = 3  # labels in a message, at most


def split_keys(
    digests: Sequence[bytes] | np.ndarray, groups: Sequence[str | None]
) -> Iterator[str]:
    """What stays together has the same key: equal images, and all images of a group. An image that
    is in two groups makes one of them, which has the name of the first in alphabetical order."""
    above: dict[str, str] = {}  # a group's union, by the name of another group in it

    def union(group: str) -> str:
        while (higher := above.setdefault(group, group)) != group:
            above[group] = above[higher]
            group = higher
        return group

    group_of: dict[bytes, str] = {}
    for digest, group in zip(digests, groups, strict=True):
        if group is not None:
            both = sorted({union(group), union(group_of.setdefault(digest, group))})
            above[both[-1]] = both[0]
    return (
        f"group {union(group_of[digest])}" if digest in group_of else f"image {digest.decode()}"
        for digest in digests
    )


def place(key: str, seed: int, purpose: str) -> float:
    """A number from 0 to 1, as good as random, that follows from the key alone."""
    digest = hashlib.sha256(f"{purpose} {seed} {key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def places(keys: Iterable[str], seed: int) -> np.ndarray:
    """The place of each key for each of PURPOSES: a structured array of that many columns."""
    rows = (tuple(place(key, seed, purpose) for purpose in PURPOSES) for key in keys)
    return np.fromiter(rows, [(purpose, np.float64) for purpose in PURPOSES])


def assign(places: np.ndarray, test: float, val: float) -> np.ndarray:
    """The split of each image, for shares of test and validation images."""
    return np.select([places < test, places < test + val], SPLITS[:2], SPLITS[2])


def check_splits(labels: Sequence[str], splits: Sequence[str], where: str) -> None:
    """Raises InputError unless each label has enough images to train and to test on, and some image
    validates. `where`: the key of the shares, for the message."""
    counts = Counter(zip(labels, splits, strict=True))
    totals = Counter(labels)
    for split, fewest in FEWEST.items():
        lacking = [label for label in sorted(totals) if counts[label, split] < fewest]
        if lacking:
            first = "; ".join(
                f"{label} has {counts[label, split]} of {totals[label]:,} images"
                for label in lacking[:NAMED]
            )
            more = f"; and {len(lacking) - NAMED:,} more" if len(lacking) > NAMED else ""
            raise InputError(
                f"{where}: every label needs {fewest} {split} image{'s' * (fewest > 1)} or more, "
                f"but {first}{more}; add images of them, change the shares, or try another seed"
            )
    if "val" not in splits:
        raise InputError(f"{where}.val: there is no validation image; add images, or raise it")
