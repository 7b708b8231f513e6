"""A sweep over a parameter as experiments of DVC, and the figure of it."""

import io
import json
import re
import subprocess
import sys
import time
from subprocess import DEVNULL

import psutil
import pytest
from conftest import ENVIRONMENT, execute
from PIL import Image

from stages.core import sweep

BASE = ("master", 30, {"mlp": 0.875, "cnn": 0.9})


def revision(name, value, results, error=None):
    metrics = {f"metrics/{file}.json": {"data": {"accuracy": y}} for file, y in results.items()}
    params = {"params.yaml": {"data": {"mlp": {"width": value}}}}
    data = {"params": params, "metrics": metrics}
    return {"rev": name * 2, "name": name, "data": data, "error": error}


def experiment(name, value, results, state="success", error=None):
    return {
        "revs": [revision(name, value, results, error)],
        "executor": {"state": state},
        "name": name,
    }


def shown(*experiments, base=BASE):
    """What `dvc exp show --json` prints, with a workspace that was edited but not run."""
    workspace = revision("workspace", 77, base[2]) | {"rev": "workspace", "experiments": None}
    commit = revision(*base) | {"experiments": list(experiments) or None}
    return json.dumps([workspace, commit]).encode()


def lines(printed, parameter="mlp.width", metric="accuracy"):
    """The axes, and the points of each file by its label."""
    points = sweep.points(sweep.read_runs(printed), parameter, metric)
    axes = sweep.draw_sweep(points, parameter, metric).axes[0]
    return axes, {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def workers(folder):
    """The processes of the queue that belongs to this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if "queue-worker" in process.cmdline() and process.cwd().startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def swept(project):
    """A project after a sweep of the number of hidden units; no worker of the queue is left."""
    queue = ("dvc", "exp", "run", "--queue", "-S", "train.mlp.num_hidden=10,30,100")
    execute(project, *queue).check_returncode()
    try:
        # Its workers keep what it prints to open: a pipe would be waited for as long as they run.
        start = ("dvc", "queue", "start", "-j", "2")
        subprocess.run(
            start, cwd=project, env=ENVIRONMENT, stdout=DEVNULL, stderr=DEVNULL, check=True
        )
        deadline = time.monotonic() + 300
        while "Success" not in (status := execute(project, "dvc", "queue", "status").stdout) or (
            "Queued" in status or "Running" in status
        ):
            assert time.monotonic() < deadline, status
            time.sleep(2)
    finally:
        for process in psutil.wait_procs(workers(project), timeout=20)[1]:
            process.kill()  # DVC's workers may miss the word that they can end
    return project


def test_a_sweep_runs_what_it_must_and_its_figure_shows_what_came_out(swept, tmp_path):
    printed = execute(swept, "dvc", "exp", "show", "--json").stdout
    _, commit = json.loads(printed)
    points, trained = [], {}
    for found in commit["experiments"]:
        [result] = found["revs"]
        hidden = result["data"]["params"]["params.yaml"]["data"]["train"]["mlp"]["num_hidden"]
        metrics = result["data"]["metrics"]["artifacts/metrics/mlp.json"]["data"]
        assert metrics["num_parameters"] == 795 * hidden + 10
        points.append([hidden, metrics["test_accuracy"]])
        log = execute(swept, "dvc", "queue", "logs", found["name"]).stdout
        assert log.count("skipping") + log.count("Running stage") == 23
        trained[hidden] = set(re.findall("Running stage '(.*)'", log))
    mlp = {"train@mlp", "learning_curves@mlp", "weight_grid@mlp", "report"}
    assert trained == {10: mlp, 30: set(), 100: mlp}
    assert len({accuracy for _, accuracy in points}) == 3
    assert execute(swept, "git", "status", "--porcelain").stdout == ""

    axes, drawn = lines(printed.encode(), "train.mlp.num_hidden", "test_accuracy")
    assert drawn == {"mlp": sorted(points)}
    assert {text.get_text() for text in axes.texts} == {f"{y:.4g}" for _, y in points}
    pipe = "dvc exp show --json | python -m stages.core.sweep"
    recipe = f"{pipe} train.mlp.num_hidden test_accuracy artifacts/sweep.png"
    execute(swept, "sh", "-c", recipe).check_returncode()
    sweep.save_figure(axes.figure, tmp_path / "sweep.png")
    assert (swept / "artifacts/sweep.png").read_bytes() == (tmp_path / "sweep.png").read_bytes()
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.size == (800, 512)


def test_only_files_whose_metric_differs_are_drawn_and_all_if_none_does():
    _, drawn = lines(shown(experiment("a", 60, {"mlp": 0.9, "cnn": 0.9})))
    assert drawn == {"mlp": [[30, 0.875], [60, 0.9]]}
    _, drawn = lines(shown(experiment("a", 60, BASE[2])))
    assert set(drawn) == {"mlp", "cnn"}


def test_equal_runs_are_one_point_and_others_their_own():
    same = experiment("same", *BASE[1:])
    other = experiment("other", 30, {"mlp": 0.885, "cnn": 0.9})
    _, drawn = lines(shown(same, other, experiment("a", 60, {"mlp": 0.9, "cnn": 0.9})))
    assert drawn == {"mlp": [[30, 0.875], [30, 0.885], [60, 0.9]]}


@pytest.mark.parametrize(
    ("values", "scale"),
    [((3, 30), "log"), ((3.1, 30), "linear"), ((0, 30), "linear"), ((-300, 30), "linear")],
)
def test_the_axis_is_logarithmic_from_ten_times_on(values, scale):
    axes, _ = lines(shown(experiment("a", values[0], {"mlp": 0.8, "cnn": 0.9})))
    assert axes.get_xscale() == scale
    assert ticks(axes) == list(map(str, values)) and not len(axes.get_xticks(minor=True))


def test_words_are_categories_without_a_line():
    base = ("master", "sgd", {"mlp": 0.85})
    axes, drawn = lines(shown(experiment("a", "adam", {"mlp": 0.875}), base=base))
    assert ticks(axes) == ["adam", "sgd"]
    assert drawn == {"mlp": [[0, 0.875], [1, 0.85]]}
    assert axes.lines[0].get_linestyle() == "None"


def test_what_did_not_succeed_is_left_out_by_name(capsys):
    """A failed experiment is shown with the metrics of the commit that it started from."""
    failed = experiment("bad-idea", 0, BASE[2], "failed", {"msg": "Experiment run failed"})
    queued = experiment("in-line", 50, {}, "queued")
    good = experiment("good", 60, {"mlp": 0.9, "cnn": 0.9})
    _, drawn = lines(shown(failed, queued, good))
    assert drawn == {"mlp": [[30, 0.875], [60, 0.9]]}
    assert capsys.readouterr().err.splitlines() == [
        "bad-idea is left out: it is failed",
        "in-line is left out: it is queued",
    ]


NOT_DVC = "standard input is not what `dvc exp show --json` prints"


@pytest.mark.parametrize(
    ("printed", "arguments", "message"),
    [
        (b"", ("mlp.width", "accuracy"), NOT_DVC),
        (b"\xff", ("mlp.width", "accuracy"), NOT_DVC),
        (b"[3]", ("mlp.width", "accuracy"), NOT_DVC),
        (b'{"rev": 1}', ("mlp.width", "accuracy"), NOT_DVC),
        (shown(), ("mlp.depth", "accuracy"), "no run has a parameter mlp.depth"),
        (
            shown(experiment("a", 60, {"mlp": 0.9})),
            ("mlp.width", "speed"),
            "no run has a metric speed",
        ),
        (
            shown(),
            ("mlp.width", "accuracy"),
            "mlp.width is 30 in every run; a sweep takes two values",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line(printed, arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(printed)))
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments, str(tmp_path / "sweep.png")])
    with pytest.raises(SystemExit) as caught:
        sweep.main()
    assert caught.value.code == f"error: {message}"
    assert not list(tmp_path.iterdir())
