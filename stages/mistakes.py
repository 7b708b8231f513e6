"""Draw what a model takes for what: the confusion matrix of the test images, and those of its
mistakes that it was most sure of."""

from collections.abc import Sequence
from pathlib import Path

from stages.core.base.command import run

import numpy as np
from matplotlib.figure import Figure

from stages.core.base.labels import one_of, read_labels
from stages.core.base.params import read_params
from stages.core.base.tensors import open_tensors
from stages.core.base.values import percent
from stages.core.drawing.confusion import draw_confusion
from stages.core.drawing.figure import DPI, names_in_font, save_figure, shortened
from stages.core.drawing.grids import SMALL, Grid, draw_grids
from stages.core.learning.predictions import (
    Prediction,
    confusion_matrix,
    read_predictions,
    worst_mistakes,
)

SHOWN, COLUMNS = 24, 6  # mistakes, at most
TILE, LONGEST = 112, 60  # side of an image, and width of a label, pixels


def draw_mistakes(
    title: str, images: np.ndarray, predictions: Sequence[Prediction], labels: Sequence[str]
) -> Figure:
    """The worst mistakes on the images (uint8, N × side × side). Above each: the label, the model's
    answer, and the probability of that."""
    wrong = worst_mistakes(predictions)
    if not wrong:
        figure = Figure(figsize=(6, 1), dpi=DPI)
        said = f"{title}\nrecognises all {len(predictions):,} test images: there is no mistake."
        figure.text(0.04, 0.5, said, va="center", parse_math=False)
        return figure
    shown = wrong[:SHOWN]
    some = f"{SHOWN} of {len(wrong):,}" if len(wrong) > SHOWN else f"all {len(wrong)}"
    heading = (
        f"Mistakes on test images, {some}, the most certain first: {one_of(labels)} → answer, "
        "its probability"
    )
    names = [shortened(name, SMALL, LONGEST) for name in labels]
    above = [
        f"{names[actual]} → {names[predicted]}, {percent(probability)}"
        for actual, predicted, probability in (predictions[index] for index in shown)
    ]
    zoom = max(1, TILE // images.shape[2])
    grid = Grid(heading, images[shown] / np.float32(255), min(len(shown), COLUMNS), zoom, above)
    return draw_grids(title, [grid], (0, 1), "gray", unit="pixel")


def main(name: str, answers: Path, digits: Path, confusion: Path, mistakes: Path) -> None:
    title = read_params(f"models.{name}.title", str)
    with open_tensors(digits) as file:
        images = file.get_tensor("test_images")
    labels = read_labels(digits)
    predictions = read_predictions(answers, len(images), labels)
    shown = names_in_font(labels)
    actual, predicted, _ = zip(*predictions, strict=True)
    counts = confusion_matrix(actual, predicted, len(labels))
    save_figure(draw_confusion(title, counts, shown, one_of(labels)), confusion)
    save_figure(draw_mistakes(title, images, predictions, shown), mistakes)


if __name__ == "__main__":
    run(main)
