"""Some of many."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly_spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items, or all if there are fewer, at steps as equal as can be."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]
