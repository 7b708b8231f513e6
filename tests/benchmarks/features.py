"""AlexNet's features: against a bare loop over the network, and with more and more images.

Every row is a run of a stage on the first digits of MNIST, or on a folder of generated images, as
params.yaml could ask for it, in turn with the bare loop. Seconds are those of the stage's work,
without imports.
"""

import resource
import sys
import tempfile
import time
from functools import partial
from itertools import repeat
from pathlib import Path

from stages.core.base.command import run

import numpy as np
from PIL import Image

from benchmarks.side_by_side import medians, output, print_table
from common import parameters, paths
from common.graph import commands
from common.processes import dask_process
from common.project import ROOT

ROUNDS = 3
DIGITS = (2_500, 10_000, 70_000)
IMAGES = (1_000, 5_000, 20_000)
SMALL, LARGE = 96, 224  # pixels, of what AlexNet sees: the defaults for digits and for images
SIDES = (160, 120)  # of the generated images
LOOP = 2_048  # images of the bare loop
BATCH = 32
COMMAND = ("python", "-m", "benchmarks.features")


def stage(module: str, *arguments: str) -> None:
    """Run a stage, or dvc, in this folder; print the seconds, and the peak memory in MB."""
    from importlib import import_module

    if module == "dvc":
        main = partial(import_module("dvc.cli").main, ["repro", "--quiet"])
    else:
        sys.argv = [module, *arguments]
        main = partial(run, import_module(module).main)
    start = time.perf_counter()
    main()
    taken = time.perf_counter() - start
    print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def loop(side: int) -> None:
    """Print the images a second, side × side each, of a bare loop over batches that are in memory,
    by the same function and in as many threads."""
    import torch

    from stages.core.alexnet.network import alexnet, features
    from stages.core.parallel.threads import in_threads

    embed = partial(features, alexnet(ROOT / paths.ALEXNET))
    batch = torch.rand(BATCH, 3, side, side)
    embed(batch)
    start = time.perf_counter()
    for _ in in_threads(embed, repeat(batch, LOOP // BATCH)):
        pass
    print(LOOP / (time.perf_counter() - start))


def bare_loop(side: int) -> float:
    """Its images a second, in a process of its own."""
    return float(output(*COMMAND, "loop", str(side)))


def prepare(folder: Path, **changes: dict) -> Path:
    """A folder with the downloads and changed parameters."""
    params = parameters.read()
    for section, values in changes.items():
        params[section] |= values
    (folder / "data").mkdir(parents=True)
    parameters.write(params, folder)
    for source in ("mnist", "alexnet"):
        (folder / "data" / source).symlink_to(ROOT / "data" / source)
    return folder


def digits(folder: Path, count: int) -> Path:
    """A folder with so many digits: a fifth, at most 10,000, to test on."""
    test = min(count // 5, 10_000)
    splits = {"train": count - test - 500, "val": 500, "test": test}
    output(*commands()["split_digits"], folder=prepare(folder, digits=splits))
    return folder


def images(folder: Path, count: int, size: int) -> Path:
    """A folder with so many JPEGs of coloured squares, in ten folders."""
    prepare(folder, images={"path": "own", "size": size})
    (folder / "stages").symlink_to(ROOT / "stages")  # for the workers of a cluster
    random = np.random.default_rng(0)
    for label in range(10):
        (folder / f"own/{label}").mkdir(parents=True)
    for index in range(count):
        pixels = random.integers(0, 256, (6, 8, 3), np.uint8)
        image = Image.fromarray(pixels).resize(SIDES, Image.Resampling.NEAREST)
        image.save(folder / f"own/{index % 10}/{index}.jpg")
    return folder


def measured(folder: Path, name: str, **environment: str) -> tuple[float, float]:
    """Seconds and MB of a stage in a process of its own."""
    words = [name] if name == "dvc" else commands()[name][2:]
    *_, line = output(*COMMAND, "stage", *words, folder=folder, **environment).splitlines()
    seconds, megabytes = map(float, line.split())
    return seconds, megabytes


def growth(name: str, side: int, folders: dict[int, Path]) -> None:
    """A stage's images a second and peak memory, and their ratios to those of the fewest images."""
    peaks = {}

    def seconds(count: int) -> float:
        taken, peaks[count] = measured(folders[count], name)
        return taken

    taken = medians(
        ROUNDS,
        loop=partial(bare_loop, side),
        **{str(count): partial(seconds, count) for count in folders},
    )
    first = next(iter(folders))
    print_table(
        *(
            {
                f"{name}, {side} × {side}": f"{count:,}",
                "s": taken[str(count)],
                "images/s": count / taken[str(count)],
                "of a bare loop": count / taken[str(count)] / taken["loop"],
                "of the first": count / taken[str(count)] * taken[str(first)] / first,
                "peak, MB": peaks[count],
                "MB, of the first": peaks[count] / peaks[first],
            }
            for count in folders
        )
    )


def digests(folders: dict[int, Path]) -> None:
    """What dvc takes to digest the images, and to see that they are the same."""
    found = {}
    for count, folder in folders.items():
        output("dvc", "init", "--no-scm", "--quiet", folder=folder)
        (folder / "dvc.yaml").write_text(
            "stages: {nothing: {cmd: 'true', deps: [own]}}", encoding="utf-8"
        )
        found[count] = [*measured(folder, "dvc"), *measured(folder, "dvc")]
    few, (_, least, *_) = next(iter(found.items()))
    print_table(
        *(
            {
                "digests by dvc": f"{count:,}",
                "s": first,
                "ms an image": first / count * 1000,
                "again, ms an image": again / count * 1000,
                "memory, kB an image more": (peak - least) / (count - few) * 1000
                if count > few
                else 0,
            }
            for count, (first, peak, again, _) in found.items()
        )
    )


def workers(folder: Path, count: int) -> None:
    """A folder with one and with two workers of a Dask cluster, each of one thread."""
    taken = {}
    address = "tcp://127.0.0.1:18786"
    for number in (1, 2):
        with (
            dask_process(folder, "scheduler", "--host", "127.0.0.1", "--port", "18786"),
            dask_process(folder, "worker", address, "--nworkers", str(number), "--nthreads", "1"),
        ):

            def run(folder: Path) -> float:
                return measured(folder, "embed_images", DASK_SCHEDULER_ADDRESS=address)[0]

            run(folder)  # the workers import torch
            taken[number] = medians(ROUNDS, seconds=partial(run, folder))["seconds"]
    print_table(
        *(
            {
                "workers": number,
                "s": seconds,
                "images/s": count / seconds,
                "times one": taken[1] / seconds,
                "target": "≥ 1.6" if number == 2 else "",
            }
            for number, seconds in taken.items()
        )
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        of_digits = {count: digits(folder / f"digits{count}", count) for count in DIGITS}
        growth("embed_digits", SMALL, of_digits)
        large = images(folder / "large", IMAGES[0], LARGE)
        growth("embed_images", LARGE, {IMAGES[0]: large})
        of_images = {n: images(folder / f"images{n}", n, SMALL) for n in IMAGES}
        growth("embed_images", SMALL, of_images)
        digests(of_images)
        workers(of_images[IMAGES[1]], IMAGES[1])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stage", module, *arguments]:
            stage(module, *arguments)
        case ["loop", side]:
            loop(int(side))
        case _:
            main()
