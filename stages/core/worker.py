"""A stage that dvc runs beside a Dask worker, though workers may die."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

from stages.core.cluster import ADDRESS


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


def on_a_worker(
    arguments: list[str], log: TextIO, *, stage: str, reads: Iterable[str], spreads: bool
) -> int:
    """Run dvc beside a Dask worker, which may have other threads; its exit status.

    When the worker is killed, dvc finishes the stage, and the worker that takes its place waits for
    that. Who waits leaves its place on the worker to others, and so does a stage that `spreads` its
    own work over the cluster.
    """
    from distributed import get_worker, secede

    leave = cache(secede)  # once is enough, and twice an error
    if spreads:
        leave()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # for the `python` of stages
        ADDRESS: get_worker().scheduler.address,
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    with locked(stage, reads, before_waiting=leave) as locks:
        return subprocess.run(
            command, stdout=log, stderr=log, env=environment, pass_fds=locks
        ).returncode
