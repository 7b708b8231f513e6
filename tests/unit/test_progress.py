"""How far a command is: lines where nobody watches, a bar on a terminal."""

import os
import subprocess
import sys
import time

import pytest

from stages.core.base import progress as module
from stages.core.base.progress import progress

from common.project import ROOT


def test_in_a_pipe_there_is_a_line_whenever_one_is_due(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress(12_500, "digits") as digits:
        for _ in range(5):
            now += 0.3 * module.SECONDS
            digits.update(2_500)
    assert capsys.readouterr().err.splitlines() == [
        "0 of 12,500 digits",
        "10,000 of 12,500 digits",
        "12,500 of 12,500 digits",
    ]


def test_what_fails_is_not_said_to_be_done(capsys):
    with pytest.raises(ValueError), progress(3, "images"):
        raise ValueError
    assert capsys.readouterr().err == "0 of 3 images\n"


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(12_500, "digits") as digits:
        digits.update(12_500)
    printed = capsys.readouterr().err
    assert "100%|" in printed and "12500/12500" in printed and " digits/s" in printed


def test_on_a_terminal_that_does_not_know_its_width_there_is_a_bar():
    """Such as one that a program opens: it says that it has no columns."""
    ours, theirs = os.openpty()
    code = "from stages.core.base.progress import progress\nwith progress(3, 'digits'): pass"
    with os.fdopen(theirs, "wb") as terminal:
        subprocess.run((sys.executable, "-c", code), cwd=ROOT, stderr=terminal, check=True)
    assert b"0/3" in os.read(ours, 2**12)
    os.close(ours)
