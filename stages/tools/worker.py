"""Running dvc stages side by side, here or beside Dask workers, any of which may die."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Event, Thread

from tqdm import tqdm

from stages.core.parallel.cluster import ADDRESS

# What DVC prints after every stage: once is more than enough.
HINTS = ("To track the changes with git", "To enable auto staging", "Use `dvc push`", "\t")


@contextmanager
def locked(
    stage: str, reads: Iterable[str], before_waiting: Callable[[], None]
) -> Iterator[list[int]]:
    """Wait until no other process makes the stage, reads it, or makes one of those that it `reads`.

    Yields the file descriptors that hold the locks. A child process that inherits them keeps the
    locks even if this process is killed.
    """
    if sys.platform == "win32":
        raise NotImplementedError("A child process does not inherit locks there.")
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


@contextmanager
def shown(log: Path, stage: str) -> Iterator[None]:
    """Print a growing log line by line, each after the name of the stage, until the block ends."""
    ended = Event()

    def follow() -> None:
        line, over = "", False
        with log.open(encoding="locale", errors="replace") as lines:
            while not over:
                over = ended.wait(0.2)  # seconds; before the last look
                for part in lines:
                    line += part
                    if line.endswith("\n") or over:
                        text, line = line.rstrip(), ""
                        if text and not text.startswith(HINTS):
                            with tqdm.external_write_mode(), suppress(OSError):
                                print(f"{stage}: {text}", flush=True)

    thread = Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run_dvc(
    stage: str,
    reads: Iterable[str],
    log: Path,
    *,
    before_waiting: Callable[[], None] = lambda: None,
    **environment: str,
) -> int:
    """Have dvc run one stage in its own process; returns the exit status.

    What it prints goes to the log, and from there to standard output. If this process is killed,
    dvc still finishes the stage, and the next to run it waits.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # for the `python` of stages
    with locked(stage, reads, before_waiting) as locks, log.open("wb") as file, shown(log, stage):
        return subprocess.run(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage],
            stdout=file,
            stderr=file,
            env=os.environ | {"PATH": path, "SHELL": "/bin/sh"} | environment,
            pass_fds=locks,
        ).returncode


def on_a_worker(stage: str, reads: Iterable[str], log: Path, *, spreads: bool) -> int:
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
