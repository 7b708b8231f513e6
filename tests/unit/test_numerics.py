"""What is said of processors on which bytes may differ, and how such bytes are counted."""

import sys

from commands.processors import differing_bytes
from common.project import ROOT, execute


def test_another_architecture_says_so_once():
    code = (
        "import platform; platform.machine = lambda: 'aarch64'; "
        "import stages.core.learning.training"
    )
    result = execute(ROOT, sys.executable, "-c", code)
    assert result.returncode == 0
    assert result.stderr.count("outputs may differ from dvc.lock") == 1


def test_bytes_that_differ_are_counted():
    ours = {"a": b"12345", "b": b"12345", "c": b"12"}
    assert differing_bytes(ours, ours) == {}
    assert differing_bytes(ours, {"a": b"12345", "b": b"x2y4"}) == {"b": 3, "c": 2}
