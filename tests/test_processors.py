"""The same bytes on other processors, and with other numbers of cores and threads."""

import shutil
import sys

import pytest
import yaml

from stages.paths import MODELS

from conftest import ROOT, execute
from processors import EMULATED, HERE, commands, differing_bytes, outputs, run_all

QEMU = shutil.which("qemu-x86_64")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="no qemu-x86_64: install qemu-user")


def small_params():
    """Few images and a small photograph: an emulated processor is some fifty times slower."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["digits"] = {"train": 128, "val": 32, "test": 32}
    for model in MODELS:
        params["train"][model] |= {"epochs": 1}
    params["photo"]["size"] = 127
    params["images"]["size"] = 63
    return yaml.safe_dump(params)


def test_threads_and_cores_make_no_difference(pipeline, tmp_path):
    one, all_of_them = run_all(HERE, pipeline, small_params(), tmp_path)
    assert len(one) == len(outputs(pipeline)) and len(commands()) == 21
    assert differing_bytes(one, all_of_them) == {}


@needs_qemu
def test_processors_make_no_difference(pipeline, tmp_path):
    here, *emulated = run_all((HERE[1], *EMULATED), pipeline, small_params(), tmp_path)
    for processor, files in zip(EMULATED, emulated, strict=True):
        assert differing_bytes(here, files) == {}, processor.name


@needs_qemu
def test_a_processor_without_avx2_works_and_says_so_once(pipeline, tmp_path):
    (tmp_path / "stages").symlink_to(ROOT / "stages")
    (tmp_path / "data").symlink_to(pipeline / "data")
    (tmp_path / "params.yaml").write_text(small_params().replace("size: 127", "size: 63"))
    result = execute(tmp_path, QEMU, "-cpu", "Nehalem", sys.executable, "-m", "stages.convolve")
    assert result.returncode == 0
    lines = [line for line in result.stderr.splitlines() if "TCG doesn't support" not in line]
    assert lines == ["warning: not an x86-64 processor with AVX2: outputs may differ from dvc.lock"]


def test_another_architecture_says_so_once():
    code = "import platform; platform.machine = lambda: 'aarch64'; import stages.core.training"
    result = execute(ROOT, sys.executable, "-c", code)
    assert result.returncode == 0
    assert result.stderr.count("outputs may differ from dvc.lock") == 1


def test_bytes_that_differ_are_counted():
    ours = {"a": b"12345", "b": b"12345", "c": b"12"}
    assert differing_bytes(ours, ours) == {}
    assert differing_bytes(ours, {"a": b"12345", "b": b"x2y4"}) == {"b": 3, "c": 2}
