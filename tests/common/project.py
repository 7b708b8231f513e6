"""Copies of the project, and commands that run in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {  # without what `make test` tells a make that it starts
    name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
} | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
LOCK = (ROOT / "dvc.lock").read_bytes()

REPRO = ("python", "-m", "stages.tools.repro")
COMPARE = ("python", "-m", "stages.tools.compare")
CHECK = ("python", "-m", "stages.tools.check")
SWEEP = ("python", "-m", "stages.tools.sweep")


def execute(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a command with this environment's Python and dvc first on the path."""
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True
    )


def ran(result: subprocess.CompletedProcess) -> set[str]:
    """The addresses of the stages that a `dvc repro` ran."""
    assert result.returncode == 0, result.stdout + result.stderr
    return {
        line.split("'")[1]
        for line in result.stdout.splitlines()
        if line.startswith("Running stage ")
    }


def copy_project(folder: Path) -> Path:
    """The files that git knows or would add, as they are now, in a repository of their own."""
    files = execute(ROOT, "git", "ls-files", "-co", "--exclude-standard", "-z").stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for command in (  # whatever the user's own settings of git are
        "git init -q --initial-branch=master",
        "git config user.name Test",
        "git config user.email test@example.org",
        "git config commit.gpgsign false",
        "git config core.hooksPath .git/hooks",
        "git add -A",
        "git commit -qm start",
    ):
        execute(folder, *command.split()).check_returncode()
    return folder


def copy_pipeline(pipeline: Path, folder: Path) -> Path:
    """A copy of the project after `dvc repro`, to be changed; its cache is linked."""
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.copytree(pipeline / ".dvc/cache", folder / ".dvc/cache", copy_function=os.link)
    return folder


def copy_with(pipeline: Path, folder: Path, *inputs: str) -> Path:
    """A copy of the project with nothing of data/ and artifacts/ but these."""
    copy_project(folder)
    for name in inputs:
        if (pipeline / name).is_dir():
            shutil.copytree(pipeline / name, folder / name)
        else:
            shutil.copy(pipeline / name, folder / name)
    return folder
