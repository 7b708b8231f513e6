"""The teacher's sheet: its lines run, and give the numbers that it shows."""

import csv
import json
import re
import shlex

import pytest

from common import paths
from common.project import ROOT, copy_pipeline, execute

SHEET = (ROOT / "docs/exercises.md").read_text(encoding="utf-8")
BACK, *LINES = re.findall(r"^    (.+)$", SHEET, re.MULTILINE)
EXERCISES = re.split(r"^## ", SHEET, flags=re.MULTILINE)[1:]


def shown(exercise):
    """The rows of its table: what, at the defaults, after the line."""
    return re.findall(r"^\| ([^|]+) \| ([^|]*)\| ([^|]+) \|$", exercise, re.MULTILINE)


def number(project, what):
    """The number that a row shows, as text."""
    if match := re.fullmatch(r"(\d+) images, (pixels|features)", what):
        count, column = match.groups()
        path = project / paths.DATA_EFFICIENCY / "accuracy.csv"
        rows = {row["images"]: row for row in csv.DictReader(path.open(encoding="utf-8"))}
        return rows.get(count, {column: ""})[column]
    words, name = re.fullmatch(r"(.+) of `(\w+)`", what).groups()
    if words in ("Output", "Pooled output"):
        path = project / paths.CONVOLUTION / "shapes.csv"
        rows = {row["convolution"]: row for row in csv.DictReader(path.open(encoding="utf-8"))}
        return rows[name]["pooled" if "Pooled" in words else "output"]
    keys = {"Training accuracy": "train_accuracy", "Validation accuracy": "val_accuracy"}
    keys |= {"Parameters": "num_parameters"}
    key = keys.get(words, words.lower().replace(" ", "_"))
    return str(round(json.loads((project / paths.metrics(name)).read_text("utf-8"))[key], 4))


@pytest.fixture(scope="module")
def project(pipeline, tmp_path_factory):
    return copy_pipeline(pipeline, tmp_path_factory.mktemp("exercises") / "project")


def test_there_are_ten_with_a_line_and_a_table_each():
    assert len(EXERCISES) == len(LINES) == 10
    assert all(len(shown(exercise)) >= 2 for exercise in EXERCISES)
    assert all(exercise.startswith(f"{i}. ") for i, exercise in enumerate(EXERCISES, start=1))


def test_the_sheet_shows_the_defaults(pipeline):
    for exercise in EXERCISES:
        for what, default, _ in shown(exercise)[1:]:
            assert number(pipeline, what) == default.strip(), what


@pytest.mark.slow
@pytest.mark.parametrize(("line", "exercise"), [*zip(LINES, EXERCISES, strict=True)])
def test_a_line_gives_the_numbers_of_its_table(project, line, exercise):
    result = execute(project, *shlex.split(line))
    assert result.returncode == 0, result.stderr
    found = [(what, number(project, what)) for what, _, _ in shown(exercise)[1:]]
    execute(project, "sh", "-c", BACK).check_returncode()
    assert found == [(what, here.strip()) for what, _, here in shown(exercise)[1:]]
