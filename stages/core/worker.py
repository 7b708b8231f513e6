"""Stages that dvc runs side by side, here or beside Dask workers, though any of them may die."""

import fcntl
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from stages.core.cluster import ADDRESS

REPRODUCE = ("--wait-for-lock", "repro", "--single-item")
FORKS = multiprocessing.get_context("forkserver")
# With dvc, what stages.core.repro imports: each fork imports that module again.
FORKS.set_forkserver_preload(["dvc.cli", "dvc.repo", "dvc.commands.repro", "dask", "tqdm.dask"])


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


def in_a_fork(stage: str, reads: Iterable[str], log: Path) -> int:
    """Let dvc run one stage, in a process of its own that prints into the file `log`; its exit
    status, below zero when it was killed.

    A server that has imported dvc forks the process, or it would take a second to begin.
    """
    process = FORKS.Process(target=_run_dvc, args=(stage, [*reads], log))
    process.start()
    process.join()
    assert process.exitcode is not None  # it has ended
    return process.exitcode


def _run_dvc(stage: str, reads: Iterable[str], log: Path) -> None:
    import dvc.cli

    with log.open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())  # for the stage too, a process of its own
    with locked(stage, reads, before_waiting=lambda: None):
        sys.exit(dvc.cli.main([*REPRODUCE, stage]))


def on_a_worker(stage: str, reads: Iterable[str], log: Path, *, spreads: bool) -> int:
    """`in_a_fork` for a Dask worker, which has threads and cannot be forked.

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
    command = [sys.executable, "-m", "dvc", *REPRODUCE, stage]
    with locked(stage, reads, before_waiting=leave) as locks, log.open("a") as file:
        return subprocess.run(
            command, stdout=file, stderr=file, env=environment, pass_fds=locks
        ).returncode
