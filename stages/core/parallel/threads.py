"""Mapping a function over items in parallel, with results in the order of the items."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`in_order`, with one thread per core. Each result is computed by a single thread, so the
    number of threads changes no byte."""
    num_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(num_threads) as threads:
        yield from in_order(function, items, threads, ahead=num_threads)
