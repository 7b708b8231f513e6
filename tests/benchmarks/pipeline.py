"""The pipeline against the lesson as one script, and what a user waits for between changes.

The downloads are there in all cases; everything after them is made: of the lesson's own stages, for
a comparison with the script, or by all of them, when little or nothing changes.
"""

import itertools
import shutil
import tempfile
from functools import partial
from pathlib import Path

import yaml

from benchmarks.side_by_side import medians, output, print_table, seconds
from common import parameters
from common.parameters import section
from common.project import REPRO, ROOT, copy_project, execute

ROUNDS = 3
ROUNDS_OF_NOTHING = 10
BEYOND_THE_LESSON = (
    *(
        "mistakes",
        "embed_digits",
        "data_efficiency",
        "sample_images",
        "embed_images",
        "classify_images",
        "exciting_patches",
        "alexnet_patches",
        "ideal_inputs",
        "alexnet_ideal_inputs",
        "attributions",
        "image_attributions",
        "principal_axes",
        "report",
    ),
)


def project_with_downloads(folder: Path) -> Path:
    copy_project(folder)
    for name in ("mnist", "alexnet"):
        shutil.copytree(ROOT / "data" / name, folder / "data" / name)
    output(
        "dvc", "commit", "--force", "--quiet", "download_mnist", "download_alexnet", folder=folder
    )
    return folder


def lesson_alone(project: Path) -> Path:
    """The project without the stages that go beyond the lesson, and the model that they serve."""
    pipeline = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))
    for name in BEYOND_THE_LESSON:
        del pipeline["stages"][name]
    (project / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")
    params = parameters.read(project)
    del params["models"]["probe"]
    parameters.write(params, project)
    return project


def project_of_empty_stages(folder: Path, count: int) -> Path:
    folder.mkdir()
    execute(folder, "git", "init", "--quiet").check_returncode()
    output("dvc", "init", "--quiet", folder=folder)
    for index in range(count):
        stage = ("--name", f"stage{index}", "--outs", f"file{index}", f"touch file{index}")
        output("dvc", "stage", "add", "--quiet", *stage, folder=folder)
    output("dvc", "repro", folder=folder)
    return folder


def row(
    name: str, taken: float, reference: float, target: str, title: str = "from the downloads on"
) -> dict[str, object]:
    return {title: name, "s": taken, "ratio": taken / reference, "target": target}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = project_with_downloads(folder / "made")
        start = lesson_alone(shutil.copytree(made, folder / "start"))
        copies = (folder / str(index) for index in itertools.count())

        def from_scratch(*command: str) -> float:
            copy = shutil.copytree(start, next(copies))
            taken = seconds(*command, folder=copy)
            shutil.rmtree(copy)
            return taken

        lesson = ("python", "-m", "benchmarks.lesson")
        one_at_a_time = ("dvc", "repro")
        two_at_a_time = (*REPRO, "--jobs", "2")

        output("dvc", "repro", folder=made)
        units = itertools.count(31)

        def change() -> float:
            parameters.change(made, f"{section('mlp')}.layers.layer1", units=next(units))
            return seconds("dvc", "repro", folder=made)

        taken = medians(
            ROUNDS,
            script=lambda: seconds(*lesson, str(next(copies))),
            repro=partial(from_scratch, *one_at_a_time),
            two=partial(from_scratch, *two_at_a_time),
            change=change,
        )
        script = taken["script"]
        print_table(
            {"from the downloads on": "the lesson as one script", "s": script},
            row("dvc repro", taken["repro"], script, "≤ 1.2"),
            row("make repro JOBS=2", taken["two"], script, "≤ 0.8"),
            row("dvc repro, another number of units", taken["change"], script, "≤ 0.35"),
        )

        num_stages = len(yaml.safe_load((made / "dvc.lock").read_text(encoding="utf-8"))["stages"])
        empty = project_of_empty_stages(folder / "empty", num_stages)
        taken = medians(
            ROUNDS_OF_NOTHING,
            nothing=lambda: seconds("dvc", "repro", folder=made),
            empty=lambda: seconds("dvc", "repro", folder=empty),
        )
        print_table(
            {"nothing to do": f"{num_stages} empty stages", "s": taken["empty"]},
            row("the pipeline", taken["nothing"], taken["empty"], "≤ 1.3", "nothing to do"),
        )


if __name__ == "__main__":
    main()
