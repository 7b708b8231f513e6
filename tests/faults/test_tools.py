"""Commands beside the pipeline, where DVC or git are not as they should be, or at work."""

import os
import shutil
from pathlib import Path

import pytest

from stages.core.base.addresses import shown

from common.processes import PARTIAL, assert_made, start, stopped_at
from common.project import CHECK, COMPARE, REPRO, ROOT, copy_project, copy_with, execute

PAGE = "artifacts/compare.html"
TOOLS = {
    "check": CHECK,
    "compare": (*COMPARE, PAGE, "workspace", "HEAD"),
    "compare HEAD": (*COMPARE, PAGE, "HEAD"),
    "repro": (*REPRO, "--jobs", "1"),
    "repro side by side": REPRO,
}
ON_FILES = [tool for tool in TOOLS if tool != "compare HEAD"]  # those that read what is here
ON_GIT = [tool for tool in TOOLS if tool != "compare"]


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
        assert process.wait() == 0, (project / "log").read_text(encoding="utf-8")
    assert_made(project, pipeline, "convolve")
    folder = "artifacts/convolution"
    names = [{path.name for path in (root / folder).iterdir()} for root in (project, pipeline)]
    assert names[0] == names[1]


@pytest.mark.fault("`make check` while another DVC writes into the same cache")
def test_check_leaves_alone_what_is_written_into_the_cache(tmp_path):
    project = copy_project(tmp_path / "project")
    written = project / ".dvc/cache/files/md5/ab/.Fg5d2kJ.tmp"
    written.parent.mkdir(parents=True)
    written.write_text("half", encoding="utf-8")
    assert execute(project, *CHECK).returncode == 0
    assert written.exists()


def edited(name: str, line: str):
    return lambda project: (project / name).open("a", encoding="utf-8").write(line)


def another_owner(project: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    for path in (project, *project.rglob("*")):
        os.chown(path, 12345, -1)


def without_commits(project: Path) -> None:
    shutil.rmtree(project / ".git")
    execute(project, "git", "init", "-q").check_returncode()


def as_file(project: Path) -> None:
    (project / ".dvc/tmp").write_text("", encoding="utf-8")


@pytest.mark.slow
@pytest.mark.fault("a project that DVC or git cannot read")
@pytest.mark.parametrize(
    ("break_it", "words", "tools"),
    [
        (another_owner, "git config --global --add safe.directory", ["compare HEAD"]),
        (lambda project: shutil.rmtree(project / ".git"), "is not a git repository", ON_GIT),
        (without_commits, "unknown Git revision", ["compare HEAD"]),
        (lambda project: shutil.rmtree(project / ".dvc"), "not inside of a DVC repository", TOOLS),
        (lambda project: (project / "dvc.yaml").unlink(), "no dvc.yaml with stages", ["check"]),
        (edited("dvc.yaml", "  - ["), "dvc.yaml", ON_FILES),
        (edited("dvc.lock", "<<<<<<< HEAD\n"), "dvc.lock", ON_FILES),
        (edited("params.yaml", "  - ["), "params.yaml", ON_FILES),
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


@pytest.mark.fault("a standard output that is full or closed")
@pytest.mark.parametrize("tool", ["check", "compare", "repro", "repro side by side"])
def test_what_cannot_be_printed_is_one_line(project, tool):
    full = ("sh", "-c", '"$@" > /dev/full', "sh", *TOOLS[tool])
    for buffered in ("", "1"):
        result = execute(project, *full, PYTHONUNBUFFERED=buffered)
        *of_dvc, line = result.stderr.splitlines()
        assert (result.returncode, line) == (
            1,
            "error: standard output: No space left on device",
        )
        assert len(of_dvc) == (tool == "repro") and "Traceback" not in result.stderr
    closed = ("sh", "-c", '"$@" >&-', "sh", *TOOLS[tool])
    result = execute(project, *closed)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.fault("a tool that is started in another folder")
def test_a_tool_says_in_which_folder_it_works(tmp_path):
    project = copy_project(tmp_path / "the project")
    expected = f"error: run this in the project's folder: cd '{project}'\n"
    for tool, command in TOOLS.items():
        result = execute(project / "docs", *command, PYTHONPATH=str(project))
        assert (result.returncode, result.stdout, result.stderr) == (1, "", expected), tool


@pytest.mark.fault("a revision that is no commit")
@pytest.mark.parametrize("what", ["HEAD:README.md", "HEAD^{tree}", "HEAD:stages"])
def test_a_revision_that_is_no_commit_is_said_to_be_none(tmp_path, what):
    project = copy_project(tmp_path / "project")
    result = execute(project, *COMPARE, PAGE, what, "HEAD")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: {what} is a file or a folder in a commit; name the commit alone\n"
    )


@pytest.mark.fault("an address of a cluster that is none")
@pytest.mark.parametrize("address", ["nonsense", "", "tcp://", "tcp://host", "tcp://host:port"])
def test_an_address_that_is_none_is_said_at_once(address):
    """Though there is nothing to do."""
    result = execute(ROOT, *REPRO, "--scheduler", address)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: --scheduler is {shown(address)!r}; it should be as in tcp://HOST:PORT\n"
    )


# What brings about each of DVC's messages on the page.
PHOTO = "dvc repro prepare_photo"


def photo(path: str) -> str:
    return f"sed -i 's/path: data.gr.*/path: {path}/' params.yaml; {PHOTO}"


def elsewhere(folder: str, command: str) -> str:
    return f"cp -r . '../{folder}'; cd '../{folder}'; {command}"


SAYINGS = {
    "failed to reproduce": f"sed -i 's/size: 631/size: 1/' params.yaml; {PHOTO}",
    "Having any troubles?": photo("2024"),
    "No such file or directory": photo("a.jpg"),
    "Same item(s) are defined": photo("data"),
    "Could not find": f"sed -i '/path: data.gr/d' params.yaml; {PHOTO}",
    "Cannot interpolate data of type": photo("[a]"),
    "YAML file structure is corrupted": f"echo '  - [' >> params.yaml; {PHOTO}",
    "possible merge conflicts": f"echo '<<<<<<< HEAD' >> dvc.lock; {PHOTO}",
    "Is your cache up to date?": "dvc checkout",
    "No remote provided": "dvc pull",
    "Unable to acquire lock": f"mkdir -p .dvc/tmp; flock .dvc/tmp/lock {PHOTO}",
    "it is being blocked by": (
        """mkdir -p .dvc/tmp; lock='"write": {"'$PWD'/data/photo.png": {"pid": 1, "cmd": "x"}}';"""
        f"""echo "{{$lock, \\"read\\": {{}}}}" > .dvc/tmp/rwlock; {PHOTO}"""
    ),
    "Unable to read RWLock-file": f"mkdir -p .dvc/tmp; echo '{{' > .dvc/tmp/rwlock; {PHOTO}",
    "is not owned by current user": "chown -R 12345 .; dvc exp show",
    "is not a git repository": f"rm -r .git; {PHOTO}",
    "you are not inside of a DVC repository": f"rm -r .dvc; {PHOTO}",
    "Git failed to push": elsewhere("a#b", "dvc exp run --temp prepare_photo"),
    "can't encode character": elsewhere("ü", "dvc exp run --temp prepare_photo"),
    "out of range for positional args": elsewhere("a{}b", PHOTO),
    "No module named 'stages'": f"PYTHONSAFEPATH=1 {PHOTO}",
    "This account is currently not available": f"SHELL=/usr/sbin/nologin {PHOTO}",
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
