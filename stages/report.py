"""Make the lesson as one page to look at and to try out, from what the other stages made."""

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.command import run

import numpy as np
from PIL import Image
from pydantic import ConfigDict, RootModel

from stages import paths
from stages.core.chart import Chart, Line
from stages.core.files import new_file
from stages.core.page import Picture, packed, picture, render, tiled
from stages.core.params import read_params
from stages.core.tensors import load_tensors

TITLES = {
    "logistic": "Logistic regression",
    "mlp": "MLP",
    "cnn": "CNN",
    "probe": "Logistic regression on features",
}
LIVE = ("logistic", "mlp", "cnn")  # those that see pixels answer in the page
ROWS = 6  # of the sample of digits
TEST_DIGITS = 300  # that the reader can pick
SNAPSHOT_BYTES = 500_000  # a model: of more hidden units the first are shown
PAGE_BYTES = 5_900_000  # figures that would make the page larger are left out, and named instead
PHOTO_SIDE, CHANNEL_SIDE = 320, 160  # pixels, at most
CHOICES = (  # what the page's numbers depend on
    "digits",
    "train",
    "embed.size",
    "weight_grid",
    "photo.path",
    "photo.size",
    "convolve",
    "alexnet_maps",
    "data_efficiency",
)


class Choice(RootModel[Any]):
    model_config = ConfigDict(frozen=True)


class Layer(NamedTuple):
    name: str
    kind: str
    weight: tuple[int, ...]
    bias: tuple[int, ...]
    parameters: int


def layers(tensors: dict[str, np.ndarray]) -> list[Layer]:
    """The layers of a state dict, in the order of their names."""
    found = []
    for name in sorted({name.rsplit(".", 1)[0] for name in tensors}, key=order_of_layers):
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        kind = "convolution" if weight.ndim == 4 else "linear"
        found.append(Layer(name, kind, weight.shape, bias.shape, weight.size + bias.size))
    return found


def order_of_layers(name: str) -> tuple[bool, str]:
    return name == "fc", name  # the convolutions come before it


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_curve(model: str) -> list[tuple[int, float, float, float]]:
    """Iteration, loss, accuracy on the training and on the validation images."""
    return [
        (int(row["iteration"]), *(float(row[name]) for name in list(row)[1:]))
        for row in read_table(paths.curves(model))
    ]


def flat(values: Any, name: str) -> Iterable[tuple[str, Any]]:
    """Parameters by their full names."""
    if not isinstance(values, dict):
        yield name, values
        return
    for key, value in values.items():
        yield from flat(value, f"{name}.{key}")


def sample(images: np.ndarray, labels: np.ndarray) -> Picture:
    """The first digits of each class, a column each; black where there are no more."""
    tiles = np.zeros((ROWS, 10, *images.shape[1:]), np.uint8)
    for digit in range(10):
        first = images[labels == digit][:ROWS]
        tiles[: len(first), digit] = first
    return picture(Image.fromarray(tiled(tiles.reshape(-1, *images.shape[1:]), columns=10)))


def photograph(photo: Image.Image) -> tuple[Picture, Picture]:
    """It, and its three channels beside one another."""
    small = photo.reduce(-(-photo.width // PHOTO_SIDE))
    channels = np.asarray(photo.reduce(-(-photo.width // CHANNEL_SIDE))).transpose(2, 0, 1)
    return picture(small), picture(Image.fromarray(tiled(channels, columns=3, gap=4)))


def feature_maps(features: np.ndarray) -> Picture:
    """Feature maps 1 × channels × height × width, none below zero, from black to their largest."""
    shares = features[0] / (features.max() or 1)
    greys = (shares * np.float32(255)).astype(np.uint8)
    return picture(Image.fromarray(tiled(greys, columns=32)))


def snapshots(model: str, curve: list[tuple], chart: Chart) -> dict[str, Any]:
    """The first layer's weights while it learned, in 255 steps from -largest to largest, and of
    each the last point of the curves by then: its numbers, and the places of both accuracies."""
    tensors = load_tensors(paths.snapshots(model))
    weight = tensors["weight"]
    side = (28, 28) if weight.ndim == 3 else weight.shape[-2:]
    tiles = weight.reshape(len(weight), -1, *side)
    shown = max(1, SNAPSHOT_BYTES // (tiles[:, 0].size))
    largest = np.abs(weight).max()
    steps = np.rint(tiles[:, :shown] / largest * np.float32(127)).astype(np.int8)
    points = []
    for iteration in tensors["iteration"].tolist():
        row = max(range(len(curve)), key=lambda i: (curve[i][0] <= iteration, curve[i][0]))
        point = curve[row] if curve[row][0] <= iteration else curve[0]
        places = [chart.place(point[0], accuracy) for accuracy in point[2:]]
        points.append({"iteration": iteration, "point": point, "places": places})
    return {
        "units": tiles.shape[1],
        "largest": largest.item(),
        "points": points,
        "steps": packed(steps),
    }


def fitting(figures: dict[str, Path], room: int) -> dict[str, Picture | None]:
    """The figures that fit into so many bytes, in turn; nothing for those that do not."""
    pictures = {}
    for name, path in figures.items():
        found = picture(Image.open(path))
        fits = len(found.uri) <= room
        pictures[name] = found if fits else None
        room -= len(found.uri) if fits else 0
    return pictures


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    digits = load_tensors(paths.DIGITS)
    weights = {model: load_tensors(paths.weights(model)) for model in paths.MODELS}
    metrics = {model: json.loads(paths.metrics(model).read_text()) for model in paths.MODELS}
    curves = {model: read_curve(model) for model in paths.MODELS}
    convolutions = read_table(paths.CONVOLUTION / "shapes.csv")
    features = load_tensors(paths.ALEXNET_MAPS / "features.safetensors")["features"]

    def curve_chart(column: int, y_label: str, top: float = 0) -> Chart:
        lines = [Line(model, [(row[0], row[column]) for row in curves[model]]) for model in curves]
        return Chart(lines, "iteration", y_label, top)

    def accuracy_chart(model: str) -> Chart:
        lines = [
            Line(name, [(row[0], row[column]) for row in curves[model]])
            for name, column in (("training images", 2), ("validation images", 3))
        ]
        return Chart(lines, "iteration", "share of the digits recognised", top=1)

    learning = {model: accuracy_chart(model) for model in LIVE}
    data = {
        "digits": packed(digits["test_images"][:TEST_DIGITS])
        | {"labels": digits["test_labels"][:TEST_DIGITS].tolist()},
        "models": {
            model: {name: packed(tensor) for name, tensor in sorted(weights[model].items())}
            for model in LIVE
        },
        "snapshots": {model: snapshots(model, curves[model], learning[model]) for model in LIVE},
        "titles": TITLES,
    }
    photo, channels = photograph(Image.open(paths.PHOTO))
    values = {
        "titles": TITLES,
        "live": LIVE,
        "splits": {
            name: np.bincount(digits[f"{name}_labels"], minlength=10).tolist()
            for name in ("train", "val", "test")
        },
        "num_test_digits": len(data["digits"]["labels"]),
        "sample": sample(digits["train_images"], digits["train_labels"]),
        "layers": {model: layers(weights[model]) for model in paths.MODELS},
        "metrics": metrics,
        "curves": curves,
        "loss_chart": curve_chart(1, "mean cross-entropy (nats)"),
        "accuracy_chart": curve_chart(3, "share of the digits recognised", top=1),
        "learning": learning,
        "photo": photo,
        "channels": channels,
        "convolutions": convolutions,
        "architecture": (paths.ALEXNET_MAPS / "architecture.txt").read_text(),
        "alexnet": read_table(paths.ALEXNET_MAPS / "shapes.csv"),
        "features": feature_maps(features),
        "features_shape": features.shape,
        "efficiency": [
            {name: float(value) for name, value in row.items()}
            for row in read_table(paths.DATA_EFFICIENCY / "accuracy.csv")
        ],
        "choices": [
            pair
            for name in CHOICES
            for pair in flat(read_params(paths.PARAMS, name, Choice).root, name)
        ],
    }
    figures = {f"{model} weights": paths.figure(model, "weights") for model in paths.MODELS}
    figures |= {
        "filters": paths.ALEXNET_MAPS / "filters.png",
        "efficiency": paths.DATA_EFFICIENCY / "accuracy.png",
        "conv2_pool": paths.ALEXNET_MAPS / "conv2_pool.png",
        "conv1_relu": paths.ALEXNET_MAPS / "conv1_relu.png",
        "conv1": paths.ALEXNET_MAPS / "conv1.png",
    }
    for row in convolutions:
        path = paths.CONVOLUTION / f"{row['convolution']}.png"
        if path.exists():
            figures[f"convolution {row['convolution']}"] = path
    read = [
        paths.DIGITS,
        paths.PHOTO,
        *(path(model) for path in (paths.weights, paths.curves, paths.metrics) for model in curves),
        *map(paths.snapshots, LIVE),
        *figures.values(),
        *(paths.CONVOLUTION / "shapes.csv", paths.DATA_EFFICIENCY / "accuracy.csv"),
        *(
            paths.ALEXNET_MAPS / n
            for n in ("architecture.txt", "features.safetensors", "shapes.csv")
        ),
    ]
    values |= {"places": figures, "digests": {path: sha256(path) for path in sorted(read)}}

    def page(pictures: dict[str, Picture | None]) -> bytes:
        scripts = ("maps.js", "report.js")
        return render("report.html.j2", scripts, data, figures=pictures, **values)

    room = PAGE_BYTES - len(page(dict.fromkeys(figures)))
    with new_file(paths.REPORT) as file:
        file.write(page(fitting(figures, room)))


if __name__ == "__main__":
    run(main)
