"""The places in images at which the units of a layer are excited most.

A channel is one kernel, slid over the image, so the activations at all places are compared. Places
are chosen from the largest activation down: first of each image, where each keeps others away from
the middle half of its receptive field; then of all images. Of equal activations only the first is
chosen, in the order of images, rows and columns: the same patch again would show nothing new.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from stages.core.interpretation.receptive import Field


class Place(NamedTuple):
    """An activation; the number of its image; the row and column of its unit."""

    activation: float
    image: int
    row: int
    column: int


def first_places(places: Iterable[Place], count: int) -> list[Place]:
    """The `count` strongest places, strongest first, of equal ones the first."""
    found: dict[float, Place] = {}
    for place in sorted(places, key=lambda place: (-place.activation, *place[1:])):
        found.setdefault(place.activation, place)
        if len(found) == count:
            break
    return [*found.values()]


def places_of_map(
    values: np.ndarray, image: int, count: int, reach: int, above: float
) -> list[Place]:
    """Up to `count` places of an image by the activations of a channel (rows × columns), if larger
    than `above`, more than `reach` rows or columns apart."""
    left = values.copy()
    found: list[Place] = []
    while len(found) < count:
        row, column = divmod(int(left.argmax()), left.shape[1])
        value = left[row, column]
        if not value > above:
            break
        found.append(Place(float(value), image, row, column))
        left[left == value] = -np.inf
        rows, columns = (slice(max(0, each - reach), each + reach + 1) for each in (row, column))
        left[rows, columns] = -np.inf
    return found


def strongest(
    maps: np.ndarray, first: int, count: int, field: Field | None, above: float = -np.inf
) -> list[Place]:
    """The `count` places with the largest activations of a channel (float32, N × rows × columns),
    if larger than `above`, in images that are numbered from `first` on.

    Units without a `field` see the whole image, of which only the largest activation counts.
    """
    if field is None:
        maps = maps.max(axis=(1, 2), keepdims=True)
    reach = (field.size - 1) // (2 * field.step) if field else 0
    maps = np.where(np.isnan(maps), -np.inf, maps)
    largest = maps.max(axis=(1, 2))
    found: list[Place] = []
    for index in np.argsort(-largest, kind="stable").tolist():
        if len(found) == count and largest[index] < found[-1].activation:
            break
        more = places_of_map(maps[index], first + index, count, reach, above)
        found = first_places([*found, *more], count)
    return found
