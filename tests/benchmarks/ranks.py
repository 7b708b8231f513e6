"""Why the models rank as they do: the test accuracy of those that see pixels after more epochs and
with more digits, from several seeds.

Every number is of runs of the stage `train`, as params.yaml could ask for them.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from statistics import mean, stdev

from benchmarks.side_by_side import print_table
from common import parameters, paths
from common.parameters import of_model
from common.project import ROOT
from common.stages import run_stage

SEEDS = range(10)
RUNS = ((2_000, 3), (2_000, 10), (2_000, 30), (10_000, 3), (59_500, 3))  # digits, epochs
MODELS = {k: v["title"] for k, v in parameters.read()["models"].items() if v["input"] == "digits"}


def accuracies(digits: int, epochs: int, model: str) -> Iterator[float]:
    """For each of the seeds, in percent; trained in this folder."""
    for seed in SEEDS:
        params = parameters.read()
        params["digits"]["train"] = digits
        of_model(params, model).update(epochs=epochs, seed=seed, eval_every=10**9)
        parameters.write(params)
        if seed == SEEDS[0]:
            run_stage("split_digits")
        run_stage(f"train@{model}")
        yield 100 * json.loads(paths.metrics(model).read_text(encoding="utf-8"))["test_accuracy"]


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name, chdir(name):
        paths.MNIST.parent.mkdir()
        paths.MNIST.symlink_to(ROOT / paths.MNIST)
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            for digits, epochs in RUNS:
                row = {"training images": f"{digits:,}", "epochs": epochs}
                for model, title in MODELS.items():
                    found = [*accuracies(digits, epochs, model)]
                    row[title] = f"{mean(found):.1f} ± {stdev(found):.1f}"
                rows.append(row)
    print_table(*rows)


if __name__ == "__main__":
    main()
