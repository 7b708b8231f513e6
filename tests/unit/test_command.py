"""The stages as commands, and their writing of files."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from stages.core.base.files import new_file

from common.parameters import MODELS
from common.project import ROOT, execute

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# Runs a module's `main` as `python -m` does, and then names the packages that it has imported.
HELPED = """
import runpy, sys
module, sys.argv = sys.argv[1], [sys.argv[1], "--help"]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    print("imported:", *{"torch", "torchvision", "matplotlib"} & sys.modules.keys())
"""


@pytest.mark.parametrize("name", GRAPH)
def test_every_stage_has_help_and_imports_what_it_uses(name):
    """Importing torch, torchvision or matplotlib takes a second; it is for those who draw on it."""
    stage = GRAPH[name].get("do", GRAPH[name])
    result = execute(ROOT, sys.executable, "-c", HELPED, f"stages.{name}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: python -m stages.{name} [-h]")
    of_a_model = "${key}" in stage["cmd"]
    assert (f"{{{','.join(MODELS)}}}" in result.stdout) == of_a_model

    uses = {"numerics": "torch", "alexnet": "torchvision", "figures": "matplotlib"}
    core = {Path(dep).stem for dep in stage["deps"] if dep.startswith("stages/core/")}
    expected = {package for module, package in uses.items() if module in core}
    if name.startswith("download"):
        expected = set()  # only when it comes to torchvision's own sources
    assert set(result.stdout.splitlines()[-1].split()[1:]) == expected


def test_a_model_that_does_not_exist_is_refused():
    result = execute(ROOT, sys.executable, "-m", "stages.learning_curves", "resnet")
    assert result.returncode != 0
    assert "invalid choice: 'resnet'" in result.stderr and "Traceback" not in result.stderr


def test_a_failure_is_one_line_and_exit_status_1(tmp_path):
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    result = execute(tmp_path, sys.executable, "-m", "stages.split_digits")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: params.yaml: No such file or directory\n"


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "folder/file"
    with new_file(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with pytest.raises(ValueError, match="half-way"), new_file(path) as file:
        file.write(b"sec")
        raise ValueError("half-way")
    assert path.read_bytes() == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_process_that_should_have_ended_does_no_harm(tmp_path):
    """One that outlives a killed `dvc`, and writes what the next `dvc repro` writes anew."""
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError), new_file(path) as old:
        old.write(b"old")
        with new_file(path) as new:
            new.write(b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_output_that_is_linked_to_a_cache_is_replaced(tmp_path):
    cached = tmp_path / "cached"
    cached.write_bytes(b"cached")
    path = tmp_path / "file"
    path.hardlink_to(cached)
    with new_file(path) as file:
        file.write(b"new")
    assert (path.read_bytes(), cached.read_bytes()) == (b"new", b"cached")


def test_torch_before_the_settings_is_an_error(tmp_path):
    code = "import torch; from stages.core import numerics"
    result = execute(ROOT, sys.executable, "-c", code)
    assert result.returncode == 1
    assert "torch was imported before stages.core.numerics" in result.stderr


def test_every_stage_module_is_in_the_graph():
    modules = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"paths", "__init__"}
    assert GRAPH.keys() == modules
    for name, stage in GRAPH.items():
        assert stage.get("do", stage)["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]
