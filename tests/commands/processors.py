"""Run the stages on other processors and with other settings, and count the bytes that differ.

`make processors` prints the table of the README: all stages but the downloads, at the parameters of
params.yaml; on processors that QEMU emulates (Debian's package qemu-user), some fifty times slower,
with fewer digits. It takes about an hour; the tests do the same with few images.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dvc.repo import Repo

from common import parameters, pythons
from common.graph import commands, downloads, made_here, outputs, outs
from common.project import ROOT
from common.pythons import Unavailable, emulated, native

Params = dict[str, Any]
Change = Callable[[Params], None]  # of the parameters


def fewer_images(params: Params) -> None:
    """Some minutes on an emulated processor."""
    parameters.small_pictures(params)
    params["digits"] |= {"train": 200, "val": 50, "test": 200}
    params["data_efficiency"]["counts"] = [100, 200]


def all_images(params: Params) -> None:
    """params.yaml as it is."""


class Processor(NamedTuple):
    """A processor, or what else may differ: how its Python is made, and how many images it gets."""

    name: str
    python: pythons.Maker
    change: Change = all_images


SSE = "SSE4_2"  # the oldest instruction set that MKL has
LESS_PRECISE = "torch.set_float32_matmul_precision('medium')"

PROCESSORS = (
    Processor("this one, 1 thread", native(OMP_NUM_THREADS="1")),
    Processor("this one, 7 threads", native(OMP_NUM_THREADS="7", MKL_NUM_THREADS="7")),
    Processor(
        "this one, its libraries held to SSE4.2",
        native(
            MKL_ENABLE_INSTRUCTIONS=SSE,
            MKL_CBWR="COMPATIBLE",
            ATEN_CPU_CAPABILITY="default",
            ONEDNN_MAX_CPU_ISA="SSE41",
        ),
    ),
    Processor(
        "this one, float32 as bfloat16 where libraries can",
        native(ONEDNN_DEFAULT_FPMATH_MODE="BF16", SETTINGS=LESS_PRECISE),
    ),
    Processor(f"this one, {pythons.FOR_CPUS[0]}", pythons.with_older_torch),
    Processor("Intel Haswell, AVX2 (emulated)", emulated("Haswell"), fewer_images),
    Processor("AMD EPYC Milan, AVX2 (emulated)", emulated("EPYC-Milan"), fewer_images),
    Processor("Intel Nehalem, SSE4.2 (emulated)", emulated("Nehalem"), fewer_images),
    Processor(f"64-bit ARM (emulated), {pythons.ON_ARM[0]}", pythons.on_arm, fewer_images),
)


def prepare(project: Path, change: Change, folder: Path) -> None:
    """The sources, the `project`'s downloads and parameters of its own: what stages need."""
    shutil.copytree(ROOT / "stages", folder / "stages")
    params = parameters.read()
    change(params)
    parameters.write(params, folder)
    (folder / "data").mkdir()
    for name in ("grace_hopper.jpg", "image_groups.csv"):
        shutil.copy(ROOT / "data" / name, folder / "data")
    for source in outs(*downloads()):
        (folder / source).symlink_to(project / source)


def run_here(project: Path, change: Change, folder: Path) -> dict[str, bytes]:
    """What the stages write as DVC runs them, one command each."""
    prepare(project, change, folder)
    for name in made_here():
        _, *arguments = commands()[name]
        subprocess.run((sys.executable, *arguments), cwd=folder, check=True, capture_output=True)
    return outputs(folder)


def run_there(
    processor: Processor, project: Path, change: Change, folder: Path
) -> dict[str, bytes]:
    """What the stages write on that processor."""
    python = processor.python(folder / "python")
    prepare(project, change, folder / "project")
    stages = [json.dumps(commands()[name][2:]) for name in made_here()]  # without python -m
    command = [*python, str(ROOT / "tests/common/many_stages.py"), *stages]
    result = subprocess.run(command, cwd=folder / "project", capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{processor.name} failed:\n{result.stderr}")
    return outputs(folder / "project")


def differing_bytes(ours: dict[str, bytes], theirs: dict[str, bytes]) -> dict[str, int]:
    """For each file that differs in how many bytes; one that is missing differs in all."""
    counts = {}
    for name in sorted(ours.keys() | theirs.keys()):
        a, b = (np.frombuffer(files.get(name, b""), np.uint8) for files in (ours, theirs))
        common = min(len(a), len(b))
        count = int((a[:common] != b[:common]).sum()) + max(len(a), len(b)) - common
        if count:
            counts[name] = count
    return counts


def main() -> None:
    if Repo(str(ROOT)).status():
        sys.exit("error: the outputs are not those of dvc.lock; run `dvc repro` first")
    with (
        tempfile.TemporaryDirectory() as temporary,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        folder = Path(temporary)
        few = pool.submit(run_here, ROOT, fewer_images, folder / "few")
        made = [
            pool.submit(run_there, processor, ROOT, processor.change, folder / str(index))
            for index, processor in enumerate(PROCESSORS)
        ]
        try:
            expected = {all_images: outputs(ROOT), fewer_images: few.result()}
            found = [future.result() for future in made]
        except Unavailable as error:
            sys.exit(f"error: {error}")
    print("| processor | digits | files | bytes that differ |")
    print("|---|---|---|---|")
    different = False
    for processor, files in zip(PROCESSORS, found, strict=True):
        counts = differing_bytes(expected[processor.change], files)
        different |= bool(counts)
        params = parameters.read()
        processor.change(params)
        digits = sum(params["digits"][split] for split in ("train", "val", "test"))
        details = "".join(f"; {file}: {count:,}" for file, count in counts.items())
        total = sum(counts.values())
        print(f"| {processor.name} | {digits:,} | {len(files)} | {total:,}{details} |")
    sys.exit(different)


if __name__ == "__main__":
    main()
