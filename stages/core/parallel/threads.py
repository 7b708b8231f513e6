"""Mapping a function over items in parallel, with results in the order of the items."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

MOST = 8  # threads: each takes memory, however many cores the machine has
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU time, and in how many

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_cores() -> int:
    """The cores that this process may use: those that it is pinned to, where the system can pin it
    to some, or fewer if its container has a quota."""
    if hasattr(os, "sched_getaffinity"):
        pinned = len(os.sched_getaffinity(0))
    else:  # on macOS and Windows
        pinned = os.cpu_count() or 1
    try:
        quota, period = map(int, QUOTA.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such file, or "max" for a quota
        return pinned
    return min(pinned, math.ceil(quota / period))


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], executor: Executor, ahead: int
) -> Iterator[Result]:
    """The function's results for the items, in order. At most `ahead` calls are pending, so memory
    does not grow with the number of items. They are cancelled when the caller stops early."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, busy: int = 0
) -> Iterator[Result]:
    """`in_order`, with one thread per core that this process may use, at most `MOST`. Each result
    is computed by a single thread, so the number of threads changes no byte.

    `busy`: cores that are busy otherwise, such as with making the items.
    """
    num_threads = max(1, min(num_cores(), MOST) - busy)
    with ThreadPoolExecutor(num_threads) as threads:
        yield from in_order(function, items, threads, ahead=num_threads)
