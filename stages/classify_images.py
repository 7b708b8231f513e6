"""Train a small model on AlexNet's features of a folder of images. Say how good it is, how sure one
can be of that, which images it gets wrong, and which labels look wrong."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

import numpy as np
from pydantic import Field

from stages.core.base.errors import InputError
from stages.core.base.files import file_digest, new_file, write_csv
from stages.core.base.params import PARAMS, Params, Seed, read_params
from stages.core.base.progress import progress
from stages.core.base.values import percent
from stages.core.classifier.data import Data, labelled_data
from stages.core.classifier.model import (
    About,
    Classifier,
    fit,
    save_classifier,
)
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.results import Point, Suspect
from stages.core.classifier.statistics import (
    MOST_LABELS,
    balanced_accuracy,
    baseline_accuracy,
    label_scores,
    most_confused,
    wilson,
)
from stages.core.classifier.suspects import FOLDS, cross_validated, find_suspects
from stages.core.classifier.table import Part, read_groups, read_table
from stages.core.drawing.confusion import draw_confusion
from stages.core.drawing.figure import in_font, names_in_font, save_figure
from stages.core.drawing.intervals import draw_accuracy
from stages.core.drawing.neighbours import SIDE, Mistake, Picture, draw_mistakes
from stages.core.learning.predictions import confusion_matrix

KEY = f"{PARAMS}: classify_images"
COUNTS = [step * 10**power for power in range(7) for step in (1, 2, 5)]  # images of each label
SHOWN, NEIGHBOURS = 12, 3  # mistakes in the figure, at most, and training images beside each

Share = Annotated[float, Field(gt=0, lt=1)]


class ClassifyImagesParams(Params):
    test: Share
    val: Share
    weight_decays: Annotated[list[Annotated[float, Field(ge=0, le=1000)]], Field(min_length=1)]
    copies_together: bool
    seed: Seed


def measured(model: Classifier, test: Part, count: int) -> Point:
    """The test accuracy of a model that was trained on up to so many images of each label."""
    right = int((model.answers(test)[0] == test.labels.numpy()).sum())
    return Point(count, right / len(test), *wilson(right, len(test)))


def mistakes_beside_neighbours(
    data: Data,
    wrong: Sequence[int],
    beside: Sequence[Sequence[int]],
    predicted: np.ndarray,
    shares: np.ndarray,
    folder: Path,
    size: int,
) -> list[Mistake]:
    """Images with a wrong answer, by their rows, and the training images beside each."""
    shown = dict(zip(data.names, names_in_font(data.names), strict=True))

    def picture(row: int) -> Picture:
        path, label = data.table.paths[row], data.table.labels[row]
        file = in_font(path.rpartition("/")[2], f"row {row + 2} of predictions.csv")
        return Picture(thumbnail(folder, path, size, SIDE), [shown[label or ""], file])

    found = []
    for row, nearest in zip(wrong, beside, strict=True):
        answer, probability = shown[data.names[predicted[row]]], percent(shares[row])
        heading = f"{shown[data.table.labels[row] or '']} → {answer}, {probability}"
        found.append(Mistake(heading, picture(row), list(map(picture, nearest))))
    return found


def main(embedded_images: Path, alexnet: Path, out: Path) -> None:
    params = read_params("classify_images", ClassifyImagesParams)
    folder, size = Path(read_params("images.path", str)), read_params("images.size", int)
    if (both := params.test + params.val) >= 1:
        raise InputError(f"{KEY}: test + val is {both:g}; it should be less than 1")
    table = read_table(embedded_images, out.parent)
    groups = read_groups(Path(read_params("images.groups", str)), table.paths, folder)
    data = labelled_data(
        table, groups, params.copies_together, params.test, params.val, params.seed, KEY, folder
    )

    # Train with each weight decay, and keep the model that is best on the validation images.
    num_labels, seed = len(data.names), params.seed
    decays = sorted(set(params.weight_decays), reverse=True)  # of equally good ones, the largest
    train, val, test = (data.part(data.rows(split)) for split in ("train", "val", "test"))
    counts = [count for count in COUNTS if count < data.most]
    with progress(len(decays) + len(counts) + FOLDS, "models") as done:
        best = None
        for decay in decays:
            model = fit(train, num_labels, decay, seed)
            loss = model.loss(val)
            if best is None or loss < best[0]:
                best = loss, decay, model
            done.update(1)
        assert best is not None
        val_loss, weight_decay, model = best

        # Fewer images of each label, and models that judge labels which they have not seen.
        points = []
        for count in counts:
            few = data.part(data.first_of_each(count))
            points.append(measured(fit(few, num_labels, weight_decay, seed), test, count))
            done.update(1)
        points.append(measured(model, test, data.most))
        judged = cross_validated(data, weight_decay, seed, done.update)

    predicted, shares = model.answers(data.part(np.arange(len(table.paths))))
    tested = test.rows.numpy()
    actual, answered = data.labels[tested], predicted[tested]
    matrix = confusion_matrix(actual, answered, num_labels)
    results = {
        "test_accuracy": points[-1].accuracy,
        "test_accuracy_low": points[-1].low,
        "test_accuracy_high": points[-1].high,
        "baseline_accuracy": baseline_accuracy(train.labels.tolist(), actual.tolist()),
        "balanced_accuracy": balanced_accuracy(matrix),
        "test_loss": model.loss(test),
        "val_loss": val_loss,
        "weight_decay": weight_decay,
        "num_labels": num_labels,
        "num_train": len(train),
        "num_val": len(val),
        "num_test": len(test),
    }
    with new_file(out / "metrics.json") as file:
        file.write((json.dumps(results, indent=2) + "\n").encode())
    about = About(labels=data.names, size=size, alexnet=file_digest(alexnet))
    save_classifier(model, about, out / "model.safetensors")

    counted = Counter(zip(data.labels.tolist(), data.splits.tolist(), strict=True))
    write_csv(
        out / "per_label.csv",
        ("label", "train", "val", "test", "precision", "recall", "f1"),
        (
            (name, *(counted[label, split] for split in ("train", "val", "test")), *scores)
            for label, (name, scores) in enumerate(
                zip(data.names, label_scores(matrix), strict=True)
            )
        ),
    )
    write_csv(
        out / "predictions.csv",
        ("path", "split", "label", "predicted", "probability"),
        (
            (path, split, label, data.names[answer], share)
            for path, split, label, answer, share in zip(
                table.paths, data.splits, table.labels, predicted, shares, strict=True
            )
        ),
    )
    write_csv(
        out / "confusion.csv",
        ("actual", "predicted"),
        ((data.names[a], data.names[p]) for a, p in zip(actual, answered, strict=True)),
    )
    write_csv(out / "suspects.csv", Suspect._fields, find_suspects(data, judged))
    write_csv(out / "accuracy.csv", Point._fields, points)

    names = names_in_font(data.names)
    shown = most_confused(matrix, MOST_LABELS)
    title = "Logistic regression on AlexNet's features"
    if len(shown) < num_labels:
        title += f"\n(the {len(shown)} of {num_labels:,} labels with the most mistakes)"
    save_figure(draw_confusion(title, matrix, names, "label", shown), out / "confusion.png")
    save_figure(
        draw_accuracy(points, results["baseline_accuracy"], len(test)), out / "accuracy.png"
    )
    wrong = sorted(tested[actual != answered].tolist(), key=lambda row: -shares[row])
    worst = wrong[:SHOWN]
    beside = [model.nearest(train, table.features[row], NEIGHBOURS).tolist() for row in worst]
    write_csv(
        out / "neighbours.csv",
        ("path", "rank", "neighbour"),
        (
            (table.paths[row], rank, table.paths[other])
            for row, nearest in zip(worst, beside, strict=True)
            for rank, other in enumerate(nearest, start=1)
        ),
    )
    mistakes = mistakes_beside_neighbours(data, worst, beside, predicted, shares, folder, size)
    save_figure(draw_mistakes(mistakes, len(wrong), len(test)), out / "mistakes.png")
    print(
        f"{percent(points[-1].accuracy)} of {len(test):,} test images recognised (95 % interval: "
        f"{percent(points[-1].low)} to {percent(points[-1].high)}); always saying the commonest "
        f"label, {percent(results['baseline_accuracy'])}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
