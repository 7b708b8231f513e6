"""A classifier of one's own images on the page: what its files say, and small pictures of images.

Pictures are JPEG, a quarter of the size of PNG. Their bytes are the same on every machine: Pillow's
version is pinned, its libjpeg-turbo computes in integers unless asked for floats, its code for each
processor gives what its C code gives, and the Huffman tables are the standard's.
"""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stages.core.base.errors import InputError
from stages.core.base.tables import read_table
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.results import Answer, Point, Suspect, read_answers
from stages.core.classifier.statistics import (
    MOST_LABELS,
    most_confused,
)
from stages.core.drawing.shades import shades
from stages.core.learning.predictions import confusion_matrix
from stages.core.page.chart import Chart, Line
from stages.core.parallel.threads import in_threads

SIDE = 64  # of a picture, pixels
QUALITY = 70  # of JPEG
PICTURES = 500  # at most: each is an image to open
SUSPECTS = 12  # that are shown for each reason, at most
REASONS = 6  # that are shown, at most
LONGEST_NAME, LONGEST_LABEL = 80, 40  # letters that are shown of a file's and a label's


class Results(NamedTuple):
    """What `classify_images` wrote: the labels, in order; the answers to the test images; the
    training images nearest to the worst mistakes, by their paths; the suspects; the test accuracy
    by the number of training images; metrics.json."""

    labels: list[str]
    answers: list[Answer]
    neighbours: dict[str, list[str]]
    suspects: list[Suspect]
    points: list[Point]
    metrics: dict[str, float]


FILES = (  # that the results are in
    "per_label.csv",
    "predictions.csv",
    "neighbours.csv",
    "suspects.csv",
    "accuracy.csv",
    "metrics.json",
)


def read_results(*paths: Path) -> Results:
    """Read FILES, by their paths. Raises InputError if one of them holds something else."""
    of_labels, of_answers, of_neighbours, of_suspects, of_points, of_metrics = paths
    labels = read_table(of_labels, lambda row: row["label"])
    answers = read_answers(of_answers)
    if unknown := {label for answer in answers for label in answer[1:3]} - {*labels}:
        raise InputError(f"{of_answers}: {of_labels} has no label {min(unknown)}")
    neighbours = defaultdict(list)
    for path, neighbour in read_table(of_neighbours, lambda row: (row["path"], row["neighbour"])):
        neighbours[path].append(neighbour)
    return Results(
        labels,
        answers,
        dict(neighbours),
        read_table(of_suspects, suspect_of),
        read_table(of_points, point_of),
        json.loads(of_metrics.read_text(encoding="utf-8")),
    )


def suspect_of(row: Mapping[str, str]) -> Suspect:
    share = float(row["probability"]) if row["probability"] else None
    fields: dict[str, Any] = {name: row[name] for name in Suspect._fields}
    return Suspect(**fields | {"probability": share})


def point_of(row: Mapping[str, str]) -> Point:
    images, *shares = (row[name] for name in Point._fields)
    return Point(int(images), *map(float, shares))


class Shown(NamedTuple):
    """What the page shows of the results, whether or not there is room for the pictures.

    `labels`: the numbers of those in the table of what is taken for what, and `counts`: that table
    (labels in rows, answers in columns). `cells`: the test images behind each count of it that is
    not zero, the surest answers first. `mistakes`: the worst ones. `suspects`: by their reasons.
    """

    labels: list[int]
    counts: np.ndarray
    cells: dict[tuple[int, int], list[Answer]]
    mistakes: list[Answer]
    suspects: dict[str, list[Suspect]]


def shown(results: Results) -> Shown:
    number = {label: index for index, label in enumerate(results.labels)}
    answers = sorted(results.answers, key=lambda answer: -answer.probability)
    places = [(number[answer.label], number[answer.predicted]) for answer in answers]
    actual, predicted = np.array(places, np.int64).reshape(-1, 2).T
    counts = confusion_matrix(actual, predicted, len(number))
    labels = most_confused(counts, MOST_LABELS)
    cells = defaultdict(list)
    for place, answer in zip(places, answers, strict=True):
        cells[place].append(answer)
    place_of = {label: index for index, label in enumerate(labels)}
    within = {
        (place_of[row], place_of[column]): cells[row, column]
        for row, column in sorted(cells)
        if row in place_of and column in place_of
    }
    suspects = defaultdict(list)
    for suspect in results.suspects:
        suspects[suspect.reason].append(suspect)
    mistakes = [answer for answer in answers if answer.path in results.neighbours]
    return Shown(labels, counts, within, mistakes, dict([*suspects.items()][:REASONS]))


def wanted(results: Results, what: Shown) -> list[str]:
    """The paths of the images to show, those that the page needs most first, without those for
    which it would be too many."""
    paths = []
    for answer in what.mistakes:
        paths += [answer.path, *results.neighbours[answer.path]]
    for suspects in what.suspects.values():
        for suspect in suspects[:SUSPECTS]:
            paths += [suspect.path, suspect.same_as]
    ranked = [
        (row == column, rank, -answer.probability, answer.path)
        for (row, column), answers in what.cells.items()
        for rank, answer in enumerate(answers)
    ]
    paths += [path for *_, path in sorted(ranked)]  # mistakes first, and some of every cell
    return [*dict.fromkeys(path for path in paths if path)][:PICTURES]


def as_jpeg(pixels: np.ndarray, quality: int = QUALITY) -> str:
    """Pixels height × width × 3 (uint8), in base64."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="jpeg", quality=quality, subsampling="4:2:0")
    return base64.b64encode(file.getvalue()).decode()


def jpegs(paths: Sequence[str], folder: Path, size: int) -> dict[str, str]:
    """Pictures of images in a folder, by their paths: of what the network sees, size × size pixels.

    Raises InputError if an image can no longer be read.
    """

    def jpeg(path: str) -> str:
        return as_jpeg(thumbnail(folder, path, size, SIDE))

    return dict(zip(paths, in_threads(jpeg, paths), strict=True))


def head_length(picture: str) -> int:
    """How many letters of such a picture are the same in all of them: those before its scan."""
    content = base64.b64decode(picture)
    return content.index(b"\xff\xda") // 3 * 4


def first_pictures(pictures: Mapping[str, str], room: int) -> dict[str, str]:
    """The first of the pictures, by their paths, as far as they fit into so many bytes."""
    kept: dict[str, str] = {}
    for path, picture in pictures.items():
        # The picture, and what stands around it in the page: its name among others.
        room -= len(picture) - head_length(picture) * bool(kept) + 2 * len(json.dumps(path)) + 160
        if room < 0:
            break
        kept[path] = picture
    return kept


def short_label(label: str) -> str:
    return shortened(label, LONGEST_LABEL)


def shortened(text: str, longest: int) -> str:
    """Text without its middle if it is too long."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[1 - half :]}"


def for_script(results: Results, what: Shown, pictures: Mapping[str, str]) -> dict[str, Any]:
    """The pictures, what they all begin with apart, and the images behind each cell of the table
    that have one: name, probability, and the number of the picture; and how many there are."""
    number = {path: index for index, path in enumerate(pictures)}
    length = min(map(head_length, pictures.values()), default=0)
    head = next(iter(pictures.values()), "")[:length]
    return {
        "head": f"data:image/jpeg;base64,{head}",
        "pictures": [picture[length:] for picture in pictures.values()],
        "labels": [short_label(results.labels[label]) for label in what.labels],
        "cells": [
            {
                "place": place,
                "count": len(answers),
                "images": [
                    (
                        shortened(answer.path.partition("/")[2], LONGEST_NAME),
                        answer.probability,
                        number[answer.path],
                    )
                    for answer in answers
                    if answer.path in number
                ],
            }
            for place, answers in what.cells.items()
        ],
    }


def for_template(results: Results, what: Shown, pictures: Mapping[str, str]) -> dict[str, Any]:
    """The numbers and words of the section; pictures by their numbers, None without one."""
    number = {path: index for index, path in enumerate(pictures)}

    def image(path: str) -> dict[str, Any]:
        label, inside, rest = path.partition("/")
        return {
            "label": short_label(label) if inside else "",
            "name": shortened(rest if inside else path, LONGEST_NAME),
            "picture": number.get(path),
        }

    counts = what.counts[np.ix_(what.labels, what.labels)]
    shaded = shades(what.counts)[np.ix_(what.labels, what.labels)]
    right = int(what.counts.trace())
    return {
        "num_labels": len(results.labels),
        "labels": [short_label(results.labels[label]) for label in what.labels],
        "rows": list(zip(counts.tolist(), shaded.tolist(), strict=True)),
        "metrics": results.metrics,
        "right": right,
        "wrong": len(results.answers) - right,
        "points": results.points,
        "chart": accuracy_chart(results),
        "num_pictures": len(pictures),
        "all_pictures": all(
            answer.path in number for answers in what.cells.values() for answer in answers
        ),
        "mistakes": [
            {
                "image": image(answer.path),
                "predicted": short_label(answer.predicted),
                "probability": answer.probability,
                "neighbours": [image(path) for path in results.neighbours[answer.path]],
            }
            for answer in what.mistakes
        ],
        "suspects": [
            {
                "reason": reason,
                "count": len(suspects),
                "images": [
                    {
                        "image": image(suspect.path),
                        "suggestion": short_label(suspect.suggestion),
                        "probability": suspect.probability,
                        "copy_of": image(suspect.same_as) if suspect.same_as else None,
                    }
                    for suspect in suspects[:SUSPECTS]
                ],
            }
            for reason, suspects in what.suspects.items()
        ],
        "any_suggested": any(suspect.suggestion for suspect in results.suspects),
        "any_copies": any(suspect.same_as for suspect in results.suspects),
    }


def accuracy_chart(results: Results) -> Chart:
    """The test accuracy after learning from more and more images, each step about twice as many."""
    points = [*enumerate(results.points)]
    baseline = results.metrics["baseline_accuracy"]
    lines = [
        Line("the classifier", [(x, point.accuracy) for x, point in points]),
        Line("always the commonest label", [(x, baseline) for x, _ in points]),
    ]
    return Chart(
        lines,
        "training images of each label, at most",
        "share of the test images recognised",
        top=1,
        x_names=[f"{point.images:,}" for point in results.points],
        band=[(x, point.low, point.high) for x, point in points],
    )
