"""Run the stages on emulated processors, and count the bytes in which their outputs differ.

`make processors` prints the table of the README: every stage but the downloads, at the parameters
of params.yaml, on this processor with one core and with all, and on others that QEMU emulates
(Debian's package qemu-user). It takes about half an hour; the tests do the same with fewer images.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dvc.repo import Repo

from common.graph import commands, downloads, made_here, outputs, outs
from common.project import ROOT


class Processor(NamedTuple):
    """What a stage's command is put behind, and the threads that its libraries are asked for."""

    name: str
    prefix: tuple[str, ...]
    threads: int


CORES = len(os.sched_getaffinity(0))
HERE = (
    Processor("this one", ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))), 1),
    Processor("this one", (), CORES),
)
EMULATED = tuple(
    Processor(name, ("qemu-x86_64", "-cpu", cpu), CORES)
    for name, cpu in (("Intel Haswell", "Haswell"), ("AMD EPYC Milan", "EPYC-Milan"))
)


def run(processor: Processor, project: Path, params: str, folder: Path) -> Path:
    """Run every stage there, on that processor, with the `project`'s downloads."""
    shutil.copytree(ROOT / "stages", folder / "stages")
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data/grace_hopper.jpg", folder / "data")
    for source in outs(*downloads()):
        (folder / source).symlink_to(project / source)
    threads = {f"{library}_NUM_THREADS": str(processor.threads) for library in ("OMP", "MKL")}
    for name in made_here():
        _, *arguments = commands()[name]
        command = [*processor.prefix, sys.executable, *arguments]
        result = subprocess.run(
            command, cwd=folder, env=os.environ | threads, capture_output=True, text=True
        )
        if result.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
    return folder


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


def run_all(
    processors: Sequence[Processor], project: Path, params: str, folder: Path
) -> list[dict[str, bytes]]:
    """What the stages write on each of the processors, as many side by side as there are cores."""
    folders = [folder / str(index) for index in range(len(processors))]
    with ThreadPoolExecutor(CORES) as pool:
        made = pool.map(run, processors, repeat(project), repeat(params), folders)
        return [outputs(place) for place in made]


def main() -> None:
    if Repo(str(ROOT)).status():
        sys.exit("error: the outputs are not those of dvc.lock; run `dvc repro` first")
    committed = outputs(ROOT)
    processors = (*HERE, *EMULATED)
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        made = run_all(processors, ROOT, params, Path(folder))
    print("| processor | threads asked for | stages | files | bytes that differ from dvc.lock |")
    print("|---|---|---|---|---|")
    different = False
    for processor, files in zip(processors, made, strict=True):
        name = processor.name if processor in HERE else f"{processor.name} (emulated)"
        counts = differing_bytes(committed, files)
        different |= bool(counts)
        details = "".join(f"; {file}: {count:,}" for file, count in counts.items())
        print(
            f"| {name} | {processor.threads} | {len(made_here())} | {len(files)} "
            f"| {sum(counts.values()):,}{details} |"
        )
    sys.exit(different)


if __name__ == "__main__":
    main()
