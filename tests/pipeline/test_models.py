"""A model is an entry in params.yaml, and no other line anywhere."""

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from stages.core.learning.models import build
from stages.core.learning.trained import load_model

from common import graph, parameters, paths
from common.artifacts import rows_of
from common.pages import needs_chromium, opened
from common.project import CHECK, copy_pipeline, execute, ran

SETTINGS = {"batch_size": 64, "epochs": 2, "eval_every": 10, "seed": 0, "input": "digits"}
ADAM = {"kind": "adam", "learning_rate": 0.003, "weight_decay": 0.0}
SGD = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0}
ADDED = yaml.safe_load("""
lenet5: # LeCun et al., "Gradient-based learning applied to document recognition", 1998
  title: LeNet-5
  layers:
    conv1: {kind: conv, channels: 6, kernel: 5, padding: 2, stride: 1}
    tanh1: {kind: tanh}
    pool1: {kind: avg_pool, window: 2}
    conv2: {kind: conv, channels: 16, kernel: 5, padding: 0, stride: 1}
    tanh2: {kind: tanh}
    pool2: {kind: avg_pool, window: 2}
    fc1: {kind: linear, units: 120}
    tanh3: {kind: tanh}
    fc2: {kind: linear, units: 84}
    tanh4: {kind: tanh}
    fc3: {kind: linear, units: 10}
two_hidden:
  title: MLP with two hidden layers
  layers:
    layer1: {kind: linear, units: 24}
    relu1: {kind: relu}
    layer2: {kind: linear, units: 16}
    relu2: {kind: relu}
    layer3: {kind: linear, units: 10}
dropout:
  title: MLP with dropout
  layers:
    layer1: {kind: linear, units: 24}
    relu1: {kind: relu}
    dropout1: {kind: dropout, p: 0.5}
    layer2: {kind: linear, units: 10}
every-kind:
  title: "All's <here> & there"
  layers:
    first: {kind: avg_pool, window: 2}
    conv: {kind: conv, channels: 5, kernel: 4, padding: 3, stride: 3}
    tanh: {kind: tanh}
    largest: {kind: max_pool, window: 2}
    wide: {kind: conv, channels: 7, kernel: 1, padding: 1, stride: 1}
    positive: {kind: relu}
    drop: {kind: dropout, p: 0.2}
    hidden: {kind: linear, units: 12}
    squashed: {kind: tanh}
    logits: {kind: linear, units: 10}
""")
FORWARD = """name => Array.from({length: 100}, (_, i) => [...forward(name, testDigit(i)).logits])"""


def stages_of(*models):
    """The stages that `foreach` makes of a model."""
    names = {name.split("@")[0] for name in graph.stages() if "@" in name}
    return {f"{name}@{model}" for name in names for model in models}


@pytest.fixture(scope="module")
def extended(pipeline, made_once):
    """The project with more models, after `dvc repro`; what that ran is in the file `ran`."""

    def make(folder):
        copy_pipeline(pipeline, folder)
        params = parameters.read(folder)
        for index, (name, model) in enumerate(ADDED.items()):
            params["models"][name] = model | SETTINGS | {"optimizer": (ADAM, SGD)[index % 2]}
        parameters.write(params, folder)
        result = execute(folder, "dvc", "repro")
        (folder / "ran").write_text(json.dumps(sorted(ran(result))), encoding="utf-8")

    return made_once("extended", make)


def test_adding_models_runs_their_own_stages_and_the_page(extended):
    assert set(json.loads((extended / "ran").read_text(encoding="utf-8"))) == stages_of(*ADDED) | {
        "report"
    }


def test_added_models_are_measured_drawn_and_plotted(extended):
    metrics = json.loads(execute(extended, "dvc", "metrics", "show", "--json").stdout)
    plots = json.loads(execute(extended, "dvc", "plots", "show", "--json").stdout)["data"]
    [loss] = plots["loss"]
    drawn = {point["model"] for point in loss["content"]["data"]["values"]}
    assert drawn == {*ADDED, *parameters.MODELS}
    for name in ADDED:
        found = metrics[""]["data"][str(paths.metrics(name))]["data"]
        weights = load_model(extended / paths.weights(name)).weights
        assert found["num_parameters"] == sum(weight.size for weight in weights.values())
        assert found["test_accuracy"] > 0.15  # guessing gives 0.1
        for figure in ("loss", "accuracy", "weights", "confusion", "mistakes"):
            assert str(paths.figure(name, figure)) in plots
        assert str(paths.predictions(name)) in plots
    assert {row["model"] for row in rows_of(extended / "artifacts/report/curves.csv")} == drawn


def test_lenet_has_the_parameters_of_1998(extended):
    """But for its second convolution, which sees all six maps here, and for its output layer."""
    weights = load_model(extended / paths.weights("lenet5")).weights
    sizes = {
        name: (weights[f"{name}.weight"].size + len(weights[f"{name}.bias"]))
        for name in ("conv1", "conv2", "fc1", "fc2", "fc3")
    }
    assert sizes == {"conv1": 156, "conv2": 2416, "fc1": 48120, "fc2": 10164, "fc3": 850}


@needs_chromium
def test_added_models_answer_in_the_page_to_the_bit(browser, extended):
    """Every kind of layer; the logits of 100 test digits."""
    images = load_file(extended / paths.DIGITS)["test_images"][:100]
    inputs = torch.from_numpy(images).unsqueeze(1) / 255
    with opened(browser, extended / paths.REPORT) as page:
        assert {*ADDED} < {*page.evaluate("Object.keys(data.models)")}
        for name in ADDED:
            trained = load_model(extended / paths.weights(name))
            model = build(trained.layers, trained.input_shape, seed=1, where="").eval()
            model.load_state_dict(
                {key: torch.from_numpy(weight) for key, weight in trained.weights.items()}
            )
            with torch.inference_mode():
                expected = model(inputs).numpy()
            assert np.array_equal(page.evaluate(FORWARD, name), expected), name
            shown = page.locator(f"#answer-{name}")
            assert shown.locator("h3").inner_text() == ADDED[name]["title"]
            assert shown.locator(".answer").inner_text().split()[0] == str(expected[0].argmax())
            page.locator("#verdict").get_by_text(f"{ADDED[name]['title']} ").wait_for()


def remove(folder, *models):
    params = parameters.read(folder)
    for model in models:
        del params["models"][model]
    parameters.write(params, folder)


@needs_chromium
@pytest.mark.parametrize("kept", [("logistic", "mlp", "cnn"), ("cnn",), ("probe",)])
def test_removing_models_leaves_a_working_pipeline(project, browser, kept):
    remove(project, *set(parameters.MODELS) - {*kept})
    assert ran(execute(project, "dvc", "repro")) == {"report"}
    shown = json.loads(execute(project, "dvc", "metrics", "show", "--json").stdout)
    assert shown[""]["data"].keys() == {
        *(str(paths.metrics(model)) for model in kept),
        str(paths.IMAGE_CLASSIFIER / "metrics.json"),
    }
    result = execute(project, "dvc", "plots", "show", "--json")
    assert result.returncode == 0 and not json.loads(result.stdout).get("errors")
    with opened(browser, project / paths.REPORT) as page:
        live = [name for name in kept if name != "probe"]
        names = "typeof data === 'undefined' ? [] : Object.keys(data.models ?? {})"
        assert page.evaluate(names) == live
    own = project / "artifacts/models/notes.txt"
    own.write_text("somebody's own", encoding="utf-8")
    removed = execute(project, *CHECK)
    assert own.exists()
    own.unlink()
    assert removed.returncode == 0, removed.stderr
    for model in set(parameters.MODELS) - {*kept}:
        assert not list(project.glob(f"artifacts/*/{model}*")), model
    execute(project, "dvc", "repro").check_returncode()
    assert "up to date" in execute(project, "dvc", "status").stdout


def test_the_order_of_layers_counts(project):
    """DVC compares sections without the order of their keys."""
    params = parameters.read(project)
    layers = params["models"]["cnn"]["layers"]
    names = list(layers)
    first, second = names.index("pool1"), names.index("relu1")
    names[first], names[second] = names[second], names[first]
    params["models"]["cnn"]["layers"] = {name: layers[name] for name in names}
    parameters.write(params, project)
    assert "train@cnn" in ran(execute(project, "dvc", "repro"))
    assert list(load_model(project / paths.weights("cnn")).layers) == names


def test_a_model_that_does_not_fit_is_one_line_that_names_the_layer(project):
    before = (project / paths.weights("cnn")).read_bytes()
    parameters.change(project, "models.cnn.layers.conv2", kernel=15, padding=0)
    result = execute(project, "dvc", "repro")
    assert result.returncode != 0 and "Traceback" not in result.stderr
    [message] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message.startswith("error: params.yaml: models.cnn.layers.conv2 has a kernel of 15 × 15")
    assert "4 × 14 × 14" in message
    parameters.change(project, "models.cnn.layers.conv2", kernel=3, padding=1)
    assert ran(execute(project, "dvc", "repro")) == set()
    assert (project / paths.weights("cnn")).read_bytes() == before


STAGE = '''"""Count the digits of each label."""

from pathlib import Path

from stages.core.base.command import run

import numpy as np

from stages.core.base.files import write_csv
from stages.core.base.tensors import load_tensors


def main(digits: Path, table: Path) -> None:
    labels = load_tensors(digits)["train_labels"]
    write_csv(table, ("label", "count"), enumerate(np.bincount(labels)))


if __name__ == "__main__":
    run(main)
'''
ENTRY = """
  count_labels:
    cmd: python -m stages.count_labels data/digits.safetensors artifacts/labels.csv
    deps:
      - stages/count_labels.py
      - stages/core/base
      - data/digits.safetensors
    outs:
      - artifacts/labels.csv
"""


def test_a_new_stage_takes_its_module_and_its_entry_and_runs_no_other(project):
    (project / "stages/count_labels.py").write_text(STAGE, encoding="utf-8")
    dvc = (project / "dvc.yaml").read_text(encoding="utf-8")
    (project / "dvc.yaml").write_text(
        dvc.replace("stages:", f"stages:{ENTRY}", 1), encoding="utf-8"
    )
    assert ran(execute(project, "dvc", "repro")) == {"count_labels"}
    counts = [int(row["count"]) for row in rows_of(project / "artifacts/labels.csv")]
    assert len(counts) == 10 and sum(counts) == parameters.read(project)["digits"]["train"]
