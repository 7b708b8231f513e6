"""The figure of a sweep: its points, its axes, and what cannot be drawn."""

import io
import json
import sys

import pytest

from stages.tools import sweep

from common.sweeps import lines

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


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


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
        "bad-idea is left out: its state is failed",
        "in-line is left out: its state is queued",
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
            "mlp.width is 30 in every run; a sweep needs two values",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line(printed, arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(printed), encoding="utf-8"))
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments, str(tmp_path / "sweep.png")])
    with pytest.raises(SystemExit) as caught:
        sweep.main()
    assert caught.value.code == f"error: {message}"
    assert not list(tmp_path.iterdir())
