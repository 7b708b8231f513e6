"""The stages as commands, and their writing of files."""

import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, execute

from stages.core.files import new_file

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "paths")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_help(stage):
    result = execute(ROOT, sys.executable, "-m", f"stages.{stage}", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: python -m stages.{stage} [-h]")
    assert ("{logistic,mlp,cnn,probe}" in result.stdout) == (
        stage in ("train", "learning_curves", "weight_grid")
    )


def test_a_model_that_does_not_exist_is_refused():
    result = execute(ROOT, sys.executable, "-m", "stages.learning_curves", "resnet")
    assert result.returncode != 0
    assert "invalid choice: 'resnet'" in result.stderr and "Traceback" not in result.stderr


def test_a_failure_is_one_line_and_exit_status_1(tmp_path):
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    result = execute(tmp_path, sys.executable, "-m", "stages.split_digits")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: params.yaml: No such file or directory\n"


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=2m tmpfs "$1" && cp -r stages params.yaml "$1" && cd "$1" && mkdir data &&
ln -s "$2" data/mnist && exec "$3" -m stages.split_digits
"""


def test_a_full_disk_is_named(pipeline, tmp_path):
    """The digits need 10 MB, and the disk, in a mount namespace of its own, has 2 MB."""
    unshare = ("unshare", "--mount", "--map-root-user", "sh", "-c", ON_A_SMALL_DISK, "sh")
    result = execute(ROOT, *unshare, str(tmp_path), str(pipeline / "data/mnist"), sys.executable)
    assert result.returncode == 1
    assert result.stderr == "error: data/digits.safetensors: No space left on device\n"


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


@pytest.mark.parametrize(
    ("stage", "libraries"),
    [
        ("download_mnist", set()),
        ("download_alexnet", set()),
        ("prepare_photo", set()),
        ("split_digits", set()),
        ("train", {"torch"}),
        ("learning_curves", {"matplotlib"}),
        ("weight_grid", {"matplotlib"}),
        ("convolve", {"torch", "matplotlib"}),
        ("alexnet_maps", {"torch", "torchvision", "matplotlib"}),
        ("embed_digits", {"torch", "torchvision"}),
        ("data_efficiency", {"torch", "matplotlib"}),
        ("sample_images", set()),
        ("embed_images", {"torch", "torchvision"}),
        ("report", set()),
    ],
)
def test_a_stage_imports_what_it_uses(stage, libraries):
    code = f"import sys, stages.{stage}; print(*sys.modules)"
    loaded = set(execute(ROOT, sys.executable, "-c", code).stdout.split())
    assert loaded & {"torch", "torchvision", "matplotlib"} == libraries


def test_every_stage_module_is_in_the_graph():
    import yaml

    graph = yaml.safe_load(Path(ROOT, "dvc.yaml").read_text())["stages"]
    assert sorted(graph) == STAGES
    for name, stage in graph.items():
        assert stage.get("do", stage)["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]
