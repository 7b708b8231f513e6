"""make: one .venv of one Python, with what the lock says; and what .ci/run runs."""

import re
import shutil
import sys
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

FILES = ("Makefile", "requirements.txt", "tests/requirements.txt", "stages/tools/environment.sh")
NONE = ("", "3", "3.12", "3.13", "3.14")  # of these Pythons, whatever the machine has


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path):
    """A project that has its Makefile, its locks and a Python to make .venv."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    executable(tmp_path / "bin/python3.11", PYTHON.format(version="3.11"))
    for version in NONE:
        executable(tmp_path / "bin" / f"python{version}", "#!/bin/sh\nexit 127\n")
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


@pytest.mark.parametrize(
    ("there", "newest"),
    [
        ({}, "3.11"),
        ({"3.13": "3.13"}, "3.13"),
        ({"3.12": "3.12", "3.14": "3.14"}, "3.14"),
        ({"3.15": "3.15", "": "3.15", "3": "3.15"}, "3.11"),  # too new for the locks
        ({"3.13": "3.13", "3.14": '3.14; [ -n "${2##*venv}" ]'}, "3.13"),  # without Debian's venv
    ],
)
def test_a_new_environment_is_made_once_of_the_newest_python(folder, there, newest):
    for name, version in there.items():
        executable(folder / f"bin/python{name}", PYTHON.format(version=version))
    result, [first, *_] = make(folder)
    assert first == "-m venv .venv"
    said = f"Python {newest} makes .venv: {folder}/bin/python{newest}"
    assert result.stdout.splitlines()[0] == said


def test_a_python_that_has_no_version_in_its_name_will_do(folder):
    (folder / "bin/python3.11").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    executable(folder / "bin/python", PYTHON.format(version="3.12"))
    assert make(folder)[0].stdout.startswith(f"Python 3.12 makes .venv: {folder}/bin/python\n")


def test_an_environment_that_was_half_made_is_finished_by_the_same_python(folder):
    with_venv(folder)
    (folder / ".venv/bin/activate").unlink()
    executable(folder / "bin/python3.13", PYTHON.format(version="3.13"))
    result, _ = make(folder)
    assert result.stdout.startswith("Python 3.11 makes .venv: ")


@pytest.mark.fault("no Python that the locks are for")
def test_without_a_python_that_will_do_make_says_so(folder):
    (folder / "bin/python3.11").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    executable(folder / "bin/python3", PYTHON.format(version="3.9"))
    result, asked = make(folder)
    assert (result.returncode, asked) == (2, [])
    assert result.stderr.splitlines()[0] == (
        "error: no Python 3.11 to 3.14 with venv is found: install one, with its python3-venv on "
        "Debian or Ubuntu, or say where it is: make PYTHON=/path/to/python3.14"
    )


@pytest.mark.fault("another Python than that of .venv or of the lock")
@pytest.mark.parametrize("installed", [False, True])
def test_an_environment_of_a_python_that_no_lock_is_for_is_left_alone(folder, installed):
    with_venv(folder, version="3.10")
    if installed:
        shutil.copy(folder / "requirements.txt", folder / ".venv/installed")
    result, asked = make(folder)
    assert (result.returncode, asked) == (2, [])
    assert result.stderr.splitlines()[0] == (
        "error: .venv has Python 3.10, but requirements.txt is for 3.11 to 3.14: remove .venv, and "
        "run make again"
    )


@pytest.mark.fault("another Python than that of .venv or of the lock")
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("python3.10", "python3.10 is Python 3.10, but requirements.txt is for 3.11 to 3.14"),
        ("/no/python", "/no/python does not run: install one of Python 3.11 to 3.14, or say "),
    ],
)
def test_another_python_is_refused(folder, exists, python, reason):
    executable(folder / "bin/python3.10", PYTHON.format(version="3.10"))
    if exists:
        with_venv(folder)
    result, asked = make(folder, f"PYTHON={python}")
    assert (result.returncode, asked) == (2, [])
    assert result.stderr.startswith(f"error: {reason}")


@pytest.mark.fault("another Python than that of .venv or of the lock")
def test_an_environment_of_another_python_than_is_asked_for_is_left_alone(folder):
    executable(folder / "bin/python3.13", PYTHON.format(version="3.13"))
    result, asked = make(with_venv(folder), "PYTHON=python3.13")
    assert (result.returncode, asked) == (2, [])
    assert result.stderr.splitlines()[0] == (
        "error: .venv has Python 3.11, but python3.13 is Python 3.13: remove .venv, and run make "
        "again"
    )


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


def test_the_pytorch_of_another_python_is_lent_and_none_installed(folder):
    result, [first, *_] = make(folder, "TORCH=mine", "PYTHON=python3.11")
    assert (result.returncode, first) == (2, "-P stages/tools/lend_torch.py .venv")

    (with_venv(folder) / ".venv/torch").touch()  # as that makes it
    for words in (["TORCH=mine"], []):  # from now on, it need not be said
        result, asked = make(folder, ".venv/installed-test", *words)
        assert result.returncode == 0, result.stderr
    text = (folder / ".venv/lock.txt").read_text(encoding="utf-8")
    whole = (folder / "tests/requirements.txt").read_text(encoding="utf-8")
    names, locked = (set(re.findall(r"^[\w.-]+(?===)", lock, re.M)) for lock in (text, whole))
    of_torch = locked - names
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-bindings"} <= of_torch
    assert all(re.match("torch|triton|nvidia-|cuda-", name) for name in of_torch)
    assert text.count("--hash") > 1000 and re.match(r"[a-z]", text)


@pytest.mark.fault("a PyTorch of one's own that will not do")
@pytest.mark.parametrize(
    ("torch", "torchvision", "reason"),
    [
        ("2.7.1", "", "has torch 2.7.1: it should be 2.8 or newer"),
        (
            "2.13.0+cpu",
            "raise RuntimeError('operator torchvision::nms does not exist')",
            "cannot import torch and torchvision: operator torchvision::nms does not exist",
        ),
    ],
)
def test_a_pytorch_that_will_not_do_is_named(tmp_path, torch, torchvision, reason):
    (tmp_path / "torch.py").write_text(f"__version__ = {torch!r}", encoding="utf-8")
    (tmp_path / "torchvision.py").write_text(torchvision, encoding="utf-8")
    lend = (sys.executable, "-P", "stages/tools/lend_torch.py", str(tmp_path / "venv"))
    result = execute(ROOT, *lend, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1 and not (tmp_path / "venv").exists()
    assert result.stderr == f"error: {sys.executable} {reason}\n"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("TORCH=mine", ".venv has a PyTorch of its own: remove .venv, and run make again"),
        ("TORCH=cpu", "TORCH=cpu: it can be TORCH=mine, or be left out"),
    ],
)
def test_a_wrong_wish_for_pytorch_is_named(folder, word, reason):
    result, asked = make(with_venv(folder), word)
    assert (result.returncode, asked) == (2, [])
    assert result.stderr.splitlines()[0] == f"error: {reason}"


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
    """A repository whose .ci/run finds programs that do nothing but `dvc`, which a test gives, and
    `make`, which lists what it is asked for."""
    project = tmp_path / "project"
    (project / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", project / ".ci/run")
    (project / "dvc.lock").write_text("made\n", encoding="utf-8")
    for command in ("init -q", "add -A", "commit -qm start"):
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        execute(project, "git", *identity, *command.split()).check_returncode()
    for name in ("qemu-x86_64", "qemu-aarch64", "chromium", "firefox-esr", "sshd"):
        executable(tmp_path / "bin" / name, "#!/bin/sh\n")
    for version in NONE:
        executable(tmp_path / "bin" / f"python{version}", "#!/bin/sh\nexit 127\n")
    executable(project / ".venv/bin/python", PYTHON.format(version="3.11"))

    def land(dvc, make=""):
        executable(project / ".venv/bin/dvc", f"#!/bin/sh\n{dvc}\n")
        asked = f'echo "make $*, in $(pwd)" >>"{tmp_path}/made"'
        in_a_clone = f"case $(pwd) in */project) ;; *) {make or ':'} ;; esac"
        executable(tmp_path / "bin/make", f"#!/bin/sh\n{asked}\n{in_a_clone}\n")
        (tmp_path / "temporary").mkdir(exist_ok=True)
        environment = {"TMPDIR": f"{tmp_path}/temporary", "HOME": f"{tmp_path}/home"}
        path = f"{tmp_path}/bin:/usr/bin:/bin"
        result = execute(project, ".ci/run", PATH=path, **environment)
        assert list((tmp_path / "temporary").iterdir()) == []  # nothing is left
        return result

    return land


def test_what_lands_is_made_anew_in_a_clone_without_cache_or_downloads(landing, tmp_path):
    (tmp_path / "project/.dvc/cache").mkdir(parents=True)
    log = 'echo "$*"; pwd; ls -A; echo "$XDG_CACHE_HOME"; ls -A "$XDG_CACHE_HOME"'
    result = landing(log)
    assert result.returncode == 0, result.stderr
    words, place, *files, downloads, warning = result.stdout.splitlines()
    assert words.split()[0] == "repro" and not Path(place).is_relative_to(tmp_path / "project")
    assert set(files) == {".ci", ".git", "dvc.lock"}
    assert Path(downloads).is_relative_to(tmp_path / "temporary")
    assert warning == "warning: no other Python than 3.11 is found, so it was not tried"


def test_what_lands_has_the_dvc_lock_that_is_made(landing):
    result = landing("echo other >dvc.lock")
    assert result.returncode == 1 and "+other" in result.stdout
    assert landing("exit 3").returncode == 3


@pytest.mark.parametrize(
    ("place", "version"),
    [("bin/python3.13", "3.13"), ("home/.pyenv/versions/3.12.1/bin/python", "3.12")],
)
def test_what_lands_is_made_with_another_python_too_where_there_is_one(
    landing, tmp_path, place, version
):
    executable(tmp_path / "bin/python3.11", PYTHON.format(version="3.11"))  # that is no other one
    other = executable(tmp_path / place, PYTHON.format(version=version))
    with_venv = "mkdir -p .venv/bin && ln -sf /bin/echo .venv/bin/python"
    result = landing("", with_venv)
    assert result.returncode == 0, result.stderr
    words = "-m pytest -m not slow --numprocesses 2 --dist worksteal tests/unit"
    assert result.stdout.splitlines()[-1] == words
    asked = (tmp_path / "made").read_text(encoding="utf-8").splitlines()[-2:]
    name = other if "pyenv" in place else other.name
    assert [words.partition(", in ")[0] for words in asked] == [
        f"make repro PYTHON={name}",
        "make .venv/installed-test",
    ]
    result = landing("", f"{with_venv}; echo other >dvc.lock")
    assert result.returncode == 1 and "+other" in result.stdout


def test_an_environment_may_be_a_link(tmp_path):
    """To a larger disk, or to another checkout's: git leaves it alone, and so do copies of ours."""
    execute(tmp_path, "git", "init", "-q").check_returncode()
    shutil.copy(ROOT / ".gitignore", tmp_path)
    (tmp_path / ".venv").symlink_to(tmp_path.parent)
    listed = execute(tmp_path, "git", "ls-files", "-co", "--exclude-standard")
    assert listed.stdout == ".gitignore\n"
