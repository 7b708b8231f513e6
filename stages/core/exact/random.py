"""Random numbers, made of a bit generator's words by integer operations.

The words are those of numpy's RandomState, whose stream is frozen; what a library makes of them,
such as uniform floats or permutations, may change with its version.
"""

import math
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What the random numbers of a seed are for. Each has a stream of its own."""

    WEIGHTS = 1
    ORDER = 2
    DROPOUT = 3
    ASCENT = 4
    PLACES = 5


class Words:
    """A stream of random integers from 0 to 2^32 - 1."""

    def __init__(self, seed: int, purpose: Purpose) -> None:
        self.generator = np.random.RandomState([seed, purpose])

    def take(self, *shape: int) -> np.ndarray:
        """The next words (uint32), in this shape."""
        return np.frombuffer(self.generator.bytes(4 * math.prod(shape)), "<u4").reshape(shape)


def initial_weight(words: Words, shape: tuple[int, ...], fan_in: int) -> torch.Tensor:
    """Uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in), as torch.nn's layers have it
    (float32)."""
    uniform = (words.take(*shape) >> 8) / 2**23 - 1
    return torch.from_numpy((uniform * (1 / math.sqrt(fan_in))).astype(np.float32))


def shuffled(words: Words, count: int) -> torch.Tensor:
    """The numbers from 0 to count - 1 in random order (int64)."""
    return torch.from_numpy(np.argsort(words.take(count), kind="stable"))


def keep_mask(words: Words, shape: tuple[int, ...], p: float) -> torch.Tensor:
    """Each element false with probability p, or else true."""
    return torch.from_numpy(words.take(*shape) >= p * 2**32)
