"""The figure of a sweep: its points, its axes, and what cannot be drawn."""

import io
import json
import sys

import pytest

from stages.tools import sweep

from common.sweeps import lines

BASE = ("master", 30, {"mlp": 0.875, "cnn": 0.9})


def revision(name, value, results, error=None, **others):
    """Of a run with this value of mlp.width, and other parameters."""
    metrics = {f"metrics/{file}.json": {"data": {"accuracy": y}} for file, y in results.items()}
    params = {"params.yaml": {"data": {"mlp": {"width": value}} | others}}
    data = {"params": params, "metrics": metrics}
    return {"rev": name * 2, "name": name, "data": data, "error": error}


def experiment(name, value, results, state="success", error=None, **others):
    return {
        "revs": [revision(name, value, results, error, **others)],
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


def test_equal_runs_are_one_point_and_others_of_the_same_parameters_are_named(capsys):
    """Their code may have been other: a line through both would have a vertical stroke."""
    same = experiment("same", *BASE[1:])
    other = experiment("other", 30, {"mlp": 0.885, "cnn": 0.9})
    _, drawn = lines(shown(same, other, experiment("a", 60, {"mlp": 0.9, "cnn": 0.9})))
    assert drawn == {"mlp": [[30, 0.875], [60, 0.9]]}
    assert capsys.readouterr().err == (
        "other is left out: accuracy in metrics/mlp.json is 0.885, and 0.875 in another run of the "
        "same parameters\n"
    )


def test_only_runs_that_agree_in_all_else_make_a_line(capsys):
    """The commit differs in the CNN's epochs, which the sweep inherited from the workspace."""
    other = {"mlp": 0.875, "cnn": 0.95}
    printed = shown(
        experiment("earlier", 30, other, cnn={"epochs": 10}),
        experiment("a", 10, other | {"mlp": 0.8}, cnn={"epochs": 10}),
        experiment("b", 90, other | {"mlp": 0.9}, cnn={"epochs": 10}),
        experiment("c", 90, other | {"mlp": 0.7}, cnn={"epochs": 20}, seed=1),
    )
    axes, drawn = lines(printed)
    assert drawn == {"mlp": [[10, 0.8], [30, 0.875], [90, 0.9]]}
    assert capsys.readouterr().err.splitlines() == [
        "master is left out: cnn.epochs is absent, not 10",
        "c is left out: cnn.epochs is 20, not 10; 1 more differ",
    ]


def test_a_grid_has_a_line_for_each_setting_of_the_rest():
    printed = shown(
        *(
            experiment(f"{width}-{seed}", width, {"mlp": 100 * width + seed}, seed=seed)
            for seed in (1, 2)
            for width in (10, 20)
        ),
        base=("master", 30, {}),
    )
    axes, drawn = lines(printed)
    assert drawn == {
        "mlp, seed 1": [[10, 1001], [20, 2001]],
        "mlp, seed 2": [[10, 1002], [20, 2002]],
    }
    assert {line.get_linestyle() for line in axes.lines} == {"-"}


def test_files_of_one_name_are_two_lines():
    printed = shown(
        experiment("a", 60, {"x/mlp": 0.8, "y/mlp": 0.85}), base=("m", 3, {"x/mlp": 1, "y/mlp": 0})
    )
    assert lines(printed)[1].keys() == {"metrics/x/mlp.json", "metrics/y/mlp.json"}


def test_a_metric_that_does_not_depend_on_the_parameter_is_said_so(capsys):
    lines(shown(experiment("a", 60, BASE[2])))
    assert capsys.readouterr().err == "accuracy is the same for all values of mlp.width\n"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (([100, 200], [100]), ["[100, 200]", "[100]"]),
        ((True, False), ["false", "true"]),
        ((True, 1), ["1", "true"]),
        ((None, "relu"), ["null", "relu"]),
        ((3, "auto"), ["3", "auto"]),
        ((float("nan"), 2), ["2", "NaN"]),
    ],
)
def test_values_of_any_kind_are_drawn(values, expected):
    first, second = values
    axes, drawn = lines(
        shown(experiment("a", second, {"mlp": 0.9}), base=("m", first, {"mlp": 0.8}))
    )
    assert ticks(axes) == expected and len(drawn["mlp"]) == 2
    assert axes.lines[0].get_linestyle() == "None"


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
        (b"[]", ("mlp.width", "accuracy"), "there is no successful run to draw"),
        (b"[" * 9999, ("mlp.width", "accuracy"), NOT_DVC),
        (
            shown(),
            ("mlp.depth", "accuracy"),
            "no run has a parameter mlp.depth; they have ['mlp.width']",
        ),
        (
            shown(),
            ("mlp", "accuracy"),
            "mlp is a section; name one parameter in it, such as mlp.width",
        ),
        (
            shown(experiment("a", 60, {"mlp": 0.9})),
            ("mlp.width", "speed"),
            "no run has a metric speed; they have ['accuracy']",
        ),
        (
            shown(experiment("a", 60, {"mlp": "good"}), base=("m", 30, {"mlp": "better"})),
            ("mlp.width", "accuracy"),
            "accuracy is better; only numbers can be drawn",
        ),
        (
            shown(experiment("a", 60, {"mlp": {"top": 0.9}}), base=("m", 30, {})),
            ("mlp.width", "accuracy"),
            "accuracy is a section; name one metric in it, such as accuracy.top",
        ),
        (
            shown(experiment("a", 60, {"mlp": 0.9}, seed=1)),
            ("mlp.width", "accuracy"),
            "no two runs differ in mlp.width alone; in a, seed is 1, not absent as in master",
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
