"""make: one .venv of one Python, with what the lock says; and what .ci/run runs."""

import re
import shutil
from pathlib import Path

import pytest

from common.project import ROOT, execute

# Says that it is some version of Python; it notes what else it is asked for.
PYTHON = """#!/bin/sh
case $1 in
    -c) echo {version} ;;
    *) echo "$0 $*" >>log ;;
esac
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path):
    """A project that has its Makefile, its locks and a Python to make .venv."""
    (tmp_path / "tests").mkdir()
    for name in ("Makefile", "requirements.txt", "tests/requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    executable(tmp_path / "bin/python3.11", PYTHON.format(version="3.11"))
    execute(tmp_path, "git", "init", "-q").check_returncode()
    return tmp_path


def with_venv(folder, version="3.11"):
    executable(folder / ".venv/bin/python", PYTHON.format(version=version))
    (folder / ".venv/bin/activate").touch()
    return folder


def make(folder, *words, **environment):
    environment |= {"PATH": f"{folder}/bin:/usr/bin:/bin", "MAKEFLAGS": "", "MAKELEVEL": ""}
    result = execute(folder, "make", ".venv/installed", *words, **environment)
    log = folder / "log"
    asked = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return result, [line.partition(" ")[2] for line in asked]


def test_a_lock_is_installed_once_and_again_when_its_content_changes(folder):
    with_venv(folder)
    install = "-m pip install --require-hashes -r requirements.txt"
    for text in ("one", "two"):
        (folder / "requirements.txt").write_text(text, encoding="utf-8")
        result, asked = make(folder)
        assert (result.returncode, asked[-1]) == (0, install)
        assert not [words for words in asked if "venv" in words]
        (folder / "requirements.txt").touch()  # as by git checkout
        result, asked = make(folder)
        assert (result.returncode, asked) == (0, [])


@pytest.mark.parametrize("installed", [".venv/installed", ".venv/installed-test"])
def test_a_package_that_no_lock_has_any_more_is_uninstalled(folder, installed):
    with_venv(folder)
    make(folder, installed)
    copy = folder / installed
    added = "gone==1.0 \\\n    --hash=sha256:00\ngone-too==2.0\n"
    copy.write_text(added + copy.read_text(encoding="utf-8"), encoding="utf-8")
    result, asked = make(folder, installed)
    assert result.returncode == 0, result.stderr
    removed = [words for words in asked if "uninstall" in words]
    assert removed == [f"-m pip uninstall --yes {name}" for name in ("gone", "gone-too")]
    assert make(folder, installed)[1] == []


def test_a_new_environment_is_made_once(folder):
    _, [first, *_] = make(folder)
    assert first == "-m venv .venv"


@pytest.mark.fault("another Python than that of .venv or of the lock")
@pytest.mark.parametrize("installed", [False, True])
def test_an_environment_of_another_python_is_left_alone(folder, installed):
    with_venv(folder, version="3.12")
    if installed:
        shutil.copy(folder / "requirements.txt", folder / ".venv/installed")
    result, asked = make(folder)
    assert (result.returncode, asked) == (2, [])
    assert result.stderr.splitlines()[0] == (
        "error: .venv has Python 3.12, but requirements.txt is for 3.11: remove .venv, and run "
        "make again"
    )


@pytest.mark.fault("another Python than that of .venv or of the lock")
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("python3.12", "python3.12 is Python 3.12, but requirements.txt is for 3.11"),
        ("/no/python", "/no/python does not run: install Python 3.11, or say where it is: "),
    ],
)
def test_another_python_is_refused(folder, exists, python, reason):
    executable(folder / "bin/python3.12", PYTHON.format(version="3.12"))
    if exists:
        with_venv(folder)
    result, asked = make(folder, f"PYTHON={python}")
    assert (result.returncode, asked) == (2, [])
    assert result.stderr.startswith(f"error: {reason}")


@pytest.mark.fault("another Python than that of .venv or of the lock")
def test_an_environment_whose_python_is_gone_is_named(folder):
    with_venv(folder)
    (folder / ".venv/bin/python").unlink()
    (folder / ".venv/bin/python").symlink_to("/no/python")
    result, _ = make(folder)
    assert result.stderr.startswith("error: the Python of .venv is gone: remove .venv, ")


def test_an_environment_that_was_moved_is_named(folder):
    with_venv(folder)
    executable(folder / ".venv/bin/dvc", "#!/old/.venv/bin/python\n")
    result, _ = make(folder)
    assert result.stderr.startswith("error: .venv was made in another folder, as its scripts say: ")
    executable(folder / ".venv/bin/dvc", "#!/bin/sh\n'''exec' \"/a path/.venv/bin/python\" ...\n")
    assert make(folder)[0].returncode == 0


@pytest.mark.parametrize("name", ["PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONWARNINGS"])
def test_the_users_python_variables_do_not_count(folder, name):
    text = PYTHON.format(version="3.11").replace("$*", "$* ${" + name + "-}")
    executable(with_venv(folder) / ".venv/bin/python", text)
    _, asked = make(folder, **{name: "/other"})
    assert asked and not [words for words in asked if "/other" in words]


def test_a_new_lock_is_noted_where_stages_depend_on_it(folder):
    with_venv(folder)
    versions = folder / "stages/core/base/versions.txt"
    versions.parent.mkdir(parents=True)
    shutil.copy(ROOT / "stages/core/base/versions.txt", versions)
    old = versions.read_text(encoding="utf-8")
    make(folder, ".venv/installed-test")
    uv = "#!/bin/sh\nsed -i 's/^numpy==.* /numpy==99.0 /' requirements.txt\n"
    executable(folder / ".venv/bin/uv", uv)
    result, _ = make(folder, "lock")
    assert result.returncode == 0, result.stderr
    assert versions.read_text(encoding="utf-8") == re.sub("numpy==.*", "numpy==99.0", old) != old


@pytest.fixture
def landing(tmp_path):
    """A repository whose .ci/run finds programs that do nothing but `dvc`, which a test gives."""
    project = tmp_path / "project"
    (project / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", project / ".ci/run")
    (project / "dvc.lock").write_text("made\n", encoding="utf-8")
    for command in ("init -q", "add -A", "commit -qm start"):
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        execute(project, "git", *identity, *command.split()).check_returncode()
    for name in ("make", "qemu-x86_64", "qemu-aarch64", "chromium", "sshd"):
        executable(tmp_path / "bin" / name, "#!/bin/sh\n")

    def land(dvc):
        executable(project / ".venv/bin/dvc", f"#!/bin/sh\n{dvc}\n")
        (tmp_path / "temporary").mkdir(exist_ok=True)
        path = f"{tmp_path}/bin:/usr/bin:/bin"
        result = execute(project, ".ci/run", PATH=path, TMPDIR=f"{tmp_path}/temporary")
        assert list((tmp_path / "temporary").iterdir()) == []  # nothing is left
        return result

    return land


def test_what_lands_is_made_anew_in_a_clone_without_cache_or_downloads(landing, tmp_path):
    (tmp_path / "project/.dvc/cache").mkdir(parents=True)
    log = 'echo "$*"; pwd; ls -A; echo "$XDG_CACHE_HOME"; ls -A "$XDG_CACHE_HOME"'
    result = landing(log)
    assert result.returncode == 0, result.stderr
    words, place, *files, downloads = result.stdout.splitlines()
    assert words.split()[0] == "repro" and not Path(place).is_relative_to(tmp_path / "project")
    assert set(files) == {".ci", ".git", "dvc.lock"}
    assert Path(downloads).is_relative_to(tmp_path / "temporary")


def test_what_lands_has_the_dvc_lock_that_is_made(landing):
    result = landing("echo other >dvc.lock")
    assert result.returncode == 1 and "+other" in result.stdout
    assert landing("exit 3").returncode == 3


def test_an_environment_may_be_a_link(tmp_path):
    """To a larger disk, or to another checkout's: git leaves it alone, and so do copies of ours."""
    execute(tmp_path, "git", "init", "-q").check_returncode()
    shutil.copy(ROOT / ".gitignore", tmp_path)
    (tmp_path / ".venv").symlink_to(tmp_path.parent)
    listed = execute(tmp_path, "git", "ls-files", "-co", "--exclude-standard")
    assert listed.stdout == ".gitignore\n"
