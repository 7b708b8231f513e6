"""The same bytes on other processors, and with other numbers of cores and threads."""

import shutil
import sys

import pytest
import yaml

from commands.processors import EMULATED, HERE, differing_bytes, run_all
from common import parameters
from common.graph import commands, outputs
from common.parameters import MODELS, of_model
from common.project import ROOT, execute

QEMU = shutil.which("qemu-x86_64")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="no qemu-x86_64: install qemu-user")


def small_params():
    """Few images and a small photograph: an emulated processor is some fifty times slower."""
    params = parameters.read()
    params["digits"] = {"train": 128, "val": 32, "test": 32}
    for model in MODELS:
        of_model(params, model)["epochs"] = 1
    params["photo"]["size"] = 127
    params["images"]["size"] = 63
    return yaml.safe_dump(params, sort_keys=False)


@pytest.mark.slow
def test_threads_and_cores_make_no_difference(pipeline, tmp_path):
    one, all_of_them = run_all(HERE, pipeline, small_params(), tmp_path)
    assert one.keys() == outputs(pipeline).keys()
    assert differing_bytes(one, all_of_them) == {}


@pytest.mark.slow
@needs_qemu
def test_processors_make_no_difference(pipeline, tmp_path):
    here, *emulated = run_all((HERE[1], *EMULATED), pipeline, small_params(), tmp_path)
    for processor, files in zip(EMULATED, emulated, strict=True):
        assert differing_bytes(here, files) == {}, processor.name


@pytest.mark.slow
@needs_qemu
def test_a_processor_without_avx2_works_and_says_so_once(pipeline, tmp_path):
    (tmp_path / "stages").symlink_to(ROOT / "stages")
    (tmp_path / "data").symlink_to(pipeline / "data")
    (tmp_path / "params.yaml").write_text(small_params().replace("size: 127", "size: 63"))
    emulated = (QEMU, "-cpu", "Nehalem", sys.executable, *commands()["convolve"][1:])
    asked_itself = ("env", "--unset=OPENBLAS_CORETYPE")  # which may name what this one is
    result = execute(tmp_path, *asked_itself, *emulated)
    assert result.returncode == 0
    lines = [line for line in result.stderr.splitlines() if "TCG doesn't support" not in line]
    assert lines == ["warning: not an x86-64 processor with AVX2: outputs may differ from dvc.lock"]
