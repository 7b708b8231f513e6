"""Images that are nearly the same: one picture that was scaled, saved anew or slightly brightened.

Two images are if the thumbnail of one, times a factor and plus a constant, is the other's, except
for 1 / UNEXPLAINED of its variance: if their correlation is nearly 1. Integers decide it, so the
answer is the same on every machine; floats only choose what is compared.
"""

import hashlib
import math
from collections.abc import Iterator

import numpy as np

# Of the 1.8 billion pairs of MNIST's 60,000 training digits, the two that are most alike leave
# 1 / 188 unexplained; photographs of different things, 1 / 36 or more. Of the median photograph,
# JPEG of quality 50 leaves 1 / 3,900, half the size 1 / 5,900, a quarter 1 / 3,400.
UNEXPLAINED = 200
DISTANCE = 0.071  # at most, between normalised copies: the root of 2 - 2 sqrt(1 - 1 / UNEXPLAINED)
FLATTEST = 4  # standard deviation, in grey levels: of flatter images, rounding is what one compares
GAIN = 2  # between the variances of copies, at most

BUNDLE = 256  # images that are compared with each other
BLOCK = 4096  # images in memory at a time
SAMPLE = 1000  # images of a bundle by which it is cut
SPILL = 0.75  # of a bundle, may be in a part of it


def walsh(side: int) -> np.ndarray:
    """Walsh functions of a thumbnail, side² × 15 (float32, ±1): its coarsest patterns but the
    constant one, orthogonal to each other."""
    halves = np.array([[1, 1], [1, -1]])
    lines = np.kron(halves, halves).repeat(side // 4, axis=1)  # 4 × side
    return np.einsum("ar,bc->rcab", lines, lines).reshape(side**2, 16)[:, 1:].astype(np.float32)


def variances(pixels: np.ndarray) -> np.ndarray:
    """Of each of N thumbnails (uint8, N × pixels), times the square of their number of pixels,
    which makes it an integer (int64)."""
    values = pixels.astype(np.int64)
    return pixels.shape[1] * (values * values).sum(1) - values.sum(1) ** 2


def alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which of some thumbnails (uint8, N × pixels) are nearly the same as which of M others."""
    count = a.shape[1]
    # The products' sums are below 2^24, so they are exact in float32, in whatever order.
    products = (a.astype(np.float32) @ b.astype(np.float32).T).astype(np.int64)
    sums = np.multiply.outer(a.sum(1, np.int64), b.sum(1, np.int64))
    covariances = count * products - sums
    own, other = variances(a)[:, None], variances(b)[None]
    unexplained = own * other - covariances * covariances
    similar = (covariances > 0) & (unexplained <= own * other // UNEXPLAINED)
    return similar & (own <= GAIN * other) & (other <= GAIN * own)


def bundles(features: np.ndarray) -> Iterator[np.ndarray]:
    """Groups of indices of features N × K, such that any two that differ by less than DISTANCE in
    each column are together in one of them. Cuts at the median of the column with the widest
    spread, where those near the cut are on both sides of it, as long as that makes two smaller
    groups."""
    groups = [np.arange(len(features))]
    while groups:
        group = groups.pop()
        if len(group) > BUNDLE:
            sample = features[group[:: -(-len(group) // SAMPLE)]]
            low, middle, high = np.percentile(sample, (10, 50, 90), axis=0)
            widest = (high - low).argmax()
            values = features[group, widest]
            left = group[values <= middle[widest] + DISTANCE]
            right = group[values > middle[widest]]
            if len(left) < SPILL * len(group):
                groups += [right, left]
                continue
        yield group


def close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which of N features are at most DISTANCE from which of M others. It may be wrong about what
    is just as far: DISTANCE is rounded up by more than that."""
    squares = np.add.outer((a * a).sum(1), (b * b).sum(1)) - 2 * (a @ b.T)
    return squares <= DISTANCE * DISTANCE


def coarse_features(thumbnails: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of some thumbnails (float32, N × 15): they are no farther apart than the thumbnails are when
    these are normalised."""
    patterns = walsh(math.isqrt(thumbnails.shape[1]))
    features = np.empty((len(rows), patterns.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        pixels = thumbnails[rows[start : start + BLOCK]]
        features[start : start + BLOCK] = (pixels @ patterns) / np.sqrt(variances(pixels))[:, None]
    return features


class Firsts:
    """Sets of images (union-find). Each image has an earlier one of its set, or itself."""

    def __init__(self, count: int) -> None:
        self.above = np.arange(count)

    def join(self, rows: np.ndarray) -> None:
        found = set(self.above[rows].tolist())
        while higher := {*self.above[[*found]].tolist()} - found:
            found |= higher
        self.above[rows] = self.above[[*found]] = min(found)

    def all(self) -> np.ndarray:
        """The first of each image's set."""
        while not np.array_equal(higher := self.above[self.above], self.above):
            self.above = higher
        return self.above


def first_of_copies(thumbnails: np.ndarray) -> np.ndarray:
    """For each of N images, by their thumbnails (uint8, N × side²): the first of those that it is
    nearly the same as (int64), directly or by way of others; if there is none before it, itself."""
    count, pixels = thumbnails.shape
    hashes = np.empty(count, "S16")
    flat = np.empty(count, bool)
    for start in range(0, count, BLOCK):
        block = thumbnails[start : start + BLOCK]
        hashes[start : start + BLOCK] = [hashlib.sha256(each).digest()[:16] for each in block]
        flat[start : start + BLOCK] = variances(block) < (FLATTEST * pixels) ** 2
    _, earliest, which = np.unique(hashes, return_index=True, return_inverse=True)
    rows = np.sort(earliest[~flat[earliest]])

    firsts = Firsts(count)
    features = coarse_features(thumbnails, rows)
    for bundle in bundles(features):
        for start in range(0, len(bundle), BUNDLE):
            some = bundle[start : start + BUNDLE]
            for place in range(start, len(bundle), BLOCK):
                others = bundle[place : place + BLOCK]
                candidates = close(features[some], features[others])
                if place == start:
                    candidates = np.triu(candidates, 1)  # each pair once, and no image with itself
                a, b = rows[some[candidates.any(1)]], rows[others[candidates.any(0)]]
                if len(a):
                    for row, copies in zip(a, alike(thumbnails[a], thumbnails[b]), strict=True):
                        firsts.join(np.append(b[copies], row))
    return np.where(flat, np.arange(count), firsts.all()[earliest[which]])
