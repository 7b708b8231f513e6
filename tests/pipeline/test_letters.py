"""Other images than MNIST's, by parameters alone: 26 letters of 24 × 24 pixels."""

import json
import textwrap
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import pytest

from stages.core.data.digits import read_splits
from stages.core.data.idx import read_part
from stages.core.learning.trained import load_model

from common import parameters, paths
from common.artifacts import rows_of
from common.letters import SIDE, write_letters
from common.pages import needs_chromium, opened
from common.project import REPRO, ROOT, copy_pipeline, execute
from common.stages import run_stage

LETTERS = [*ascii_uppercase]


@pytest.fixture(scope="module")
def letters(pipeline, made_once):
    """The project after `dvc repro` on the letters."""

    def make(folder):
        copy_pipeline(pipeline, folder)
        write_letters(folder / "letters")
        params = parameters.read(folder)
        params["digits"] = {"path": "letters", "labels": LETTERS, "train": 1560, "val": 520}
        params["digits"]["test"] = 260
        for model in params["models"].values():
            last = [*model["layers"]][-1]
            model["layers"][last]["units"] = len(LETTERS)
        parameters.write(params, folder)
        result = execute(folder, *REPRO)
        assert result.returncode == 0, result.stdout + result.stderr

    return made_once("letters", make)


@pytest.mark.slow
def test_every_stage_takes_the_labels_and_the_side_from_the_files(letters):
    assert read_splits(letters / paths.DIGITS)["test"].inputs.shape == (260, 1, SIDE, SIDE)
    for name in parameters.MODELS:
        model = load_model(letters / paths.weights(name))
        assert model.labels == LETTERS
        answers = rows_of(letters / paths.predictions(name))
        assert {row["actual"] for row in answers} == {*LETTERS}
        accuracy = json.loads((letters / paths.metrics(name)).read_text("utf-8"))["test_accuracy"]
        right = sum(row["actual"] == row["predicted"] for row in answers)
        assert accuracy == right / 260 > 10 / 26  # guessing: 1 / 26
    folders = {path.name for path in (letters / paths.SAMPLE_IMAGES).iterdir()}
    assert folders == {*LETTERS}
    assert {
        row["label"] for row in rows_of(letters / paths.IMAGE_CLASSIFIER / "per_label.csv")
    } == ({*LETTERS})


@pytest.mark.slow
@needs_chromium
def test_the_page_speaks_of_labels_and_trains_the_same_model(letters, browser):
    with opened(browser, letters / paths.REPORT) as page:
        words = page.locator("body").inner_text().replace("digits.train", "")
        assert "digit" not in words.lower()
        assert page.locator("#verdict").inner_text().startswith("Test image 0: A. They say: ")
        page.locator("#begin").click()
        page.locator("#outcome", has_text="The same, byte for byte").wait_for(timeout=0)


def test_a_model_with_too_few_logits_is_one_line(tmp_path, monkeypatch, failure):
    monkeypatch.chdir(tmp_path)
    write_letters(Path("letters"))
    params = parameters.read()
    params["digits"] |= {"path": "letters", "train": 260, "val": 26, "test": 26}
    parameters.write(params)
    run_stage("split_digits")
    assert failure("train@logistic") == (
        "params.yaml: models.logistic.layers.layer.units is 10; "
        "the last layer should have 26, one for each label"
    )


def test_the_lines_of_the_docs_write_such_files(tmp_path):
    text = (ROOT / "docs/own-pipeline.md").read_text(encoding="utf-8")
    lines = text[text.index("    import struct\n") :].split("\n## ")[0]
    found = {}
    exec(textwrap.dedent(lines), found)
    images = np.arange(3 * 25).reshape(3, 5, 5)
    found["write_idx"](tmp_path / "train-images-idx3-ubyte", images)
    found["write_idx"](tmp_path / "train-labels-idx1-ubyte", np.array([7, 1, 4]))
    part = read_part(tmp_path, "train")
    assert np.array_equal(part.images, images) and part.labels.tolist() == [7, 1, 4]
