"""Things measured in turn, round after round, so that what slows the machine slows them all."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tabulate import tabulate
from tqdm import tqdm

from common.project import ROOT, execute

PATHS = f"{ROOT}:{ROOT / 'tests'}"  # where a process finds `stages` and `benchmarks`


def output(*command: str, folder: Path = ROOT, **environment: str) -> str:
    """What a command prints; it has this environment's Python and dvc first on its path."""
    result = execute(folder, *command, PYTHONPATH=PATHS, **environment)
    if result.returncode:
        sys.exit(f"error: {' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def seconds(*command: str, folder: Path = ROOT) -> float:
    """How long a command takes, as a process of its own."""
    start = time.perf_counter()
    output(*command, folder=folder)
    return time.perf_counter() - start


def medians(rounds: int, **measures: Callable[[], float]) -> dict[str, float]:
    """The median of each measure, all of them taken once in every round."""
    taken = {name: [] for name in measures}
    for _ in tqdm(range(rounds), desc=", ".join(measures), unit="round", leave=False, disable=None):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: median(values) for name, values in taken.items()}


def print_table(*rows: dict[str, object]) -> None:
    print(tabulate(rows, headers="keys", floatfmt=".3g"), end="\n\n", flush=True)
