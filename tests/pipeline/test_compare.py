"""Two runs on one page, read as DVC keeps them."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from common import parameters, paths
from common.pages import Reader, needs_chromium, opened, serious_faults
from common.parameters import MODELS, SNAPSHOTS, section
from common.project import COMPARE, ENVIRONMENT, ROOT, copy_pipeline, execute

WINDOWS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
PAGE = "artifacts/compare.html"
TITLES = (
    "Loss of the training batch",
    "Accuracy on the validation images",
    "Accuracy on the training images",
)
CURVES = "artifacts/report/curves.csv"
ALL = "All metrics; the difference is the second minus the first"


def compare(folder, *revisions, **environment):
    """Run the command without a display, unless the environment given has one."""
    kept = {name: value for name, value in ENVIRONMENT.items() if name not in WINDOWS}
    return subprocess.run(
        (sys.executable, *COMPARE[1:], PAGE, *revisions),
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def tried(pipeline, made_once, tmp_path_factory):
    """A project with the experiments `few`, of fewer hidden units, and `fast`, of a larger learning
    rate; with no outputs but in the cache, so that whatever is there later was made later."""

    def make(folder):
        copy_pipeline(pipeline, folder)
        for name, change in (
            ("few", f"{section('mlp')}.layers.layer1.units=12"),
            ("fast", f"{section('mlp')}.optimizer.learning_rate=0.01"),
        ):
            execute(folder, "dvc", "exp", "run", "-n", name, "-S", change).check_returncode()
            execute(folder, "git", "checkout", "params.yaml", "dvc.lock").check_returncode()
        shutil.rmtree(folder / "artifacts")

    made = made_once("experiments", make)
    return copy_pipeline(made, tmp_path_factory.mktemp("tried") / "project")


def num_curves():
    """All that dvc.yaml has plotted over an x: of the learning curves, one of each model."""
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    places = [about["y"] for plot in plots if isinstance(plot, dict) for about in plot.values()]
    return sum(
        (1 if isinstance(columns, str) else len(columns)) * (len(MODELS) if path == CURVES else 1)
        for place in places
        for path, columns in place.items()
    )


@pytest.fixture(scope="module")
def num_weights(pipeline):
    files = [load_file(pipeline / paths.weights(model)) for model in MODELS]
    return sum(name.endswith(".weight") for file in files for name in file)


@pytest.fixture(scope="module")
def few(tried):
    """The page of HEAD and the experiment of other shapes."""
    result = compare(tried, "HEAD", "few")
    assert (result.returncode, result.stdout) == (0, f"{PAGE}\n"), result.stderr
    assert [path.name for path in (tried / "artifacts").rglob("*")] == ["compare.html"]
    return tried / PAGE


def shown(folder, revision):
    """What DVC itself says of the metrics of the MLP in a revision."""
    metrics = json.loads(
        execute(folder, "dvc", "metrics", "diff", "--all", "--json", "HEAD", revision).stdout
    )
    return metrics["artifacts/metrics/mlp.json"]


def test_parameters_and_metrics_are_dvc_s(pipeline, tried, few):
    read = Reader(few.read_text(encoding="utf-8"))
    assert read.tables["Those that differ"] == [
        ["Parameter", "HEAD", "few"],
        [f"{section('mlp')}.layers.layer1.units", "30", "12"],
    ]
    table = read.tables[ALL]
    assert table[0] == ["File", "Metric", "HEAD", "few", "Difference"]
    found = {row[1]: row[2:] for row in table if row[0] == "artifacts/metrics/mlp.json"}
    for name, change in shown(tried, "few").items():
        expected = [f"{change[key]:.6g}" for key in ("old", "new")]
        assert found[name] == [*expected, f"{change['diff']:+.6g}".replace("-", "−")]
    of_models = [row for row in table if row[0].startswith("artifacts/metrics/")]
    assert len(of_models) == len(MODELS) * len(found)
    classifier = json.loads((pipeline / paths.IMAGE_CLASSIFIER / "metrics.json").read_text("utf-8"))
    assert len(table) == 1 + len(of_models) + len(classifier)
    assert found["num_parameters"] == ["23860", "9550", "−14310"]
    others = [row for row in table[1:] if row[0] != "artifacts/metrics/mlp.json"]
    assert all(row[2] == row[3] and row[4] == "0" for row in others)


def test_curves_that_differ_lie_over_one_another(tried, few):
    """Those of the MLP alone, out of the table that has all of them."""
    page = few.read_text(encoding="utf-8")
    figures = Reader(page).figures
    names = ["loss", "val_accuracy", "train_accuracy"]
    assert figures == [f"{name} in {CURVES}, mlp." for name in names]
    titles = re.findall('<title id="title-chart-[0-9]+">(.*?)</title>', page)
    assert titles == [f"{title}, mlp: a line for each run" for title in TITLES]
    assert page.count('class="line line-1" d="M') == 2 * 3  # in the chart and its legend
    assert f"{num_curves() - 3} of {num_curves()} curves" in page


@needs_chromium
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_works_in_a_browser(browser, few, num_weights, width, scheme):
    with opened(browser, few, width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert serious_faults(page) == []
        captions = page.locator('[data-grid="0"] figcaption').all_inner_texts()
        assert captions == ["HEAD: 30 × 784", "few: 12 × 784"]
        assert page.get_by_text("The shapes differ, 30 × 784 and 12 × 784").is_visible()
        assert f"{num_weights - 2} of {num_weights} weights" in page.content()


@needs_chromium
def test_weights_of_the_same_shape_have_a_difference(browser, tried):
    """Every tile in its place, in the colours of its numbers."""
    assert compare(tried, "HEAD", "fast").returncode == 0
    read = {}
    for revision in ("HEAD", "fast"):
        code = (
            "import dvc.api, sys; from safetensors.numpy import load; sys.stdout.buffer.write("
            "load(dvc.api.read('artifacts/models/mlp.safetensors', rev=sys.argv[1], mode='rb'))"
            "['layer1.weight'].tobytes())"
        )
        result = subprocess.run(
            (sys.executable, "-c", code, revision), cwd=tried, env=ENVIRONMENT, capture_output=True
        )
        read[revision] = np.frombuffer(result.stdout, np.float32).reshape(30, 28, 28)
    read["difference"] = read["fast"] - read["HEAD"]
    largest = max(np.abs(read[name]).max() for name in ("HEAD", "fast"))
    with opened(browser, tried / PAGE) as page:
        figures = page.locator('[data-grid="0"] figure')
        assert figures.count() == 3
        for figure, (name, tiles) in zip(figures.all(), read.items(), strict=True):
            assert figure.locator("figcaption").inner_text() == f"{name}: 30 × 784"
            most = np.abs(tiles).max() if name == "difference" else largest
            assert re.match(rf"−{most:.2f}\s", figure.locator(".scale").inner_text())
            canvas = figure.locator("canvas").first.element_handle()
            height, width = page.evaluate("c => [c.height, c.width]", canvas)
            assert (height, width) == (5 * 29 - 1, 6 * 29 - 1)
            colours = page.evaluate(
                "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]", canvas
            )
            pixels = np.array(colours, int).reshape(height, width, 4)
            for index, tile in enumerate(tiles):
                top, left = index // 6 * 29, index % 6 * 29
                place = pixels[top : top + 28, left : left + 28]
                strong = np.abs(tile) > most / 10
                assert ((place[..., 0] > place[..., 2]) == (tile > 0))[strong].all()


def test_the_workspace_is_the_other_run_when_none_is_named(project, num_weights):
    params = parameters.read(project)
    parameters.set_value(params, SNAPSHOTS, 3)
    parameters.write(params, project)
    metrics = project / paths.metrics("cnn")
    found = json.loads(metrics.read_text(encoding="utf-8"))
    accuracy = found["test_accuracy"]
    metrics.write_text(json.dumps(found | {"test_accuracy": 0.5}), encoding="utf-8")
    assert compare(project, "HEAD").returncode == 0
    read = Reader((project / PAGE).read_text(encoding="utf-8"))
    assert read.tables["Those that differ"][1:] == [[SNAPSHOTS, "16", "3"]]
    table = read.tables[ALL]
    changed = [row[1:] for row in table[1:] if row[4] != "0"]
    assert changed == [["test_accuracy", f"{accuracy:.6g}", "0.5", f"−{accuracy - 0.5:.6g}"]]
    for same, what in ((num_curves(), "curves"), (num_weights, "weights")):
        assert f"{same} of {same} {what}" in (project / PAGE).read_text(encoding="utf-8")

    curves = project / CURVES
    curves.write_text(
        curves.read_text(encoding="utf-8").replace("iteration,loss", "iteration,lost"),
        encoding="utf-8",
    )
    result = compare(project, "HEAD")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"error: workspace: {CURVES} has no numbers iteration and loss\n")


def test_what_cannot_be_read_is_one_line(tried, tmp_path):
    (tried / PAGE).unlink(missing_ok=True)
    result = compare(tried, "HEAD", "nonsense")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: nonsense: unknown Git revision 'nonsense'\n"
    assert not (tried / PAGE).exists()

    elsewhere = tmp_path / "clone"
    execute(tmp_path, "git", "clone", "-q", str(tried), str(elsewhere)).check_returncode()
    result = compare(elsewhere, "HEAD")
    assert result.returncode == 1
    assert result.stderr == (
        f"error: HEAD: {paths.metrics(MODELS[0])}: it is neither in the cache nor in a remote; "
        "`dvc repro` would make it again\n"
    )
    shutil.rmtree(elsewhere / ".git")
    result = compare(elsewhere, "HEAD")
    assert result.returncode == 1
    message = "error: HEAD: .* is not a git repository; clone the project with git\n"
    assert re.fullmatch(message, result.stderr)


def test_a_window_opens_where_there_is_one(tried, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    result = compare(tried, "HEAD", "HEAD", BROWSER=f"{browser} %s")
    assert (result.returncode, result.stdout) == (0, f"{PAGE}\n")
    assert (tmp_path / "opened").read_text(encoding="utf-8") == f"{(tried / PAGE).as_uri()}\n"


def test_make_names_both_runs(tried):
    def commands(*arguments):
        kept = {name: v for name, v in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(
            ("make", "-n", "-o", ".venv/installed", "compare", *arguments),
            cwd=tried,
            env=kept,
            capture_output=True,
            text=True,
        )

    printed = commands("REV=exp-a", "AND=exp-b").stdout.splitlines()
    assert printed[-1].split()[2:] == [COMPARE[-1], PAGE, "exp-a", "exp-b"]
    assert "make compare needs a revision" in commands().stderr
