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
from stages.core.curves import Point, read_curve
from stages.core.files import new_file
from stages.core.page import Picture, packed, picture, render, tiled
from stages.core.params import read_params
from stages.core.tensors import load_tensors
from stages.core.values import flat

LIVE = ("logistic", "mlp", "cnn")  # those that see pixels answer in the page
SHARE = "share of the digits recognised"
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
    for name in sorted({name.rsplit(".", 1)[0] for name in tensors}):
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        kind = "convolution" if weight.ndim == 4 else "linear"
        found.append(Layer(name, kind, weight.shape, bias.shape, weight.size + bias.size))
    return found


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def line(name: str, curve: list[Point], field: str) -> Line:
    return Line(name, [(point.iteration, getattr(point, field)) for point in curve])


def chart_of_models(
    curves: dict[str, list[Point]], field: str, y_label: str, top: float = 0
) -> Chart:
    lines = [line(model, curve, field) for model, curve in curves.items()]
    return Chart(lines, "iteration", y_label, top)


def chart_of_sets(curve: list[Point]) -> Chart:
    """The accuracies of one model."""
    lines = [
        line("training images", curve, "train_accuracy"),
        line("validation images", curve, "val_accuracy"),
    ]
    return Chart(lines, "iteration", SHARE, top=1)


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


def snapshots(model: str, curve: list[Point]) -> dict[str, Any]:
    """The first layer's weights while it learned, in 255 steps from -largest to largest, and of
    each the last point of the curves by then, with its two places in the chart of the accuracies.
    """
    tensors = load_tensors(paths.snapshots(model))
    weight = tensors["weight"]
    side = (28, 28) if weight.ndim == 3 else weight.shape[-2:]
    tiles = weight.reshape(len(weight), -1, *side)
    shown = max(1, SNAPSHOT_BYTES // tiles[:, 0].size)
    largest = np.abs(weight).max()
    steps = np.rint(tiles[:, :shown] / (largest or 1) * np.float32(127)).astype(np.int8)
    chart = chart_of_sets(curve)
    points = []
    for iteration in tensors["iteration"].tolist():
        passed = [point for point in curve if point.iteration <= iteration]
        point = passed[-1] if passed else curve[0]
        accuracies = point.train_accuracy, point.val_accuracy
        places = [chart.place(point.iteration, accuracy) for accuracy in accuracies]
        points.append({"iteration": iteration, "point": point, "places": places})
    return {
        "units": tiles.shape[1],
        "largest": largest.item(),
        "points": points,
        "steps": packed(steps),
    }


def figure_paths(convolutions: Iterable[str]) -> dict[str, Path]:
    """The figures by what the page calls them, in the order in which they get their room."""
    weights = {f"{model} weights": paths.figure(model, "weights") for model in paths.MODELS}
    names = ("filters", "conv2_pool", "conv1_relu", "conv1")
    efficiency = {"efficiency": paths.DATA_EFFICIENCY / "accuracy.png"}
    alexnet = {name: paths.ALEXNET_MAPS / f"{name}.png" for name in names}
    drawn = {f"convolution {name}": paths.CONVOLUTION / f"{name}.png" for name in convolutions}
    untrained = {name: path for name, path in drawn.items() if path.exists()}
    return weights | efficiency | alexnet | untrained


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
    choices = [
        choice
        for name in CHOICES
        for choice in flat(read_params(paths.PARAMS, name, Choice).root, name).items()
    ]
    digits = load_tensors(paths.DIGITS)
    weights = {model: load_tensors(paths.weights(model)) for model in paths.MODELS}
    curves = {model: read_curve(paths.curves(model)) for model in paths.MODELS}
    convolutions = read_table(paths.CONVOLUTION / "shapes.csv")
    features = load_tensors(paths.ALEXNET_MAPS / "features.safetensors")["features"]
    photo, channels = photograph(Image.open(paths.PHOTO))
    figures = figure_paths(row["convolution"] for row in convolutions)
    read = (
        *(paths.DIGITS, paths.PHOTO),
        *(path(model) for path in (paths.weights, paths.curves, paths.metrics) for model in curves),
        *map(paths.snapshots, LIVE),
        *(paths.CONVOLUTION / "shapes.csv", paths.DATA_EFFICIENCY / "accuracy.csv"),
        *(paths.ALEXNET_MAPS / name for name in ("architecture.txt", "shapes.csv")),
        paths.ALEXNET_MAPS / "features.safetensors",
        *figures.values(),
    )
    test_labels = digits["test_labels"][:TEST_DIGITS].tolist()
    data = {  # for the scripts
        "titles": paths.MODELS,
        "digits": packed(digits["test_images"][:TEST_DIGITS]) | {"labels": test_labels},
        "models": {
            model: {name: packed(tensor) for name, tensor in sorted(weights[model].items())}
            for model in LIVE
        },
        "snapshots": {model: snapshots(model, curves[model]) for model in LIVE},
    }
    values = {
        "titles": paths.MODELS,
        "live": LIVE,
        "splits": {
            name: np.bincount(digits[f"{name}_labels"], minlength=10).tolist()
            for name in ("train", "val", "test")
        },
        "sample": sample(digits["train_images"], digits["train_labels"]),
        "num_test_digits": len(test_labels),
        "layers": {model: layers(weights[model]) for model in paths.MODELS},
        "metrics": {model: json.loads(paths.metrics(model).read_text()) for model in paths.MODELS},
        "curves": curves,
        "loss_chart": chart_of_models(curves, "loss", "mean cross-entropy (nats)"),
        "accuracy_chart": chart_of_models(curves, "val_accuracy", SHARE, top=1),
        "learning": {model: chart_of_sets(curves[model]) for model in LIVE},
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
        "choices": choices,
        "digests": {path: sha256(path) for path in sorted(read)},
        "places": figures,
    }

    def page(pictures: dict[str, Picture | None]) -> bytes:
        scripts = ("maps.js", "report.js")
        return render("report.html.j2", scripts, data, figures=pictures, **values)

    room = PAGE_BYTES - len(page(dict.fromkeys(figures)))
    with new_file(paths.REPORT) as file:
        file.write(page(fitting(figures, room)))


if __name__ == "__main__":
    run(main)
