"""Running dvc stages side by side, here or beside Dask workers, any of which may die."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

from stages.core.parallel.cluster import ADDRESS


@contextmanager
def locked(
    stage: str, reads: Iterable[str], before_waiting: Callable[[], None]
) -> Iterator[list[int]]:
    """Wait until no other process makes the stage, reads it, or makes one of those that it `reads`.

    Yields the file descriptors that hold the locks. A child process that inherits them keeps the
    locks even if this process is killed.
    """
    folder = Path(".dvc/tmp/stages")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        kinds = dict.fromkeys(reads, fcntl.LOCK_SH) | {stage: fcntl.LOCK_EX}
        held = []
        for name, kind in kinds.items():
            file = files.enter_context((folder / name).open("wb"))
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                before_waiting()
                fcntl.flock(file, kind)
            held.append(file.fileno())
        yield held


def run_dvc(
    stage: str,
    reads: Iterable[str],
    log: TextIO,
    *,
    before_waiting: Callable[[], None] = lambda: None,
    **environment: str,
) -> int:
    """Have dvc run one stage in its own process; returns the exit status.

    If this process is killed, dvc still finishes the stage, and the next to run it waits.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # for the `python` of stages
    with locked(stage, reads, before_waiting) as locks:
        return subprocess.run(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage],
            stdout=log,
            stderr=log,
            env=os.environ | {"PATH": path, "SHELL": "/bin/sh"} | environment,
            pass_fds=locks,
        ).returncode


def on_a_worker(stage: str, reads: Iterable[str], log: TextIO, *, spreads: bool) -> int:
    """`run_dvc` as a task of a Dask worker.

    A waiting task secedes and frees its thread, and so does a stage that `spreads` its own work
    over the cluster.
    """
    from distributed import get_worker, secede

    leave = cache(secede)  # seceding twice is an error
    if spreads:
        leave()
    address = {ADDRESS: get_worker().scheduler.address}
    return run_dvc(stage, reads, log, before_waiting=leave, **address)
