"""Where points of the plane lie in a picture, in figures and on the page."""

import math
from typing import NamedTuple

import numpy as np

WIDTH, FLATTEST = 512, 160  # of a picture: its width, and its height at least, pixels
EDGE = 22  # beyond the outermost points, pixels


class Frame(NamedTuple):
    """The place (2) in the middle, the scale (pixels by unit), which is the same across and
    upwards, and the picture's height (pixels)."""

    middle: np.ndarray
    scale: float
    height: int

    def pixel(self, place: np.ndarray) -> tuple[float, float]:
        """Where a place lies, from the left and from the top, in pixels."""
        x, y = ((place - self.middle) * self.scale).tolist()
        return WIDTH / 2 + x, self.height / 2 - y


def frames(spaces: list[np.ndarray]) -> list[Frame]:
    """Of places N × 2 in each of some spaces: frames that they fill, equally high."""
    found, height = [], FLATTEST
    for places in spaces:
        low, high = places.min(0), places.max(0)
        scale = (WIDTH - 2 * EDGE) / ((high - low).max().item() or 1.0)
        height = max(height, 2 * EDGE + math.ceil((high - low)[1] * scale))
        found.append(Frame((low + high) / 2, scale, 0))
    return [frame._replace(height=height) for frame in found]
