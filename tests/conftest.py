"""What tests share: the pipeline, run once in a copy of the project, and ways to run it again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from stages.core.command import run
from stages.core.numerics import torch  # noqa: F401  before any test imports torch

import psutil
import pytest
from playwright.sync_api import Browser, sync_playwright

from pages import CHROMIUM, SWITCHES
from processors import MADE_OF_DATA

ROOT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def execute(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a command with this environment's Python and dvc first on the path."""
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True
    )


def below(process: subprocess.Popen, word: str) -> list[psutil.Process]:
    """The processes below this one that have the word on their command lines and still run."""
    found = []
    for each in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any(word in argument for argument in each.cmdline()):
                found.append(each)
    return found


@contextmanager
def dask_process(folder: Path, *command: str) -> Iterator[subprocess.Popen]:
    """One of Dask's commands while it runs in the folder; in the end it is killed, with all that it
    started."""
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            ("python", "-m", "dask", *command), cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        for each in (process, *psutil.Process(process.pid).children(recursive=True)):
            each.kill()
        process.wait()


def copy_project(folder: Path) -> Path:
    """The files that git knows or would add, as they are now, in a repository of their own."""
    files = execute(ROOT, "git", "ls-files", "-co", "--exclude-standard", "-z").stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for command in (
        "git init -q",
        "git config user.name Test",
        "git config user.email test@example.org",
        "git add -A",
        "git commit -qm start",
    ):
        execute(folder, *command.split()).check_returncode()
    return folder


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which `dvc repro` ran once, from the sources. Not to be changed."""
    folder = copy_project(tmp_path_factory.mktemp("pipeline"))
    result = execute(folder, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def copy_pipeline(pipeline: Path, folder: Path) -> Path:
    """A copy of the project after `dvc repro`, to be changed; its cache is linked."""
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.copytree(pipeline / ".dvc/cache", folder / ".dvc/cache", copy_function=os.link)
    return folder


@pytest.fixture
def project(pipeline: Path, tmp_path: Path) -> Path:
    """A copy of the project after `dvc repro`, to be changed."""
    return copy_pipeline(pipeline, tmp_path / "project")


@pytest.fixture
def emptied(project: Path) -> Path:
    """A project with its downloads alone: no other output, none in the cache."""
    shutil.rmtree(project / "artifacts")
    for name in MADE_OF_DATA:
        (project / "data" / name).unlink()
    shutil.rmtree(project / "data/sample_images")
    shutil.rmtree(project / ".dvc/cache")
    execute(project, "dvc", "commit", "--force", "--quiet", "download_mnist", "download_alexnet")
    return project


class Disk:
    """A disk in memory, mounted at `path`: as small as a test needs it, full, or read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mount(self, options: str) -> None:
        """Mount it with options such as `size=4m`, or change those that it has."""
        remount = "remount," if self.path.is_mount() else ""
        self.path.mkdir(exist_ok=True)
        command = ("mount", "-t", "tmpfs", "-o", f"{remount}{options}", "tmpfs", str(self.path))
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            pytest.skip(f"no disk can be mounted: {result.stderr.strip()}")

    def fill(self) -> Path:
        """Take all the space that is left; the file that takes it."""
        filler = self.path / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
        return filler


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that is mounted by whoever uses it; that takes root, and is skipped without."""
    disk = Disk(tmp_path / "disk")
    yield disk
    if disk.path.is_mount():
        subprocess.run(("umount", "--lazy", str(disk.path)), check=True)


@pytest.fixture
def failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[[ModuleType, str], str]:
    """Run a stage that must fail; its message, after exit status 1 and with no output written."""

    def fail(stage: ModuleType, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [stage.__name__, *arguments])
        with pytest.raises(SystemExit) as caught:
            run(stage.main, models=arguments)
        message = caught.value.code  # a text: Python prints it and exits with status 1
        assert isinstance(message, str) and message.startswith("error: "), message
        return message.removeprefix("error: ")

    return fail


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()
