"""`make TORCH=mine`: the lesson with a PyTorch that somebody has installed already."""

import re

import pytest

from common.graph import files_below
from common.project import LOCK, copy_project, execute
from common.pythons import Unavailable, with_own_torch


def sizes(folder):
    """Of all files but the bytecode that Python writes beside a module when it imports it."""
    return {
        path: path.stat().st_size
        for path in files_below(folder)
        if not path.is_symlink() and path.suffix != ".pyc"
    }


@pytest.mark.slow
def test_with_a_pytorch_for_cpus_the_bytes_are_the_same_and_the_space_is_a_fifth(tmp_path):
    try:
        python = with_own_torch(tmp_path / "own")
    except Unavailable as error:
        pytest.skip(str(error))
    before = sizes(tmp_path / "own")
    project = copy_project(tmp_path / "project")

    result = execute(project, "make", "repro", "TORCH=mine", f"PYTHON={python}")
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.search(r"^Using torch (\S+) and torchvision (\S+) of (.+)$", result.stdout, re.M)
    assert found and found.groups() == ("2.13.0+cpu", "0.28.0+cu130", python)
    assert (project / "dvc.lock").read_bytes() == LOCK

    assert sizes(tmp_path / "own") == before
    ours = sizes(project / ".venv")
    assert not [path for path in ours if path.parent.name in ("torch", "torchvision", "nvidia")]
    assert sum(before.values()) + sum(ours.values()) < 1.3e9
    again = execute(project, "make", ".venv/installed")
    assert "pip" not in again.stdout, again.stdout
