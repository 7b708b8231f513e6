"""Train a small model on AlexNet's features of a folder of images. Say how good it is, how sure one
can be of that, which images it gets wrong, and which labels look wrong."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

import torch
from pydantic import Field

from stages.core.base.errors import InputError
from stages.core.base.files import new_file, write_csv
from stages.core.base.params import PARAMS, Params, Seed, read_params
from stages.core.base.progress import progress
from stages.core.base.values import percent
from stages.core.classifier.data import Data, labelled_data
from stages.core.classifier.model import (
    About,
    Classifier,
    answers,
    file_digest,
    fit,
    save_classifier,
)
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.statistics import (
    MOST_LABELS,
    Point,
    balanced_accuracy,
    baseline_accuracy,
    confusion_matrix,
    label_scores,
    most_confused,
    wilson,
)
from stages.core.classifier.suspects import FOLDS, Suspect, cross_validated, find_suspects
from stages.core.classifier.table import read_groups, read_table
from stages.core.drawing.confusion import draw_confusion
from stages.core.drawing.figure import in_font, names_in_font, save_figure
from stages.core.drawing.intervals import draw_accuracy
from stages.core.drawing.neighbours import SIDE, Mistake, Picture, draw_mistakes
from stages.core.exact.functions import cross_entropy

KEY = f"{PARAMS}: classify_images"
COUNTS = [step * 10**power for power in range(7) for step in (1, 2, 5)]  # images of each label
SHOWN, NEIGHBOURS = 12, 3  # mistakes in the figure, at most, and training images beside each

Share = Annotated[float, Field(gt=0, lt=1)]


class ClassifyImagesParams(Params):
    test: Share
    val: Share
    weight_decays: Annotated[list[Annotated[float, Field(ge=0, le=1000)]], Field(min_length=1)]
    seed: Seed


def log_loss(model: Classifier, data: Data, split: str) -> float:
    """The mean cross-entropy of a split's images."""
    features, labels = data.part(data.rows(split))
    return cross_entropy(model.logits(features), labels).item()


def measured(model: Classifier, data: Data, count: int) -> Point:
    """The test accuracy of a model that was trained on up to so many images of each label."""
    features, labels = data.part(data.rows("test"))
    right = int((model.probabilities(features).argmax(1) == labels.numpy()).sum())
    return Point(count, right / len(labels), *wilson(right, len(labels)))


def neighbours(model: Classifier, data: Data, rows: Sequence[int]) -> list[list[int]]:
    """For each of some images, by their rows: the training images that are nearest to it."""
    train = data.rows("train")
    known = model.standardised(data.table.features[torch.from_numpy(train)])
    images = [model.standardised(data.table.features[row]) for row in rows]
    return [train[model.nearest(known, image)[:NEIGHBOURS]].tolist() for image in images]


def mistakes_beside_neighbours(
    data: Data,
    wrong: Sequence[int],
    beside: Sequence[Sequence[int]],
    answered: Sequence[tuple[str, float]],
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
        answer, probability = answered[row]
        heading = f"{shown[data.table.labels[row] or '']} → {shown[answer]}, {percent(probability)}"
        found.append(Mistake(heading, picture(row), list(map(picture, nearest))))
    return found


def main(embedded_images: Path, alexnet: Path, out: Path) -> None:
    params = read_params("classify_images", ClassifyImagesParams)
    folder, size = Path(read_params("images.path", str)), read_params("images.size", int)
    if (both := params.test + params.val) >= 1:
        raise InputError(f"{KEY}: test + val is {both:g}; it should be less than 1")
    table = read_table(embedded_images)
    groups = read_groups(Path(read_params("images.groups", str)), table.paths, folder)
    data = labelled_data(table, groups, params.test, params.val, params.seed, KEY, folder)

    # Train with each weight decay, and keep the model that is best on the validation images.
    num_labels, seed = len(data.names), params.seed
    decays = sorted(set(params.weight_decays), reverse=True)  # of equally good ones, the largest
    counts = [count for count in COUNTS if count < data.most]
    with progress(len(decays) + len(counts) + FOLDS, "models") as done:
        best = None
        for decay in decays:
            model = fit(*data.part(data.rows("train")), num_labels, decay, seed)
            loss = log_loss(model, data, "val")
            if best is None or loss < best[0]:
                best = loss, decay, model
            done.update(1)
        assert best is not None
        val_loss, weight_decay, model = best

        # Fewer images of each label, and models that judge labels which they have not seen.
        points = []
        for count in counts:
            few = data.part(data.first_of_each(count, seed))
            points.append(measured(fit(*few, num_labels, weight_decay, seed), data, count))
            done.update(1)
        points.append(measured(model, data, data.most))
        judged = cross_validated(data, weight_decay, seed, done.update)

    probabilities = model.probabilities(table.features)
    answered = answers(probabilities, data.names)
    train, test = data.rows("train"), data.rows("test")
    actual, predicted = data.labels[test], probabilities.argmax(1)[test]
    matrix = confusion_matrix(actual, predicted, num_labels)
    results = {
        "test_accuracy": points[-1].accuracy,
        "test_accuracy_low": points[-1].low,
        "test_accuracy_high": points[-1].high,
        "baseline_accuracy": baseline_accuracy(data.labels[train].tolist(), actual.tolist()),
        "balanced_accuracy": balanced_accuracy(matrix),
        "test_loss": log_loss(model, data, "test"),
        "val_loss": val_loss,
        "weight_decay": weight_decay,
        "num_labels": num_labels,
        "num_train": len(train),
        "num_val": len(data.rows("val")),
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
            (path, split, label, *answer)
            for path, split, label, answer in zip(
                table.paths, data.splits, table.labels, answered, strict=True
            )
        ),
    )
    write_csv(
        out / "confusion.csv",
        ("actual", "predicted"),
        ((data.names[a], data.names[p]) for a, p in zip(actual, predicted, strict=True)),
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
    wrong = sorted(test[actual != predicted].tolist(), key=lambda row: -answered[row][1])
    worst = wrong[:SHOWN]
    beside = neighbours(model, data, worst)
    write_csv(
        out / "neighbours.csv",
        ("path", "rank", "neighbour"),
        (
            (table.paths[row], rank, table.paths[other])
            for row, nearest in zip(worst, beside, strict=True)
            for rank, other in enumerate(nearest, start=1)
        ),
    )
    mistakes = mistakes_beside_neighbours(data, worst, beside, answered, folder, size)
    save_figure(draw_mistakes(mistakes, len(wrong), len(test)), out / "mistakes.png")
    print(
        f"{percent(points[-1].accuracy)} of {len(test):,} test images recognised (95 % interval: "
        f"{percent(points[-1].low)} to {percent(points[-1].high)}); always saying the commonest "
        f"label, {percent(results['baseline_accuracy'])}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
