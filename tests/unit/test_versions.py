"""The versions that the outputs' bytes depend on: those of the lock, and a warning about others."""

import re
import sys
import tomllib

import pytest
import yaml

from stages.core.base.versions import LOCKED, other_versions

from common.graph import graph
from common.project import ROOT


def versions(lock):
    return set(re.findall(r"^[a-z0-9-]+==[^ \n]+", lock.read_text(encoding="utf-8"), re.MULTILINE))


def test_they_are_the_locks_and_every_stage_depends_on_them():
    assert versions(LOCKED) and versions(LOCKED) <= versions(ROOT / "requirements.txt")
    folder = str(LOCKED.parent.relative_to(ROOT))
    for stage in graph():
        assert folder in {dep.def_path for dep in stage.deps}


@pytest.mark.parametrize("lock", ["requirements.txt", "tests/requirements.txt"])
def test_a_lock_has_one_version_of_each_package_for_every_python_and_system(lock):
    """A lock for all may give systems versions of their own; then their bytes may be others."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    names = re.findall(r"^[\w.-]+(?===)", text, re.MULTILINE)
    assert len(names) > 100 and len(names) == len({*names})
    assert re.search("^pywin32==.*sys_platform == 'win32'", text, re.MULTILINE)


def test_every_supported_python_is_named_alike():
    """In pyproject.toml, in the Makefile, and in what is tested on other machines."""
    [versions] = re.findall("^VERSIONS = ([^#]*)#", (ROOT / "Makefile").read_text("utf-8"), re.M)
    oldest, *_, newest = versions.split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["requires-python"] == f">={oldest}"
    assert project["tool"]["mypy"]["python_version"] == oldest
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["elsewhere"]["strategy"]["matrix"]["python"] == [oldest, newest]
    assert f"Python {oldest} to {newest}" in (ROOT / "README.md").read_text("utf-8")


def test_what_is_locked_is_installed():
    import jinja2
    import matplotlib
    import pyarrow  # noqa: F401  imported, so that their versions are looked at, too

    assert {jinja2.__name__, matplotlib.__name__} < sys.modules.keys()
    assert list(other_versions()) == []


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("numpy", "numpy")])
def test_another_version_is_warned_of(monkeypatch, module, package):
    import PIL  # noqa: F401

    locked = dict(line.split("==") for line in LOCKED.read_text(encoding="utf-8").splitlines())[
        package
    ]
    monkeypatch.setattr(sys.modules[module], "__version__", "1.0")
    [warning] = other_versions()
    assert warning.startswith(f"warning: {package} 1.0 is installed, but {locked} is locked: ")
    monkeypatch.setattr(sys.modules[module], "__version__", f"{locked}+cpu")
    assert list(other_versions()) == []
