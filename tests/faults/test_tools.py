"""Commands beside the pipeline, where DVC or git are not as they should be, or at work."""

import os
import shutil
from pathlib import Path

import pytest

from common.processes import PARTIAL, assert_made, start, stopped_at
from common.project import CHECK, COMPARE, REPRO, ROOT, copy_project, copy_with, execute

PAGE = "artifacts/compare.html"
TOOLS = {
    "check": CHECK,
    "compare": (*COMPARE, PAGE, "HEAD"),
    "repro": (*REPRO, "--jobs", "1"),
    "repro side by side": REPRO,
}


@pytest.mark.slow
@pytest.mark.fault("`make check` while a stage writes")
def test_check_leaves_alone_what_a_running_stage_writes(pipeline, tmp_path):
    """The stage has two of its figures when it stops."""
    project = copy_with(pipeline, tmp_path / "project", "data/photo.png")
    with stopped_at("os.rename", PARTIAL, tmp_path / "stops", nth=3) as stops:
        process = start(project, "--single-item", "convolve", **stops.environment)
        stage = stops.next(process)
        before = sorted((project / "artifacts").rglob("*"))
        assert len(before) >= 3
        result = execute(project, *CHECK)
        assert (result.returncode, result.stdout) == (1, "")
        [line] = result.stderr.splitlines()
        assert line.startswith("error: wait until DVC has finished: ")
        assert sorted((project / "artifacts").rglob("*")) == before
        stage.resume()
        assert process.wait() == 0, (project / "log").read_text()
    assert execute(project, *CHECK).stdout == "Every file has the right digest.\n"
    assert_made(project, pipeline, "convolve")


@pytest.mark.fault("`make check` while another DVC writes into the same cache")
def test_check_leaves_alone_what_is_written_into_the_cache(tmp_path):
    project = copy_project(tmp_path / "project")
    written = project / ".dvc/cache/files/md5/ab/.Fg5d2kJ.tmp"
    written.parent.mkdir(parents=True)
    written.write_text("half")
    assert execute(project, *CHECK).returncode == 0
    assert written.exists()


def edited(name: str, line: str):
    return lambda project: (project / name).open("a").write(line)


def another_owner(project: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    for path in (project, *project.rglob("*")):
        os.chown(path, 12345, -1)


def without_commits(project: Path) -> None:
    shutil.rmtree(project / ".git")
    execute(project, "git", "init", "-q").check_returncode()


def as_file(project: Path) -> None:
    (project / ".dvc/tmp").write_text("")


@pytest.mark.slow
@pytest.mark.fault("a project that DVC or git cannot read")
@pytest.mark.parametrize(
    ("break_it", "words", "tools"),
    [
        (another_owner, "git config --global --add safe.directory", ["compare"]),
        (lambda project: shutil.rmtree(project / ".git"), "is not a git repository", TOOLS),
        (without_commits, "", ["compare"]),
        (lambda project: shutil.rmtree(project / ".dvc"), "not inside of a DVC repository", TOOLS),
        (lambda project: (project / "dvc.yaml").unlink(), "no dvc.yaml with stages", ["check"]),
        (edited("dvc.yaml", "  - ["), "dvc.yaml", TOOLS),
        (edited("dvc.lock", "<<<<<<< HEAD\n"), "dvc.lock", TOOLS),
        (edited("params.yaml", "  - ["), "params.yaml", TOOLS),
        (edited(".dvc/config", "x["), "config", TOOLS),
        (as_file, ".dvc/tmp", ["check", "compare"]),
    ],
)
def test_whatever_dvc_raises_is_one_line(tmp_path, break_it, words, tools):
    project = copy_project(tmp_path / "project")
    break_it(project)
    for tool in tools:
        result = execute(project, *TOOLS[tool])
        assert result.returncode not in (0, None), tool
        assert "Traceback" not in result.stderr and words in result.stderr, (tool, result.stderr)
        if tool != "repro":  # which is DVC's own
            [line] = result.stderr.splitlines()
            assert line.startswith("error: "), tool


@pytest.mark.slow
@pytest.mark.fault("a commit that a shallow clone lacks")
def test_a_shallow_clone_is_said_to_be_one(tmp_path):
    """And nothing is said of the files that git had open."""
    project = copy_project(tmp_path / "project")
    execute(project, "git", "commit", "-q", "--allow-empty", "-m", "next").check_returncode()
    url = project.as_uri()
    execute(tmp_path, "git", "clone", "-q", "--depth", "1", url, "clone").check_returncode()
    result = execute(tmp_path / "clone", *COMPARE, PAGE, "HEAD~1")
    assert result.returncode == 1
    assert result.stderr == (
        "error: HEAD~1: unknown Git revision 'HEAD~1'; this clone is shallow: "
        "`git fetch --unshallow` brings all commits\n"
    )


# What brings about each of DVC's messages on the page.
PHOTO = "dvc repro prepare_photo"


def photo(path: str) -> str:
    return f"sed -i 's/path: data.gr.*/path: {path}/' params.yaml; {PHOTO}"


SAYINGS = {
    "failed to reproduce": f"sed -i 's/size: 631/size: 1/' params.yaml; {PHOTO}",
    "Having any troubles?": photo("2024"),
    "No such file or directory": photo("a.jpg"),
    "Could not find": f"sed -i '/path: data.gr/d' params.yaml; {PHOTO}",
    "Cannot interpolate data of type": photo("[a]"),
    "YAML file structure is corrupted": f"echo '  - [' >> params.yaml; {PHOTO}",
    "possible merge conflicts": f"echo '<<<<<<<' >> dvc.lock; {PHOTO}",
    "Is your cache up to date?": "dvc checkout",
    "Unable to acquire lock": f"mkdir -p .dvc/tmp; flock .dvc/tmp/lock {PHOTO}",
    "it is being blocked by": (
        'mkdir -p .dvc/tmp; echo \'{"\'$PWD\'/data/photo.png": {"write": {"pid": 1, '
        f'"cmd": "dvc"}}, "read": []}}}}\' > .dvc/tmp/rwlock; {PHOTO}'
    ),
    "Unable to read RWLock-file": f"mkdir -p .dvc/tmp; echo '{{' > .dvc/tmp/rwlock; {PHOTO}",
    "is not owned by current user": "chown -R 12345 .; dvc exp show",
    "is not a git repository": f"rm -r .git; {PHOTO}",
    "you are not inside of a DVC repository": f"rm -r .dvc; {PHOTO}",
    "Failed": (
        "dvc exp run --queue -S photo.path=a.jpg prepare_photo; dvc exp run --run-all; "
        "dvc queue status"
    ),
}


def test_the_page_has_every_message_that_is_tried():
    page = (ROOT / "docs/when-dvc-says.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert headings == [*SAYINGS]


@pytest.mark.slow
@pytest.mark.parametrize("saying", SAYINGS)
def test_dvc_says_what_the_page_explains(tmp_path, saying):
    if "chown" in SAYINGS[saying] and os.getuid():
        pytest.skip("only root can give a folder away")
    project = copy_project(tmp_path / "project")
    result = execute(project, "sh", "-c", SAYINGS[saying])
    assert saying in result.stdout + result.stderr, result.stdout + result.stderr
