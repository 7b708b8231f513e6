"""Stages that dvc runs side by side, here or beside Dask workers, though any of them may die."""

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
    """Wait until nobody else makes the stage, makes what it `reads`, or reads what it makes.

    Yields the file descriptors that hold the locks. A process that inherits them holds the locks
    too, even when the one that took them was killed.
    """
    folder = Path(".dvc/tmp/stages")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        kinds = dict.fromkeys(reads, fcntl.LOCK_SH) | {stage: fcntl.LOCK_EX}
        held = []
        for name, kind in kinds.items():
            file = files.enter_context((folder / name).open("w"))
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
    """Let dvc run one stage, in a process of its own; its exit status.

    When this process is killed, dvc finishes the stage, and whoever wants to run it next waits.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # for the `python` of stages
    with locked(stage, reads, before_waiting) as locks:
        return subprocess.run(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage],
            stdout=log,
            stderr=log,
            env=os.environ | {"PATH": path} | environment,
            pass_fds=locks,
        ).returncode


def on_a_worker(stage: str, reads: Iterable[str], log: TextIO, *, spreads: bool) -> int:
    """`run_dvc` beside a Dask worker.

    Who waits leaves its place on the worker to others, and so does a stage that `spreads` its own
    work over the cluster.
    """
    from distributed import get_worker, secede

    leave = cache(secede)  # once is enough, and twice an error
    if spreads:
        leave()
    address = {ADDRESS: get_worker().scheduler.address}
    return run_dvc(stage, reads, log, before_waiting=leave, **address)
