"""A folder of images and what `classify_images` would write of it, made up, to make pages of."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stages.core.base.files import write_csv
from stages.core.base.tensors import save_tensors
from stages.core.classifier.results import Point, Suspect
from stages.core.classifier.statistics import (
    balanced_accuracy,
    label_scores,
    wilson,
)
from stages.core.learning.predictions import confusion_matrix

from common import parameters, paths
from common.points import write_points

FOLDER = Path("data/own")
SPLITS = ("test", "train", "val", "train")  # in turn


def photo(rng: np.random.Generator, side: int = 300) -> Image.Image:
    """Coarse and fine noise in colour: as hard to compress as photographs are."""
    image = Image.new("RGB", (side, side))
    for cells, share in ((5, 1), (20, 0.4), (80, 0.2)):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        image = Image.blend(image, noise.resize((side, side), Image.Resampling.BICUBIC), share)
    return image


def write_own_images(
    project: Path,
    labels: Sequence[str],
    each: int,
    *,
    wrong: float = 0.2,
    names: str = "{number:05}.jpg",
    suspects: Sequence[Suspect] = (),
    photos: int = 20,
) -> None:
    """So many images of each label, links to some photographs; every fourth tests, and a share of
    those is taken for another label. In params.yaml they are the folder of images."""
    rng = np.random.default_rng(0)
    for number in range(photos):
        photo(rng).save(project / f"data/{number}.jpg", quality=90)
    files = [names.format(number=number) for number in range(each)]
    for number, file in enumerate(files):  # the same ones for all labels
        path = project / "data/of_each" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(project / f"data/{number % photos}.jpg")
    (project / FOLDER).mkdir()
    rows = []
    for index, label in enumerate(labels):
        (project / FOLDER / label).symlink_to(project / "data/of_each")
        for number, file in enumerate(files):
            other = (index + 1 + int(rng.integers(len(labels) - 1))) % len(labels)
            answer = labels[other if rng.random() < wrong else index]
            split, share = SPLITS[number % len(SPLITS)], round(rng.uniform(0.2, 1), 6)
            rows.append((f"{label}/{file}", split, label, answer, share))
    rows.sort()

    out = project / paths.IMAGE_CLASSIFIER
    number_of = {label: index for index, label in enumerate(labels)}
    tested = [row for row in rows if row[1] == "test"]
    actual, predicted = np.array([(number_of[row[2]], number_of[row[3]]) for row in tested]).T
    counts = confusion_matrix(actual, predicted, len(labels))
    right = int(counts.trace())
    accuracy = Point(each // 2, right / len(tested), *wilson(right, len(tested)))
    write_csv(
        out / "per_label.csv",
        ("label", "train", "val", "test", "precision", "recall", "f1"),
        [
            (label, *([each // 4] * 3), *scores)
            for label, scores in zip(labels, label_scores(counts), strict=True)
        ],
    )
    columns = ("path", "split", "label", "predicted", "probability")
    write_csv(out / "predictions.csv", columns, rows)
    train = [row[0] for row in rows if row[1] == "train"]
    mistakes = sorted((row for row in tested if row[2] != row[3]), key=lambda row: -row[4])[:12]
    write_csv(
        out / "neighbours.csv",
        ("path", "rank", "neighbour"),
        [
            (row[0], rank, train[(7 * place + rank) % len(train)])
            for place, row in enumerate(mistakes)
            for rank in (1, 2, 3)
        ],
    )
    write_csv(out / "suspects.csv", Suspect._fields, suspects)
    write_csv(out / "accuracy.csv", Point._fields, [accuracy._replace(images=1), accuracy])
    shown = (mistakes or tested)[:6]
    next_label = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    write_csv(
        project / paths.IMAGE_ATTRIBUTIONS / "images.csv",
        ("path", "label", "predicted", "probability", "rival", "lead"),
        [
            (path, *answer, answer[0] if mistakes else next_label[answer[0]], rng.uniform(0.2, 3))
            for path, _, *answer in shown
        ],
    )
    save_tensors(
        {
            name: rng.standard_normal((len(shown), side, side)).astype(np.float32)
            for name, side in (("gradient_times_input", 28), ("occlusion", 9))
        },
        project / paths.IMAGE_ATTRIBUTIONS / "maps.safetensors",
    )
    metrics = {
        "test_accuracy": accuracy.accuracy,
        "test_accuracy_low": accuracy.low,
        "test_accuracy_high": accuracy.high,
        "baseline_accuracy": 1 / len(labels),
        "balanced_accuracy": balanced_accuracy(counts),
        "num_labels": len(labels),
        "num_train": len(train),
        "num_val": len(rows) - len(train) - len(tested),
        "num_test": len(tested),
    }
    (out / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    write_points(
        project / paths.AXES / "images.csv",
        "path",
        [row[0] for row in rows],
        [row[2] for row in rows],
    )
    parameters.change(project, "images", path=FOLDER.as_posix())
