"""What a model takes for what: its answers, the confusion matrix, and its worst mistakes."""

import csv

import numpy as np
import pytest
from matplotlib.colors import to_hex

from stages import mistakes
from stages.core.base.errors import InputError
from stages.core.base.files import write_csv
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import save_tensors
from stages.core.base.values import percent
from stages.core.drawing.confusion import SHADES, draw_confusion
from stages.core.drawing.shades import shades
from stages.core.learning.predictions import (
    Prediction,
    confusion_matrix,
    read_predictions,
    worst_mistakes,
)

from common import parameters, paths
from common.artifacts import GAP, LABEL, LEFT, TOP, drawn
from common.stages import run_stage

ANSWERS = [
    Prediction(*answer)
    for answer in [(3, 3, 0.9), (5, 3, 0.6), (8, 3, 0.99), (5, 3, 0.99), (8, 8, 1.0), (0, 6, 0.3)]
]
HEAD = "actual,predicted,probability\n"


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_answers_are_read_as_they_were_written(tmp_path):
    write_csv(tmp_path / "answers.csv", Prediction._fields, ANSWERS)
    assert read_predictions(tmp_path / "answers.csv", 6, DIGITS) == ANSWERS


@pytest.mark.parametrize("name", ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "", "é"])
def test_any_text_is_read_as_it_was_written(tmp_path, name):
    path = tmp_path / "names.csv"
    write_csv(path, ("name", "number"), [(name, 1), (name, 2)])
    with path.open(encoding="utf-8", newline="") as file:
        assert [*csv.reader(file)] == [["name", "number"], [name, "1"], [name, "2"]]
    assert path.read_bytes().count(b"\n") == 3 + 2 * name.count("\n")


def test_labels_in_a_file_are_names(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text(HEAD + '"b, c",é,0.5\n', encoding="utf-8")
    assert read_predictions(path, 1, ["a", "b, c", "é"]) == [Prediction(1, 2, 0.5)]


@pytest.mark.fault("a table of predictions that is none")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is not a table of predictions: "),
        (HEAD + "1,2\n", "is not a table of predictions: "),
        (HEAD + "1,2,a\n", "is not a table of predictions: "),
        (HEAD + "1,10,0.5\n", "has the label '10', which is none of the 10"),
        (HEAD + "-1,1,0.5\n", "has the label '-1', which is none of the 10"),
        (HEAD + "1,1,nan\n", "should have labels and probabilities in the columns "),
        (HEAD + "1,1,1.5\n", "should have labels and probabilities in the columns "),
        ("a,b,c\n1,1,0.5\n", "should have labels and probabilities in the columns "),
        (HEAD, "has 0 predictions; it should have 1, one for each test image"),
        (HEAD + "1,1,0.5\n" * 2, "has 2 predictions; it should have 1, one for each test image"),
    ],
)
def test_a_table_that_is_none_is_one_line(tmp_path, content, problem):
    path = tmp_path / "answers.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_predictions(path, 1, DIGITS)
    assert str(caught.value).startswith(f"{path} {problem}") and "\n" not in str(caught.value)


def test_a_confusion_matrix_has_the_digits_in_rows():
    actual, predicted, _ = zip(*ANSWERS, strict=True)
    counts = confusion_matrix(actual, predicted, 10)
    assert counts.shape == (10, 10) and counts.sum() == 6 and counts.trace() == 2
    assert (counts[5, 3], counts[3, 5], counts[8, 3], counts[0, 6]) == (2, 0, 1, 1)


def test_the_worst_mistakes_are_the_surest_and_of_equal_ones_the_first():
    assert worst_mistakes(ANSWERS) == [2, 3, 1, 5]
    assert worst_mistakes([Prediction(1, 1, 1.0)]) == []


def test_a_mistake_is_shaded_by_its_share_of_the_row():
    """Whatever is in the other rows; nothing right is, and a digit without images has no shade."""
    counts = np.zeros((10, 10), int)
    counts[1] = [4, 823, 5, 10, 20, 40, 79, 19, 0, 0]
    counts[2, :3] = [80, 0, 920]
    counts[3, 4] = 1
    expected = np.zeros((10, 10), int)
    expected[1] = [0, 0, 1, 2, 3, 4, 4, 2, 0, 0]
    expected[2, 0] = expected[3, 4] = 5
    assert np.array_equal(shades(counts), expected)


def test_the_figure_has_every_count_in_its_cell_and_the_scale():
    counts = np.arange(100).reshape(10, 10) ** 2
    figure = draw_confusion("$CNN", counts, DIGITS, "digit")
    axes, bar = figure.axes
    places = {text.get_position(): text.get_text() for text in axes.texts}
    assert places == {
        (column + 0.5, row + 0.5): str(count) for (row, column), count in np.ndenumerate(counts)
    }
    assert axes.get_ylim() == (10, 0)  # rows from the top
    assert [label.get_text() for label in axes.get_xticklabels()] == [*"0123456789"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [*"0123456789"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("digit", "answer")
    right = percent(counts.trace() / counts.sum())
    assert axes.get_title() == (
        f"$CNN\nrecognises {counts.trace():,} of 328,350 test images, {right}"
    )
    [mesh] = axes.collections
    shown = [to_hex(colour) for colour in mesh.to_rgba(mesh.get_array()).reshape(-1, 4)]
    assert shown == [to_hex(SHADES[shade]) for shade in shades(counts).flat]
    labels = [label.get_text() for label in bar.get_xticklabels()]
    assert labels == ["0.5 %", "1 %", "2 %", "4 %", "8 %"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with 40 test images, each of a grey of its own: six times its number."""
    monkeypatch.chdir(tmp_path)
    parameters.write(parameters.read())
    images = np.arange(0, 240, 6, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    save_tensors({"test_images": images}, paths.DIGITS, in_metadata(DIGITS))
    return tmp_path


def draw(answers):
    write_csv(paths.predictions("cnn"), Prediction._fields, answers)
    run_stage("mistakes@cnn")
    assert paths.figure("cnn", "confusion").exists()
    return drawn(paths.figure("cnn", "mistakes"))


def test_the_images_stand_in_the_order_of_their_probabilities(folder):
    answers = [Prediction(1, 2, (index * 7 % 40) / 40) for index in range(40)]
    picture = draw(answers)
    order = sorted(range(40), key=lambda index: -answers[index].probability)
    for place, index in enumerate(order[:24]):
        row, column = divmod(place, 6)
        top, left = TOP + row * (112 + GAP + LABEL), LEFT + column * (112 + GAP)
        assert np.abs(picture[top : top + 112, left : left + 112] - 6 * index).max() <= 1


@pytest.mark.parametrize(
    ("wrong", "said"), [(40, "24 of 40"), (25, "24 of 25"), (24, "all 24"), (1, "all 1")]
)
def test_it_is_said_how_many_there_are(wrong, said):
    answers = [Prediction(1, 2 if index < wrong else 1, 0.987) for index in range(40)]
    figure = mistakes.draw_mistakes("CNN", np.zeros((40, 28, 28), np.uint8), answers, DIGITS)
    title, heading, *labels = texts(figure)
    assert title == "CNN" and heading.startswith(f"Mistakes on test images, {said}, ")
    assert labels == ["1 → 2, 98.7\N{NO-BREAK SPACE}%"] * min(wrong, 24)


def test_a_model_without_mistakes_has_a_figure_too(folder):
    answers = [Prediction(1, 1, 0.5)] * 40
    draw(answers)
    figure = mistakes.draw_mistakes("$CNN", np.zeros((40, 28, 28), np.uint8), answers, DIGITS)
    assert texts(figure) == ["$CNN\nrecognises all 40 test images: there is no mistake."]


def test_too_few_answers_are_one_line(folder, failure):
    write_csv(paths.predictions("cnn"), Prediction._fields, [Prediction(1, 1, 0.5)] * 39)
    assert failure("mistakes@cnn") == (
        f"{paths.predictions('cnn')} has 39 predictions; it should have 40, one for each test image"
    )
    assert not paths.figure("cnn", "confusion").exists()
