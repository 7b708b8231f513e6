"""Training with more images: time an image, and memory.

Every row is a run of the stage `train@cnn` on the first digits of MNIST, as params.yaml could ask
for it: one epoch with ten evaluations on all its images, and the whole of MNIST for three epochs.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from stages.core.base.command import run

from benchmarks.side_by_side import medians, output, print_table
from common import parameters
from common.graph import commands
from common.parameters import of_model
from common.project import ROOT

ROUNDS = 3
COUNTS = (2_000, 6_000, 20_000, 59_500)
BATCH = 64


def train() -> None:
    """Train in this folder, with the arguments of the command line; print the seconds, and the peak
    in MB over what torch needs."""
    from stages.train import main

    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    run(main)
    taken = time.perf_counter() - start
    print(taken, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1000)


def prepare(folder: Path, count: int, epochs: int, evaluations: int) -> Path:
    """A folder with `count` digits to train on, 500 to validate on and as many to test on."""
    params = parameters.read()
    params["digits"] |= {"train": count, "val": 500, "test": 500}
    iterations = epochs * (count // BATCH)
    of_model(params, "cnn").update(epochs=epochs, eval_every=iterations // evaluations)
    (folder / "data").mkdir(parents=True)
    parameters.write(params, folder)
    (folder / "data/mnist").symlink_to(ROOT / "data/mnist")
    output(*commands()["split_digits"], folder=folder)
    return folder


def measured(folder: Path) -> tuple[float, float]:
    """Seconds and MB of a run in a process of its own."""
    arguments = commands()["train@cnn"][3:]
    *_, line = output("python", "-m", "benchmarks.growth", *arguments, folder=folder).splitlines()
    seconds, megabytes = map(float, line.split())
    return seconds, megabytes


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = {count: prepare(folder / str(count), count, 1, 10) for count in COUNTS}
        peaks = {}

        def seconds(count: int) -> float:
            taken, peaks[count] = measured(folders[count])
            return taken

        taken = medians(ROUNDS, **{str(count): lambda c=count: seconds(c) for count in COUNTS})
        first = taken[str(COUNTS[0])] / COUNTS[0]
        print_table(
            *(
                {
                    "training images": f"{count:,}",
                    "s": taken[str(count)],
                    "ms an image": 1000 * taken[str(count)] / count,
                    "ratio": taken[str(count)] / count / first,
                    "target": "≤ 1.3",
                    "MB over torch": peaks[count],
                    "at most, MB": 700,
                }
                for count in COUNTS
            )
        )
        whole = prepare(folder / "whole", COUNTS[-1], 3, 100)
        taken, peak = measured(whole)
        print_table(
            {
                "3 epochs, 100 evaluations": f"{COUNTS[-1]:,} images",
                "s": taken,
                "target": "≤ 90",
                "MB over torch": peak,
            }
        )


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        train()
