"""Draw what a model takes for what: the confusion matrix of the test images, and those of its
mistakes that it was most sure of."""

from collections.abc import Sequence
from pathlib import Path

from stages.core.base.command import run

import numpy as np
from matplotlib.figure import Figure

from stages.core.base.params import read_params
from stages.core.base.tensors import open_tensors
from stages.core.base.values import percent
from stages.core.drawing.confusion import draw_confusion
from stages.core.drawing.figure import DPI, save_figure
from stages.core.drawing.grids import Grid, draw_grids
from stages.core.learning.predictions import (
    Prediction,
    confusion_matrix,
    read_predictions,
    worst_mistakes,
)

SHOWN, COLUMNS = 24, 6  # mistakes, at most
ZOOM = 4


def draw_mistakes(title: str, images: np.ndarray, predictions: Sequence[Prediction]) -> Figure:
    """The worst mistakes on the images (uint8, N × 28 × 28). Above each: the digit, the model's
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
        f"Mistakes on test images, {some}, the most certain first: digit → answer, its probability"
    )
    labels = [
        f"{actual} → {predicted}, {percent(probability)}"
        for actual, predicted, probability in (predictions[index] for index in shown)
    ]
    grid = Grid(heading, images[shown] / np.float32(255), min(len(shown), COLUMNS), ZOOM, labels)
    return draw_grids(title, [grid], (0, 1), "gray", unit="pixel")


def main(name: str, answers: Path, digits: Path, confusion: Path, mistakes: Path) -> None:
    title = read_params(f"models.{name}.title", str)
    with open_tensors(digits) as file:
        images = file.get_tensor("test_images")
    predictions = read_predictions(answers, len(images))
    save_figure(draw_confusion(title, confusion_matrix(predictions)), confusion)
    save_figure(draw_mistakes(title, images, predictions), mistakes)


if __name__ == "__main__":
    run(main)
