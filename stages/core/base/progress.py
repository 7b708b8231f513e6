"""How far a command is: a bar on a terminal; elsewhere, in a log say, a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import Protocol

from tqdm import tqdm

SECONDS = 10  # between two lines


class Progress(Protocol):
    def update(self, n: int, /) -> object:
        """Add n to what is done."""


class Lines:
    """Prints a line at the start, and then when one is due: "3,200 of 12,500 digits"."""

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self.print()

    def update(self, n: int) -> None:
        self.done += n
        if time.monotonic() - self.printed >= SECONDS:
            self.print()

    def print(self) -> None:
        print(f"{self.done:,} of {self.total:,} {self.unit}", file=sys.stderr, flush=True)
        self.printed = time.monotonic()


@contextmanager
def progress(total: int, unit: str) -> Iterator[Progress]:
    """Show on standard error how much of a total is done, while the block calls `update`.

    `unit`: what is counted, in the plural. A block that fails leaves the last line as it is.
    """
    if sys.stderr is not None and sys.stderr.isatty():  # it may be closed
        columns, rows = get_terminal_size()  # 80 × 24 where it says 0, as some do; tqdm is silent
        with tqdm(total=total, unit=f" {unit}", ncols=columns, nrows=rows) as bar:
            yield bar
    else:
        lines = Lines(total, unit)
        yield lines
        lines.print()
