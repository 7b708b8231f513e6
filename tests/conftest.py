"""What tests share: the pipeline, run once in a copy of the project, and ways to run it again."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright

from common import graph, parameters
from common.pages import CHROMIUM, SWITCHES
from common.processes import PATIENCE
from common.project import copy_pipeline, copy_project, execute
from common.stages import run_stage

MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """For a folder by its name that one process of this run of the tests makes, and all of them
    use: not to be changed after that."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, outcome = shared / "made" / name, shared / "made" / f"{name}.outcome"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(shared / "made" / f"{name}.lock"):
            if not outcome.exists():
                outcome.write_text("it was tried, and failed", encoding="utf-8")
                make(folder)
                outcome.write_text("", encoding="utf-8")
        assert not outcome.read_text(encoding="utf-8"), (
            f"{name}: {outcome.read_text(encoding='utf-8')}"
        )
        return folder

    return once


@pytest.fixture(scope="session")
def downloads(made_once: MadeOnce) -> Path:
    """A folder with the downloads alone, as their stages make them. Not to be changed."""

    def make(folder: Path) -> None:
        copy_project(folder)
        for stage in graph.downloads().values():
            result = execute(folder, *stage.cmd.split())
            assert result.returncode == 0, result.stderr

    return made_once("downloads", make)


@pytest.fixture(scope="session")
def pipeline(made_once: MadeOnce) -> Path:
    """A copy of the project in which `dvc repro` ran once, from the sources. Not to be changed."""

    def make(folder: Path) -> None:
        result = execute(copy_project(folder), "dvc", "repro")
        assert result.returncode == 0, result.stdout + result.stderr

    return made_once("pipeline", make)


@pytest.fixture
def project(pipeline: Path, tmp_path: Path) -> Path:
    """A copy of the project after `dvc repro`, to be changed."""
    return copy_pipeline(pipeline, tmp_path / "project")


@pytest.fixture(scope="session")
def small_pipeline(pipeline: Path, made_once: MadeOnce) -> Path:
    """The same with few images, which is committed there. Not to be changed."""

    def make(folder: Path) -> None:
        copy_pipeline(pipeline, folder)
        params = parameters.read()
        parameters.few_images(params)
        parameters.write(params, folder)
        for command in ("dvc repro", "git commit -qam few"):
            result = execute(folder, *command.split())
            assert result.returncode == 0, result.stdout + result.stderr

    return made_once("small_pipeline", make)


@pytest.fixture
def emptied(small_pipeline: Path, tmp_path: Path) -> Path:
    """A project of few images with its downloads alone: no other output, none in the cache."""
    project = copy_pipeline(small_pipeline, tmp_path / "project")
    for path in graph.outs(*graph.made_here()):
        if (project / path).is_dir():
            shutil.rmtree(project / path)
        else:
            (project / path).unlink()
    shutil.rmtree(project / ".dvc/cache")
    execute(project, "dvc", "commit", "--force", "--quiet", *graph.downloads()).check_returncode()
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
def failure() -> Callable[[str], str]:
    """Run a stage that must fail; its message, after exit status 1 and with no output written."""

    def fail(address: str) -> str:
        with pytest.raises(SystemExit) as caught:
            run_stage(address)
        message = caught.value.code  # a text: Python prints it and exits with status 1
        assert isinstance(message, str) and message.startswith("error: "), message
        return message.removeprefix("error: ")

    return fail


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Has PyTorch compute in one thread. For small tensors, more of them only wait."""
    import torch  # only where it is used, for it takes long

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=SWITCHES, timeout=PATIENCE * 1000
        )
        yield browser
        browser.close()
