"""Nearest neighbours: how far two images lie apart says whether they are of one kind.

Of a space in which images of one label lie together, the nearest neighbour of an image has its
label (Cover and Hart, "Nearest Neighbor Pattern Classification", 1967). Nothing is learned, so this
measures the space alone.
"""

import numpy as np
import torch

from stages.core.exact.integers import for_distances, squared_distances
from stages.core.parallel.threads import in_threads

BLOCK = 256  # points whose distances from all others are in memory at a time


def nearest_neighbours(points: torch.Tensor) -> np.ndarray:
    """Of each of N points (float32, N × K; N is 2 or more), the other one that is nearest by the
    Euclidean distance, of equally near ones the first (int64, N)."""
    integers = for_distances(points)

    def nearest(start: int) -> np.ndarray:
        some = integers[start : start + BLOCK]
        distances = squared_distances(some, integers).numpy()
        distances[np.arange(len(some)), np.arange(start, start + len(some))] = np.inf
        return distances.argmin(1)

    return np.concatenate([*in_threads(nearest, range(0, len(points), BLOCK))])
