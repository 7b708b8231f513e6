"""The graph: what it declares is what the stages do, and a change runs what it must and no more."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image
from safetensors import safe_open

from common import parameters, paths
from common.graph import commands, downstream, files_below, outs, stages
from common.parameters import MODELS, UNITS, change, change_units
from common.project import LOCK, ROOT, execute, ran

# Runs a stage as `python -m` does, and prints every file that Python opened for it.
WATCHED = """
import json, os, runpy, sys
opened = set()
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        opened.add(os.path.abspath(os.fsdecode(arguments[0])))
sys.addaudithook(hook)
sys.dont_write_bytecode = True
sys.path.insert(0, os.getcwd())
module, sys.argv[:] = sys.argv[1], sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    print(json.dumps(sorted(opened)))
"""


def test_the_committed_lock_is_current(pipeline):
    assert (pipeline / "dvc.lock").read_bytes() == LOCK
    assert execute(pipeline, "git", "status", "--porcelain").stdout == ""


def test_nothing_to_do(project):
    assert ran(execute(project, "dvc", "repro")) == set()
    assert "up to date" in execute(project, "dvc", "status").stdout


@pytest.mark.parametrize("address", stages())
def test_a_stage_reads_and_writes_what_it_declares(small_pipeline, tmp_path, address):
    """In a folder with its declared files and parameters alone, so that no other can matter, it
    makes the same outputs; it opens a module of every folder of code that it declares."""
    stage = stages()[address]
    files, sections = [], []
    for dep in stage.deps:
        if hasattr(dep, "params"):
            sections += dep.params
        else:
            files.append(Path(dep.fs_path).relative_to(ROOT))
    for name in files:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (small_pipeline / name).is_dir():
            shutil.copytree(small_pipeline / name, target)
        else:
            shutil.copy(small_pipeline / name, target)
    if sections:
        params = parameters.read(small_pipeline)
        kept = {}
        for name in sections:
            place = kept
            *above, _ = name.split(".")
            for key in above:
                place = place.setdefault(key, {})
            parameters.set_value(kept, name, parameters.value(params, name))
        parameters.write(kept, tmp_path)

    python, dash_m, module, *arguments = commands()[address]
    assert (python, dash_m) == ("python", "-m")
    result = execute(tmp_path, sys.executable, "-c", WATCHED, module, *arguments)
    assert result.returncode == 0, result.stderr
    opened = set(map(Path, json.loads(result.stdout.splitlines()[-1])))
    for name in files:
        code = files_below(tmp_path / name) if name.parts[0] == "stages" else []
        assert not code or opened & {*code}, name
    environment = Path(sys.prefix)
    assert not [p for p in opened if ROOT in p.parents and environment not in p.parents]

    made = set(map(str, files_below(tmp_path)))
    given = {str(path) for name in files for path in files_below(tmp_path / name)}
    expected = [path for out in outs(address) for path in files_below(small_pipeline / out)]
    for path in expected:
        copy = tmp_path / path.relative_to(small_pipeline)
        assert copy.read_bytes() == path.read_bytes(), copy
    assert made - given - {str(tmp_path / "params.yaml")} == {
        str(tmp_path / path.relative_to(small_pipeline)) for path in expected
    }


def test_more_hidden_units_concern_the_mlp_alone_and_going_back_runs_nothing(project, tmp_path):
    """What was tried before is taken from the run-cache, metrics and curves too."""
    metrics = project / "artifacts/metrics/mlp.json"
    before = metrics.read_bytes()
    change_units(project, 12)
    assert ran(execute(project, "dvc", "repro")) == downstream("train@mlp")
    changed = json.loads(metrics.read_text(encoding="utf-8"))
    assert changed["num_parameters"] == 795 * 12 + 10
    diff = json.loads(execute(project, "dvc", "metrics", "diff", "--json").stdout)
    [(path, values)] = diff.items()
    assert path == "artifacts/metrics/mlp.json"
    assert values["num_parameters"] == {"old": 23860, "new": 9550, "diff": -14310}
    params = json.loads(execute(project, "dvc", "params", "diff", "--json").stdout)
    change_of_units = {"old": 30, "new": 12, "diff": -18}
    assert params == {"params.yaml": {UNITS: change_of_units}}

    execute(project, "dvc", "plots", "diff", "-o", str(tmp_path / "plots")).check_returncode()
    page = (tmp_path / "plots/index.html").read_text(encoding="utf-8")
    for revision in ("HEAD", "workspace"):  # pictures side by side
        assert f"{revision}_artifacts_figures_mlp_weights.png" in page

    change_units(project, 30)
    assert ran(execute(project, "dvc", "repro")) == set()
    assert metrics.read_bytes() == before
    assert (project / "dvc.lock").read_bytes() == LOCK


def test_another_photograph_trains_nothing_and_downloads_nothing(project):
    shutil.copy(project / "artifacts/alexnet/filters.png", project / "own.png")
    change(project, "photo", path="own.png")
    photograph = downstream("prepare_photo")
    assert ran(execute(project, "dvc", "repro")) == photograph
    assert not [name for name in photograph if name.startswith(("train", "download"))]
    shutil.copy(project / "artifacts/alexnet/conv1.png", project / "own.png")
    other_bytes_of_the_same_name = execute(project, "dvc", "repro", "prepare_photo")
    assert ran(other_bytes_of_the_same_name) == {"prepare_photo"}


def test_wrong_parameters_stop_the_pipeline_and_lose_nothing(project):
    before = (project / "artifacts/metrics/mlp.json").read_bytes()
    change_units(project, -1)
    result = execute(project, "dvc", "repro")
    assert result.returncode != 0
    assert (
        f"error: params.yaml: {UNITS} is -1; "
        "it should be greater than or equal to 1\n" in result.stderr
    )
    assert "Traceback" not in result.stderr
    change_units(project, 30)
    assert ran(execute(project, "dvc", "repro")) == set()
    assert (project / "artifacts/metrics/mlp.json").read_bytes() == before
    assert (project / "dvc.lock").read_bytes() == LOCK


def test_metrics_are_one_table(project):
    result = execute(project, "dvc", "metrics", "show", "artifacts/metrics")
    header, *rows = result.stdout.splitlines()
    assert header.split() == [
        "Path",
        "loss",
        "num_parameters",
        "test_accuracy",
        "test_loss",
        "train_accuracy",
        "val_accuracy",
    ]
    assert {row.split()[0] for row in rows} == {str(paths.metrics(model)) for model in MODELS}
    rows = execute(project, "dvc", "metrics", "show").stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [
        *(str(paths.metrics(model)) for model in MODELS),
        str(paths.IMAGE_CLASSIFIER / "metrics.json"),
    ]


def test_plots_set_the_models_over_one_another_and_show_every_figure(project, tmp_path):
    result = execute(project, "dvc", "plots", "show", "--json")
    assert result.returncode == 0 and "failed" not in result.stderr
    plots = json.loads(result.stdout)["data"]
    for name in ("loss", "validation accuracy", "training accuracy"):
        [plot] = plots[name]
        points = plot["content"]["data"]["values"]
        assert {point["model"] for point in points} == {*MODELS}
    figures = {str(p.relative_to(project)) for p in (project / "artifacts").rglob("*.png")}
    assert figures == {name for name in plots if name.endswith(".png")}
    for model in MODELS:
        [confusion] = plots[str(paths.predictions(model))]
        answers = confusion["content"]["data"]["values"]
        assert len(answers) == parameters.read(project)["digits"]["test"]
        assert {"actual", "predicted"} < answers[0].keys()
    drawn_by_dvc = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    by_dvc = len(MODELS) + 1 + sum(isinstance(plot, dict) for plot in drawn_by_dvc)
    assert len(plots) == len(figures) + by_dvc


def test_no_output_names_this_machine(pipeline):
    """Nor do metadata: pictures hold nothing but pixels, tensors at most a model's layers."""
    for path in files_below(pipeline / "artifacts"):
        content = path.read_bytes()
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
                assert set(picture.info) == {"dpi"}, path
        elif path.suffix == ".safetensors":
            with safe_open(path, "numpy") as tensors:
                assert (tensors.metadata() or {}).keys() <= {"model"}, path
        for word in (str(pipeline), str(ROOT), str(Path.home()), sys.prefix):
            assert word.encode() not in content, (path, word)


def test_the_run_cache_tells_all_parameters_apart():
    """DVC leaves keys of these names out when it looks for a run with the same parameters."""

    def keys(values):
        for key, value in values.items():
            yield key
            if isinstance(value, dict):
                yield from keys(value)

    for name, stage in yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))[
        "stages"
    ].items():
        for values in stage.get("params", {}).values():
            assert not {"size", "nfiles"} & set(keys(values)), name
