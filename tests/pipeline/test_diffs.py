"""What a user does who compares changes, from end to end, with the numbers that come out."""

import json
from collections import defaultdict

import pytest

from common.graph import downstream
from common.parameters import UNITS, change_model, change_units, section, value
from common.project import execute, ran


def metrics(project, model):
    return json.loads((project / f"artifacts/metrics/{model}.json").read_text(encoding="utf-8"))


def as_json(project, *command):
    result = execute(project, "dvc", *command, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def git(project, *command):
    execute(project, "git", *command).check_returncode()


def test_a_walk_through_changes(project, tmp_path):
    before = {model: metrics(project, model) for model in ("mlp", "cnn", "logistic")}
    change_units(project, 20)
    change_model(project, "cnn", epochs=1)
    assert ran(execute(project, "dvc", "repro")) == downstream("train@mlp", "train@cnn")
    after = {model: metrics(project, model) for model in before}

    assert as_json(project, "params", "diff") == {
        "params.yaml": {
            UNITS: {"old": 30, "new": 20, "diff": -10},
            f"{section('cnn')}.epochs": {"old": 3, "new": 1, "diff": -2},
        }
    }
    shown = as_json(project, "metrics", "diff")
    assert shown.keys() == {f"artifacts/metrics/{model}.json" for model in ("mlp", "cnn")}
    mlp = shown["artifacts/metrics/mlp.json"]
    assert mlp["num_parameters"] == {"old": 23860, "new": 795 * 20 + 10, "diff": -7950}
    for model in ("mlp", "cnn"):
        for name, values in shown[f"artifacts/metrics/{model}.json"].items():
            old, new = before[model][name], after[model][name]
            assert old != new
            assert values == {"old": old, "new": new, "diff": pytest.approx(new - old)}
    assert after["cnn"]["test_accuracy"] < before["cnn"]["test_accuracy"]

    command = ("plots", "diff", "-o", str(tmp_path / "plots"), "--targets", "loss")
    [plot] = as_json(project, *command)["data"]["loss"]
    points = defaultdict(list)
    for point in plot["content"]["data"]["values"]:
        points[point["rev"], point["model"]].append(float(point["loss"]))
    for revision, results, iterations in (("HEAD", before, 93), ("workspace", after, 31)):
        assert len(points[revision, "cnn"]) == iterations
        assert points[revision, "cnn"][-1] == results["cnn"]["loss"]
    assert points["HEAD", "logistic"] == points["workspace", "logistic"]

    git(project, "checkout", "-q", "-b", "smaller")
    git(project, "commit", "-qam", "Smaller")
    git(project, "checkout", "-q", "master")
    execute(project, "dvc", "checkout").check_returncode()
    assert {model: metrics(project, model) for model in before} == before
    assert "up to date" in execute(project, "dvc", "status").stdout
    assert as_json(project, "metrics", "diff", "master", "smaller") == shown
    git(project, "checkout", "-q", "smaller")
    execute(project, "dvc", "checkout").check_returncode()
    assert {model: metrics(project, model) for model in before} == after

    tried = ("dvc", "exp", "run", "-n", "tried", "-S", f"{UNITS}=25")
    execute(project, *tried).check_returncode()
    result = metrics(project, "mlp")
    assert result["num_parameters"] == 795 * 25 + 10
    git(project, "reset", "-q", "--hard")
    execute(project, "dvc", "checkout").check_returncode()
    _, commit = json.loads(execute(project, "dvc", "exp", "show", "--json").stdout)
    [[experiment]] = [found["revs"] for found in commit["experiments"]]
    assert experiment["name"] == "tried"
    data = experiment["data"]
    assert value(data["params"]["params.yaml"]["data"], UNITS) == 25
    assert data["metrics"]["artifacts/metrics/mlp.json"]["data"] == result
    assert metrics(project, "mlp") == after["mlp"]
    execute(project, "dvc", "exp", "apply", "tried").check_returncode()
    assert metrics(project, "mlp") == result
    assert ran(execute(project, "dvc", "repro")) == set()
