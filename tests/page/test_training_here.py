"""Training in the page: the same bytes as the pipeline's, with its numbers and with others; and all
that the section says."""

import base64
import json
import math
import re
import shlex
import time
from contextlib import chdir, suppress
from unittest.mock import patch

import numpy as np
import pytest
import yaml
from playwright.sync_api import expect

from stages import report
from stages.core.base.errors import InputError
from stages.core.base.params import read_params
from stages.core.base.tensors import load_tensors
from stages.core.base.values import percent, rounded
from stages.core.data.digits import read_splits
from stages.core.learning.models import build, weights
from stages.core.learning.trained import TrainedModel, load_model
from stages.core.learning.training import train
from stages.train import ModelParams

from common import parameters, paths
from common.artifacts import rows_of
from common.firefox import firefox, needs_firefox
from common.pages import (
    copy_inputs,
    keep_models,
    needs_chromium,
    opened,
    serious_faults,
)
from common.project import execute
from common.stages import run_stage

pytestmark = needs_chromium

PARAMS = parameters.read()
TITLES = {name: model["title"] for name, model in PARAMS["models"].items()}
POOL = """() => [pool.images, pool.labels].map((bytes) =>
    btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")))"""
OTHERS = 1  # workers: that which says which pixels speak for an answer
RUN = "() => JSON.stringify({losses: run.losses, points: run.points, digest: run.digest})"


@pytest.fixture(scope="module")
def still(browser, path):
    """A page in which no test changes anything."""
    with opened(browser, path) as page:
        yield page


def choose(page, model):
    page.get_by_role("group", name="Model").last.get_by_label(TITLES[model], exact=True).check()


def field(page, key):
    return page.locator(f'[data-key="{key}"]')


def change(page, key, text):
    field(page, key).fill(str(text))


def train_here(page):
    """Until it has ended; its losses, the points of its curves, and its digest."""
    page.locator("#begin").click()
    ended(page)
    return json.loads(page.evaluate(RUN))


def ended(page):
    page.locator("#pause:disabled").wait_for()


def wait_for_no_worker(page):
    """That trains. The browser tells of its end a little later."""
    while len(page.workers) > OTHERS:
        page.wait_for_timeout(10)


def assert_same_run(pipeline, model, run):
    """Every loss, and the accuracies that were measured, are those of the file; the digest is that
    of the trained model."""
    rows = rows_of(pipeline / paths.curves(model))
    assert run["losses"] == [[int(row["iteration"]), float(row["loss"])] for row in rows]
    measured = [point["iteration"] for point in run["points"]]
    assert measured[-1] == len(rows) and len(measured) == 30
    assert {b - a for a, b in zip(measured, measured[1:], strict=False)} <= {3, 4}
    for point in run["points"]:
        row = rows[point["iteration"] - 1]
        assert point["train"] == float(row["train_accuracy"])
        assert point["val"] == float(row["val_accuracy"])
    assert run["digest"] == load_model(pipeline / paths.weights(model)).digest


@pytest.mark.parametrize(
    "model", ["logistic", *(pytest.param(m, marks=pytest.mark.slow) for m in ("mlp", "cnn"))]
)
def test_it_trains_the_pipeline_s_model(page, pipeline, digits, model):
    """And says so, in words, numbers and pictures."""
    choose(page, model)
    expect(page.locator("#training-now")).to_contain_text("Not trained yet")
    run = train_here(page)
    assert_same_run(pipeline, model, run)
    trained = load_model(pipeline / paths.weights(model))
    count = sum(weight.size for weight in trained.weights.values())
    expect(page.locator("#outcome")).to_have_text(
        f"The same, byte for byte: all {count:,} weights are those of the pipeline’s model."
    )
    for place in ("#digest-here", "#digest-there", "#expect code:last-child"):
        expect(page.locator(place)).to_have_text(trained.digest)
    expect(page.locator("#line")).to_have_text("dvc repro")

    last = rows_of(pipeline / paths.curves(model))[-1]
    loss = rounded(float(last["loss"]), ".3f")
    shares = [percent(float(last[f"{part}_accuracy"])) for part in ("train", "val")]
    expect(page.locator("#training-now")).to_have_text(
        f"Iteration 93 of 93: loss {loss}. {shares[0]} of the training digits and {shares[1]} of "
        "the validation digits recognised at iteration 93."
    )
    progress = page.get_by_role("progressbar", name="Iterations done")
    assert progress.evaluate("bar => [bar.value, bar.max]") == [93, 93]
    answers = rows_of(pipeline / paths.predictions(model))[:300]
    tested = percent(sum(row["actual"] == row["predicted"] for row in answers) / 300)
    row = page.locator("#tried tr").first.locator("th, td").all_inner_texts()
    expected = ["1", TITLES[model], "nothing", loss, *shares, tested, trained.digest[:12]]
    assert row == expected

    first = next(name for name in trained.layers if trained.parameters(name))
    weight = trained.weights[f"{first}.weight"]
    number = min(64, len(weight))
    assert page.locator("#training-tiles canvas").count() == number
    assert page.evaluate("[...run.weights]") == pytest.approx(weight[:64].ravel().tolist(), abs=0)
    lines = page.locator("#training-loss path").evaluate_all("all => all.map(e => e.outerHTML)")
    assert len(lines) == 2
    before, here = (re.search(' d="([^"]*)"', line)[1] for line in lines)
    assert before == here and before.count("L") == 92


def test_the_digits_in_the_page_are_those_of_the_pipeline(still, digits):
    images, labels = (
        np.frombuffer(base64.b64decode(text), np.uint8) for text in still.evaluate(POOL)
    )
    for found, what in ((images.reshape(-1, 28, 28), "images"), (labels, "labels")):
        expected = np.concatenate([digits[f"{part}_{what}"] for part in ("train", "val")])
        assert np.array_equal(found, expected)


# What a reader may change, and the line that does the same.
CHANGES = {
    "logistic-sgd": (
        "logistic",
        {"kind": "sgd", "momentum": "0.8", "learning_rate": "0.05", "epochs": "1"},
        "-S models.logistic.optimizer.kind=sgd -S models.logistic.optimizer.learning_rate=0.05 "
        "-S ++models.logistic.optimizer.momentum=0.8 -S models.logistic.epochs=1",
    ),
    "mlp": (
        "mlp",
        {"learning_rate": "2e-2", "batch_size": "100", "units": "12", "train": "500", "seed": "7"},
        "-S models.mlp.optimizer.learning_rate=0.02 -S models.mlp.batch_size=100 "
        "-S models.mlp.layers.layer1.units=12 -S digits.train=500 -S models.mlp.seed=7",
    ),
    "cnn": (
        "cnn",
        {"weight_decay": "0.01", "conv1.channels": "2", "epochs": "1", "train": "128"},
        "-S models.cnn.optimizer.weight_decay=0.01 -S models.cnn.epochs=1 "
        "-S models.cnn.layers.conv1.channels=2 -S digits.train=128",
    ),
}


def key_of(model, name):
    """The full name of a number, by what it is called in CHANGES."""
    layers = PARAMS["models"][model]["layers"]
    if name == "train":
        return "digits.train"
    if name in ("learning_rate", "momentum", "weight_decay"):
        return f"models.{model}.optimizer.{name}"
    if name == "units":
        name = f"{next(iter(layers))}.units"
    return f"models.{model}.{'layers.' if '.' in name else ''}{name}"


def make_changes(page, model, changes):
    choose(page, model)
    for name, text in changes.items():
        if name == "kind":
            page.get_by_label("Optimizer").select_option(text)
        else:
            change(page, key_of(model, name), text)


def with_changes(line, params):
    """The parameters after a line of `dvc exp run`."""
    command, *options = line.split(" -S ")
    assert command == "dvc exp run"
    for option in options:
        name, _, text = shlex.split(option)[0].partition("=")
        if name.startswith("~"):
            *above, key = name[1:].split(".")
            del parameters.value(params, ".".join(above))[key]
        else:
            parameters.set_value(params, name.removeprefix("++"), yaml.safe_load(text))
    return params


def trained_in_python(pipeline, folder, params, model):
    """The digest of the model that these parameters give."""
    parameters.write(params, folder)
    with chdir(folder):
        about = read_params(f"models.{model}", ModelParams)
    tensors = load_tensors(pipeline / paths.DIGITS)
    count = params["digits"]["train"]
    split = read_splits(pipeline / paths.DIGITS)["train"]
    assert len(tensors["train_labels"]) == len(split.labels) >= count
    split = type(split)(*(tensor[:count] for tensor in split))
    made = build(about.layers, (1, 28, 28), about.seed, "")
    last = about.num_iterations(count, "")
    for _ in train(
        made, about, split, split, num_iterations=last, eval_every=last, where=f"models.{model}"
    ):
        pass
    return TrainedModel((1, 28, 28), about.layers, weights(made), []).digest


@pytest.mark.parametrize(
    "name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in ("logistic-sgd", "cnn"))]
)
def test_other_numbers_make_the_model_that_the_line_makes(page, pipeline, tmp_path, name):
    model, changes, options = CHANGES[name]
    make_changes(page, model, changes)
    line = f"dvc exp run {options}"
    expect(page.locator("#line")).to_have_text(line)
    expect(page.locator("#expect")).to_contain_text("Train it here first")
    run = train_here(page)
    digest = trained_in_python(pipeline, tmp_path, with_changes(line, parameters.read()), model)
    assert run["digest"] == digest
    expect(page.locator("#expect code").last).to_have_text(digest)
    expect(page.locator("#outcome")).to_contain_text("since you changed its numbers")
    assert page.locator("#tried td code").inner_text() == digest[:12]
    said = page.locator("#tried .wide").inner_text().split(", ")
    assert len(said) == len(changes) and all(re.fullmatch(r"[\w.]+=\w+(\.\d+)?", s) for s in said)

    page.get_by_role("button", name="Undo all changes").click()
    expect(page.locator("#line")).to_have_text("dvc repro")
    expect(page.locator("#undo")).to_be_disabled()
    expect(page.locator("#expect")).to_contain_text("Train it here first")


@pytest.mark.slow
@needs_firefox
def test_it_trains_the_same_models_in_firefox(pipeline, path, tmp_path):
    start = """model => {
        document.querySelector(`input[name=trained][value=${model}]`).click();
        document.getElementById("begin").click();
    }"""
    with firefox(tmp_path) as page:
        page.goto(path)
        for model in ("logistic", "mlp", "cnn"):
            page.evaluate(start, model)
            while not page.evaluate("() => document.getElementById('pause').disabled"):
                time.sleep(0.1)
            assert_same_run(pipeline, model, json.loads(page.evaluate(RUN)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_the_line_trains_that_model_in_the_pipeline(page, project, name):
    """And `train` prints the digest that the page expects; the accuracies are the page's. What is
    drawn of the model does not matter here, and takes long."""
    model, changes, _ = CHANGES[name]
    make_changes(page, model, changes)
    last = train_here(page)["points"][-1]
    line = page.locator("#line").inner_text()
    digest = page.locator("#expect code").last.inner_text()
    result = execute(project, *shlex.split(line), f"train@{model}")
    assert result.returncode == 0, result.stderr
    path = paths.weights(model)
    assert f"{path}: the digest of the weights is {digest}\n" in result.stdout
    assert load_model(project / path).digest == digest
    metrics = json.loads((project / paths.metrics(model)).read_text(encoding="utf-8"))
    assert [metrics[f"{part}_accuracy"] for part in ("train", "val")] == [
        last["train"],
        last["val"],
    ]


@pytest.mark.slow
def test_another_kind_of_optimizer_takes_the_numbers_of_its_own(browser, project):
    """From SGD to Adam, which has no momentum."""
    sgd = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0}
    parameters.change_model(project, "logistic", optimizer=sgd)
    execute(project, "dvc", "repro").check_returncode()
    execute(project, "git", "commit", "-qam", "SGD").check_returncode()
    with opened(browser, project / paths.REPORT) as page:
        assert train_here(page)["digest"] == load_model(project / paths.weights("logistic")).digest
        page.get_by_label("Optimizer").select_option("adam")
        assert field(page, key_of("logistic", "momentum")).count() == 0
        digest = train_here(page)["digest"]
        line = page.locator("#line").inner_text()
    assert line == (
        "dvc exp run -S models.logistic.optimizer.kind=adam "
        "-S '~models.logistic.optimizer.momentum'"
    )
    result = execute(project, *shlex.split(line))
    assert result.returncode == 0, result.stderr
    assert load_model(project / paths.weights("logistic")).digest == digest


WRONG = [
    ("learning_rate", "0"),
    ("learning_rate", "-1e-7"),
    ("learning_rate", "1e999"),
    ("learning_rate", "fast"),
    ("weight_decay", "-0.5"),
    ("batch_size", "0"),
    ("batch_size", "6.5"),
    ("batch_size", "64.0"),
    ("batch_size", "1e3"),
    ("batch_size", "2001"),
    ("epochs", "-3"),
    ("epochs", "many"),
    ("units", "0"),
    ("units", "1025"),
    ("seed", "-1"),
    ("seed", "4294967296"),
]


def refusal(folder, params, model):
    """What the stage `train` would say, without the name of the file."""
    parameters.write(params, folder)
    with chdir(folder), pytest.raises(InputError) as caught:
        about = read_params(f"models.{model}", ModelParams)
        about.num_iterations(params["digits"]["train"], f"params.yaml: models.{model}")
    return str(caught.value).removeprefix("params.yaml: ")


def test_wrong_numbers_are_refused_in_the_pipeline_s_words(page, tmp_path):
    choose(page, "mlp")
    alert = page.locator("#wrong")
    for name, text in WRONG:
        key = key_of("mlp", name)
        before = field(page, key).input_value()
        change(page, key, text)
        params = parameters.read()
        value = yaml.safe_load(text)
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(text)  # YAML 1.2 knows 1e3
        parameters.set_value(params, key, value)
        expect(alert).to_have_text(refusal(tmp_path, params, "mlp"))
        expect(field(page, key)).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#line")).to_have_text("–")
        page.locator("#begin").click()
        assert len(page.workers) == OTHERS
        change(page, key, before)
        expect(alert).to_be_empty()
        expect(field(page, key)).to_have_attribute("aria-invalid", "false")
    for text, problem in (
        ("63", "digits.train is 63; it should be greater than or equal to 64"),
        ("2001", "digits.train is 2001; it should be less than or equal to 2000"),
    ):
        change(page, "digits.train", text)
        expect(alert).to_have_text(problem)


@pytest.mark.parametrize("learning_rate", ["1e38", pytest.param("1e300", marks=pytest.mark.slow)])
def test_a_run_that_diverges_says_so_as_the_pipeline_does(page, pipeline, tmp_path, learning_rate):
    change(page, key_of("logistic", "learning_rate"), learning_rate)
    page.locator("#begin").click()
    ended(page)
    params = parameters.read()
    parameters.set_value(params, key_of("logistic", "learning_rate"), float(learning_rate))
    with pytest.raises(InputError) as caught:
        trained_in_python(pipeline, tmp_path, params, "logistic")
    expect(page.locator("#outcome")).to_have_text(str(caught.value))
    expect(page.locator("#tried .wide").last).to_contain_text("diverges: the loss is ")
    wait_for_no_worker(page)


def test_it_stops_goes_on_and_ends_with_the_page(page, pipeline):
    """What it makes is the same; and there is never more than one worker."""
    page.evaluate(
        "document.getElementById('begin').click(); document.getElementById('pause').click()"
    )
    expect(page.locator("#outcome")).to_have_text("Stopped. Nothing is lost: it can go on.")
    expect(page.locator("#pause")).to_have_text("Go on")
    page.locator("#number-digits-train").scroll_into_view_if_needed()
    assert len(page.workers) == OTHERS + 1
    before = page.evaluate("run.iteration ?? 0")
    assert before <= 2  # at most one iteration was under way, and its report
    page.locator("#pause").click()
    ended(page)
    run = json.loads(page.evaluate(RUN))
    assert_same_run(pipeline, "logistic", run)
    wait_for_no_worker(page)

    choose(page, "cnn")
    page.locator("#begin").click()
    expect(page.locator("#training-now")).to_contain_text("Iteration")
    page.get_by_label("Next test digit").click()  # the page can be used meanwhile
    expect(page.locator("#verdict")).to_contain_text("Test digit 1, a 2.")
    page.locator("#begin").click()
    expect(page.locator("#training-now")).to_contain_text("Iteration")
    while len(page.workers) > OTHERS + 1:
        page.wait_for_timeout(10)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    expect(page.locator("#outcome")).to_have_text("Training ended when you left the page.")
    expect(page.locator("#pause")).to_be_disabled()
    wait_for_no_worker(page)
    choose(page, "mlp")
    expect(page.locator("#training-now")).to_contain_text("Not trained yet")


def test_the_keyboard_is_enough_to_train(page, pipeline):
    choose(page, "logistic")
    page.locator("#begin").focus()
    page.keyboard.press("Tab")  # the button Stop is disabled: to the optimizer
    assert page.evaluate("document.activeElement.id") == "optimizer"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "range"
    page.keyboard.press("ArrowRight")
    expect(field(page, key_of("logistic", "learning_rate"))).to_have_value("0.02")
    expect(page.locator("#line")).to_have_text(
        "dvc exp run -S models.logistic.optimizer.learning_rate=0.02"
    )
    page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type("0.01")
    expect(page.locator("#line")).to_have_text("dvc repro")
    page.keyboard.press("Shift+Tab")
    expect(page.locator(":focus")).to_have_attribute("aria-valuetext", "0.01")
    page.locator("#begin").focus()
    page.keyboard.press("Enter")
    ended(page)
    expect(page.locator("#outcome")).to_contain_text("The same, byte for byte")


@pytest.mark.slow
def test_the_line_is_copied(browser, path):
    with opened(browser, path, permissions=["clipboard-read", "clipboard-write"]) as page:
        change(page, key_of("logistic", "seed"), "3")
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("#copied")).to_have_text("Copied.")
        text = page.evaluate("navigator.clipboard.readText()")
        assert text == "dvc exp run -S models.logistic.seed=3"


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1400])
def test_a_run_fits_and_is_accessible(browser, path, width):
    with opened(browser, path, width) as page:
        change(page, key_of("logistic", "epochs"), "1")
        change(page, key_of("logistic", "learning_rate"), "0.02")
        train_here(page)
        change(page, key_of("logistic", "seed"), "-5")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert serious_faults(page) == []


@pytest.mark.slow
def test_a_page_with_room_for_few_digits_says_so(browser, pipeline, tmp_path):
    """And trains with those, as the pipeline does with the numbers in the line."""
    copy_inputs(pipeline, tmp_path)
    keep_models(tmp_path, "logistic")
    with chdir(tmp_path), patch.object(report, "DIGIT_BYTES", 100_000):
        run_stage("report")
    with opened(browser, tmp_path / paths.REPORT) as page:
        digits = page.evaluate("({...lesson.digits, images: '', labels: ''})")
        count, val = digits["train"], digits["val"]
        assert digits["all"] == {"train": 2000, "val": 500}
        assert 200 < count < 400 and val == (count + val) // 5
        text = " ".join(page.locator("#train").inner_text().split())
        assert (
            f"The page has no room for all digits: it has the first {count} of 2,000 training "
            f"digits, and the next {val} to validate, where the pipeline has 500." in text
        )
        line = f"dvc exp run -S digits.train={count} -S digits.val={val}"
        expect(page.locator("#line")).to_have_text(line)
        run = train_here(page)
        expect(page.locator("#outcome")).to_contain_text(
            f"this page has room for only {count} of its 2,000 training digits"
        )
        params = with_changes(line, parameters.read())
        assert run["digest"] == trained_in_python(pipeline, tmp_path, params, "logistic")


def test_models_on_features_cannot_be_trained_here(still):
    names = still.locator("input[name=trained]").evaluate_all("all => all.map(e => e.value)")
    assert names == [name for name, m in PARAMS["models"].items() if m["input"] == "digits"]
    expect(still.locator("#train > p").last).to_have_text(
        "Logistic regression on features learns from AlexNet's features, which are not in this "
        "page, so it cannot be trained here."
    )


def test_names_that_dvc_takes_in_no_option_are_changed_by_hand(still):
    changes = [("models.2fc.epochs", "5"), ("++models.2fc.optimizer.momentum", "0.9")]
    assert still.evaluate("lineOf", changes).split("\n") == [
        "# in params.yaml:",
        "# models.2fc.epochs: 5",
        "# models.2fc.optimizer.momentum: 0.9",
        "dvc repro",
    ]
    line = "dvc exp run -S models.7.epochs=5 -S '~models.7.optimizer.momentum'"
    changes = [("models.7.epochs", "5"), ("~models.7.optimizer.momentum", None)]
    assert still.evaluate("lineOf", changes) == line


def test_numbers_are_written_as_python_writes_them(still):
    values = [0.0, 1.0, -2.5, 1e-4, 1e-5, 1.5e-7, 123456.75, 1e15, 1e16, 1e22, 5e-324, 0.1]
    found = still.evaluate("all => all.map((value) => written(value))", values)
    assert found == [repr(value) for value in values]
    ends = still.evaluate("[written(Infinity), written(-Infinity), written(NaN)]")
    assert ends == [repr(math.inf), repr(-math.inf), repr(math.nan)]


def test_iterations_are_measured_where_the_curve_has_points(still):
    for last, every in ((93, 1), (93, 10), (1, 1), (5, 9), (29, 1), (31, 1), (10_000, 7)):
        found = still.evaluate("([last, every]) => [...measuredAt(last, every)]", [last, every])
        points = {n for n in range(1, last + 1) if n % every == 0 or n == last}
        assert set(found) <= points and last in found
        assert len(found) == min(30, len(points))
