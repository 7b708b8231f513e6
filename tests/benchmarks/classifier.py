"""The classifier of images against scikit-learn: the first 2,000 of MNIST's training digits and its
10,000 test digits are PNG files in ten folders, on which the stages run as on any other images.

Both learn from the same features, with the same training images, and are tested on the same others.
"""

import json
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.core.classifier.statistics import wilson
from stages.core.classifier.table import read_table
from stages.core.data.idx import read_part

from benchmarks.side_by_side import print_table
from common import parameters, paths
from common.artifacts import rows_of
from common.project import ROOT
from common.stages import run_stage

COUNTS = {"train": 2_000, "t10k": 10_000}  # digits of MNIST's parts
SIZE = 96  # pixels, of what AlexNet sees
SHARES = {"test": 0.83, "val": 0.02}  # so that most of the digits test, as in MNIST


class Result(NamedTuple):
    """How many of the test images are recognised."""

    right: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.total)


def prepare(downloads: Path) -> None:
    """Make this folder a project with the digits as its images."""
    for path in (paths.MNIST, paths.ALEXNET.parent):
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(downloads / path)
    for part, count in COUNTS.items():
        for index, (image, label) in enumerate(zip(*read_part(paths.MNIST, part), strict=True)):
            if index == count:
                break
            folder = Path("own", str(label))
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{part}-{index:05}.png")
    params = parameters.read()
    params["images"] |= {"path": "own", "size": SIZE}
    params["classify_images"] |= SHARES
    parameters.write(params)
    Path(params["images"]["groups"]).write_text("path,group\n", encoding="utf-8")


def results() -> dict[str, Result]:
    """Of the stages, and of scikit-learn, with its own penalty and with the one that the stage
    chose, all in this folder."""
    run_stage("embed_images")
    run_stage("classify_images")
    rows = rows_of(paths.IMAGE_CLASSIFIER / "predictions.csv")
    table = read_table(paths.EMBEDDED_IMAGES, Path())
    assert [row["path"] for row in rows] == table.paths
    features = table.features.numpy()
    labels, splits, predicted = (
        np.array([row[key] for row in rows]) for key in ("label", "split", "predicted")
    )
    train, test = splits == "train", splits == "test"
    metrics = json.loads((paths.IMAGE_CLASSIFIER / "metrics.json").read_text(encoding="utf-8"))

    def right(answers: np.ndarray) -> Result:
        return Result(int((answers == labels[test]).sum()), int(test.sum()))

    found = {"classify_images": right(predicted[test])}
    for name, penalty in (
        ("scikit-learn", {}),
        # It adds up the losses where the stage takes their mean.
        ("scikit-learn, same penalty", {"C": 1 / (metrics["weight_decay"] * train.sum())}),
    ):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000, **penalty))
        model.fit(features[train], labels[train])
        found[name] = right(model.predict(features[test]))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name, chdir(name):
        prepare(ROOT)
        found = results()
    print_table(
        *(
            {
                "logistic regression of": name,
                "test images": f"{result.total:,}",
                "recognised": f"{result.right / result.total:.2%}",
                "95 % interval": "{:.2%} to {:.2%}".format(*result.interval),
            }
            for name, result in found.items()
        )
    )


if __name__ == "__main__":
    main()
