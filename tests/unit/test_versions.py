"""The versions that the outputs' bytes depend on: those of the lock, and a warning about others."""

import re
import sys

import pytest

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
