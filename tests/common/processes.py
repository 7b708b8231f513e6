"""Processes that tests start, watch, stop and kill.

No test depends on how fast the machine is: whoever waits, waits until it has happened, and gives up
only after PATIENCE. Who needs a process at a certain moment has it stop there, with `stopped_at`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from common.graph import files_below, outputs
from common.project import ENVIRONMENT, execute

PATIENCE = 30 * 60  # seconds
PARTIAL = r"\.partial$"  # what a stage writes has such a name until it is whole


def until(happened: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait for it; the process must not end before."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process is None or process.poll() is None, "it ended before"
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def start(project: Path, *targets: str, **environment: str) -> subprocess.Popen:
    """A `dvc repro` in a process group of its own; what it prints goes to a file `log`."""
    with (project / "log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            ("dvc", "--wait-for-lock", "repro", *targets),
            cwd=project,
            env=ENVIRONMENT | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def assert_as_committed(project: Path, pipeline: Path) -> None:
    """`dvc repro` makes all that is committed, to the byte, and leaves nothing half-made."""
    result = execute(project, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    assert_same(project, pipeline)
    assert not list(project.rglob("*.partial"))


def assert_same(project: Path, pipeline: Path) -> None:
    """What was made, and what DVC has noted of it."""
    assert (project / "dvc.lock").read_bytes() == (pipeline / "dvc.lock").read_bytes()
    assert outputs(project) == outputs(pipeline)


def assert_made(project: Path, pipeline: Path, stage: str, **environment: str) -> None:
    """The stage runs, and there is no artifact but right ones."""
    result = execute(project, "dvc", "repro", "--single-item", stage, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    made = files_below(project / "artifacts")
    assert len(made) >= 3
    for path in made:
        assert path.read_bytes() == (pipeline / path.relative_to(project)).read_bytes()


def below(process: subprocess.Popen, word: str) -> list[psutil.Process]:
    """The processes below this one that have the word on their command lines and still run."""
    found = []
    for each in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any(word in argument for argument in each.cmdline()):
                found.append(each)
    return found


def kill(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    if process.poll() is None:
        for each in (process, *psutil.Process(process.pid).children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


@contextmanager
def dask_process(folder: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen]:
    """One of Dask's commands while it runs in the folder; in the end it is killed, with all that it
    started."""
    with (folder / "log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            ("python", "-m", "dask", *command),
            cwd=folder,
            env=ENVIRONMENT | environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        kill(process)


class Stops:
    """The processes that stop themselves; `environment` tells those that are started with it to."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.known: set[str] = set()

    def pids(self) -> dict[str, int]:
        texts = {
            marker.name: marker.read_text(encoding="utf-8") for marker in self.folder.iterdir()
        }
        return {name: int(text) for name, text in texts.items() if text}

    def next(self, process: subprocess.Popen) -> psutil.Process | None:
        """The next one that has stopped; None if `process`, which started it, ended before."""
        ended = False
        while not (new := self.pids().keys() - self.known):
            if ended:
                return None
            ended = process.poll() is not None
            time.sleep(0.01)
        name = new.pop()
        self.known.add(name)
        stopped = psutil.Process(self.pids()[name])
        until(lambda: stopped.status() == psutil.STATUS_STOPPED)
        return stopped


@contextmanager
def stopped_at(
    act: str,
    path: str,
    folder: Path,
    *,
    command: str = r"-m stages\.",
    nth: int = 1,
    each: bool = False,
) -> Iterator[Stops]:
    """Have a Python process stop before it does this, "open" or "os.rename", for the nth time to a
    path that matches, if its command line matches too: the first one to come to it, or each command
    once.

    It stops by SIGSTOP: it can be killed, or be resumed. What is stopped in the end is killed.
    """
    folder.mkdir()
    hook = str(Path(__file__).parent / "stops")
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, (hook, ENVIRONMENT.get("PYTHONPATH")))),
        "STOP_FOLDER": str(folder),
        "STOP_ACT": act,
        "STOP_PATH": path,
        "STOP_COMMAND": command,
        "STOP_NTH": str(nth),
        "STOP_EACH": "each" if each else "",
    }
    stops = Stops(folder, environment)
    try:
        yield stops
    finally:
        for pid in stops.pids().values():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if process.status() == psutil.STATUS_STOPPED:
                    process.send_signal(signal.SIGKILL)
