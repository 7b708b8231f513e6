"""Make the lesson as one page to look at and to try out, from what the other stages made; and one
table of all learning curves, which `dvc plots` draws."""

import csv
import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.base.command import run

import numpy as np
from PIL import Image

from stages.core.base.errors import InputError
from stages.core.base.files import new_file, write_csv
from stages.core.base.params import PARAMS, Name, read_params
from stages.core.base.tensors import load_tensors
from stages.core.base.values import flatten
from stages.core.drawing.shades import STEPS, shades
from stages.core.drawing.tiles import tiled
from stages.core.learning.curves import CurvePoint, read_curve
from stages.core.learning.layers import Conv
from stages.core.learning.predictions import (
    Prediction,
    confusion_matrix,
    read_predictions,
    worst_mistakes,
)
from stages.core.learning.trained import TrainedModel, load_model
from stages.core.page.chart import Chart, Line, thinned
from stages.core.page.page import Picture, packed, picture, render
from stages.core.page.questions import (
    Question,
    digit_of_weights,
    images_with_features,
    mixed_up,
    parameters_of_convolution,
    parameters_of_linear,
    side_after_stride,
    ten_times,
)
from stages.core.page.training import digits_that_fit, limits, optimizers

PIXELS = (1, 28, 28)  # what a model takes that answers in the page: the shape of a drawn digit
SHARE = "share of the digits recognised"
ROWS = 6  # of the sample of digits
TEST_DIGITS = 300  # that the reader can pick
MISTAKES = 10  # of each model, at most
WEIGHT_BYTES = 3_400_000  # of models that answer in the page; it names those that do not fit
LEAST_SNAPSHOT_BYTES = 550_000  # that digits to train with leave to them
DIGIT_BYTES = 1_300_000  # of digits to train with; where there are more, the first of them
SNAPSHOT_BYTES = 1_500_000  # of all snapshots; where units are many, the first are shown
PAGE_BYTES = 5_900_000  # the page leaves out figures that would make it larger, and names them
ALEXNET_FIGURES = ("filters", "conv2_pool", "conv1_relu", "conv1")  # the most telling first
PHOTO_SIDE, CHANNEL_SIDE, SLIDE_SIDE = 320, 160, 128  # pixels, at most
FILTERS = 6  # of AlexNet's first, that the reader can slide over the photograph
GREY = 128  # between tiles
WORDS = {  # for the kinds of layers
    "conv": "convolution",
    "max_pool": "max pooling",
    "avg_pool": "average pooling",
    "relu": "ReLU",
    "tanh": "tanh",
    "dropout": "dropout",
    "linear": "linear",
}
CHOICES = (  # what the page's numbers depend on
    "digits",
    "train",
    "models",
    "embed.size",
    "weight_grid",
    "photo.path",
    "photo.size",
    "convolve",
    "alexnet_maps",
    "data_efficiency",
)


class Row(NamedTuple):
    """A layer, as the page's table shows it."""

    name: str
    kind: str
    output: tuple[int, ...]
    weight: tuple[int, ...] | None
    bias: tuple[int, ...] | None
    parameters: int


def layer_rows(model: TrainedModel) -> list[Row]:
    rows = []
    for name, layer in model.layers.items():
        parameters = model.parameters(name)
        weight, bias = (parameters[key].shape if parameters else None for key in ("weight", "bias"))
        count = sum(parameter.size for parameter in parameters.values())
        output = model.shapes[name][1]
        rows.append(Row(name, WORDS[layer.kind], output, weight, bias, count))
    return rows


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def line(name: str, curve: list[CurvePoint], field: str) -> Line:
    return Line(name, [(point.iteration, getattr(point, field)) for point in curve])


def chart_of_models(
    curves: dict[str, list[CurvePoint]], field: str, y_label: str, top: float = 0
) -> Chart:
    lines = [line(model, curve, field) for model, curve in curves.items()]
    return Chart(lines, "iteration", y_label, top)


def chart_of_sets(curve: list[CurvePoint]) -> Chart:
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
    return picture(tiled(tiles.reshape(-1, *images.shape[1:]), 10, (1, 1), GREY))


def photograph(photo: Image.Image) -> tuple[Picture, Picture]:
    """It, and its three channels side by side."""
    small = photo.reduce(-(-photo.width // PHOTO_SIDE))
    channels = np.asarray(photo.reduce(-(-photo.width // CHANNEL_SIDE))).transpose(2, 0, 1)
    return picture(np.asarray(small)), picture(tiled(channels, 3, (4, 4), GREY))


def to_slide(photo: Image.Image, filters: np.ndarray) -> dict[str, Any]:
    """The photograph in grey, and those filters (outputs × 3 × side × side) that respond to grey
    most, each summed over its three channels: where these are equal, that gives the same sums."""
    grey = np.asarray(photo.convert("L").reduce(-(-photo.width // SLIDE_SIDE)))
    red, green, blue = filters.transpose(1, 0, 2, 3)
    summed = red + green + blue
    numbers = np.argsort(-np.square(summed.astype(float)).max((1, 2)), kind="stable")[:FILTERS]
    return {"photo": packed(grey), "filters": packed(summed[numbers]), "numbers": numbers.tolist()}


def feature_maps(features: np.ndarray) -> Picture:
    """Feature maps 1 × channels × height × width, none below zero, from black to their largest."""
    shares = features[0] / (features.max() or 1)
    greys = (shares * np.float32(255)).astype(np.uint8)
    return picture(tiled(greys, 32, (1, 1), GREY))


def weighted_layers(model: TrainedModel) -> int:
    return sum(bool(model.parameters(layer)) for layer in model.layers)


def simplest_first(models: Mapping[str, TrainedModel]) -> dict[str, TrainedModel]:
    """Those that see pixels first, then by their number of layers with weights, and of all layers.

    Not in the order of params.yaml: DVC compares sections without the order of their keys.
    """

    def key(name: str) -> tuple[bool, int, int, str]:
        model = models[name]
        return model.input_shape != PIXELS, weighted_layers(model), len(model.layers), name

    return {name: models[name] for name in sorted(models, key=key)}


def answering(models: Mapping[str, TrainedModel]) -> list[str]:
    """The models that answer in the page: those that see pixels, as far as there is room."""
    names, room = [], WEIGHT_BYTES
    for name, model in models.items():
        size = sum(weight.nbytes for weight in model.weights.values())
        if model.input_shape == PIXELS and size <= room:
            names.append(name)
            room -= size
    return names


def first_layer(model: TrainedModel) -> str:
    """The first layer that has weights."""
    return next(name for name in model.layers if model.parameters(name))


def drawn_weights(model: TrainedModel) -> str:
    """Whose weights the figure shows: kernels, or the units or logits that see the input."""
    first = first_layer(model)
    if isinstance(model.layers[first], Conv):
        return "kernels"
    return "logits" if first == [*model.layers][-1] else "units"


def on_pixels(models: Mapping[str, TrainedModel], live: Sequence[str]) -> list[str]:
    """The models in the page whose logits have a weight for each place of the picture."""
    return [name for name in live if drawn_weights(models[name]) == "logits"]


def pictured_weights(models: Mapping[str, TrainedModel], live: Sequence[str]) -> dict[str, Any]:
    """Where the script finds the weights of the first such model, and a picture's shape."""
    name = on_pixels(models, live)[0]
    layer = first_layer(models[name])
    return {"model": name, "weight": f"{layer}.weight", "shape": models[name].shapes[layer][0][1:]}


def parameters_question(
    models: Mapping[str, TrainedModel], titles: Mapping[str, str]
) -> Question | None:
    """On the first convolution among the models, or else on the last layer of the first one."""
    layers = [(name, layer) for name, model in models.items() for layer in model.layers]
    convolutions = [(n, layer) for n, layer in layers if isinstance(models[n].layers[layer], Conv)]
    first = next(iter(models))
    name, layer = convolutions[0] if convolutions else (first, [*models[first].layers][-1])
    weight = models[name].parameters(layer)["weight"].shape
    what = f"{titles[name]}: the layer {layer}"
    if convolutions:
        return parameters_of_convolution(what, weight, models[name].shapes[layer][1])
    return parameters_of_linear(what, *weight)


def questions_of(
    models: Mapping[str, TrainedModel],
    about: Mapping[str, dict[str, Any]],
    live: Sequence[str],
    matrices: Mapping[str, np.ndarray],
    choices: Mapping[str, Any],
    efficiency: Sequence[Mapping[str, float]],
) -> dict[str, Question]:
    """Those for which this run has something to guess, in the order of the page."""
    titles = {name: about[name]["title"] for name in models}
    first = next(iter(models))
    found: dict[str, Question | None] = {"parameters": parameters_question(models, titles)}
    for name in live[:1]:
        found["rate"] = ten_times(titles[name], about[name]["optimizer"]["learning_rate"])
    found["mistakes"] = mixed_up(titles[first], matrices[first])
    for name in on_pixels(models, live)[:1]:
        found["weights"] = digit_of_weights(titles[name], matrices[name])
    strided = [each for each in choices["convolve"]["convolutions"].values() if each["stride"] > 1]
    for each in strided[:1]:
        settings = each["kernel_size"], each["padding"], each["stride"]
        found["side"] = side_after_stride(choices["photo.size"], *settings)
    found["features"] = images_with_features(efficiency)
    return {name: question for name, question in found.items() if question}


def read_snapshots(path: Path, model: TrainedModel, curve: list[CurvePoint]) -> dict[str, Any]:
    """The first layer's weights while it learned, in 255 steps from -largest to largest; and for
    each the last point of the curves by then, with its two places in the chart of the accuracies.
    """
    tensors = load_tensors(path)
    weight = tensors["weight"]
    first = first_layer(model)
    *_, height, width = weight.shape if weight.ndim == 5 else model.shapes[first][0]
    tiles = weight.reshape(len(weight), -1, height, width)
    largest = np.abs(weight).max()
    steps = np.rint(tiles / (largest or 1) * np.float32(127)).astype(np.int8)
    chart = chart_of_sets(curve)
    points = []
    for iteration in tensors["iteration"].tolist():
        passed = [point for point in curve if point.iteration <= iteration]
        point = passed[-1] if passed else curve[0]
        accuracies = point.train_accuracy, point.val_accuracy
        places = [chart.place(point.iteration, accuracy) for accuracy in accuracies]
        points.append({"iteration": iteration, "point": point, "places": places})
    return {
        "layer": first,
        "units": tiles.shape[1],
        "largest": largest.item(),
        "points": points,
        "steps": steps,
    }


def half_interval(counts: np.ndarray) -> float:
    """Half the 95 % interval of the accuracy, by a confusion matrix (normal approximation)."""
    accuracy = counts.trace() / counts.sum()
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / counts.sum())


def mistakes(images: np.ndarray, predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The worst of them, with the numbers and pictures of the test images."""
    return [
        {"image": index, "picture": picture(images[index])} | predictions[index]._asdict()
        for index in worst_mistakes(predictions)[:MISTAKES]
    ]


def first_units(snapshots: dict[str, dict[str, Any]], room: int) -> dict[str, dict[str, Any]]:
    """The snapshots with as many of their first units as fit into so many bytes, without those of
    which none fits. Each model has an equal share; what small ones leave goes to larger ones."""
    found = {}
    by_size = sorted(snapshots, key=lambda name: snapshots[name]["steps"].size)
    for index, name in enumerate(by_size):
        steps = snapshots[name]["steps"]
        shown = steps[:, : room // (len(by_size) - index) // steps[:, 0].size]
        room -= shown.size
        if shown.size:
            found[name] = snapshots[name] | {"steps": packed(shown)}
    return {name: found[name] for name in snapshots if name in found}


def training(
    models: Mapping[str, TrainedModel],
    about: Mapping[str, dict],
    curves: Mapping[str, Sequence[CurvePoint]],
    digits: Mapping[str, np.ndarray],
    room: int,
) -> dict[str, Any]:
    """What it takes to train the models that see pixels, with digits that fit into so many bytes:
    there may be none of either."""
    pixels = [name for name, model in models.items() if model.input_shape == PIXELS]
    images, labels = (
        np.concatenate([digits[f"{split}_{what}"] for split in ("train", "val")])
        for what in ("images", "labels")
    )
    counts = {split: len(digits[f"{split}_labels"]) for split in ("train", "val")}
    packed_digits = digits_that_fit(images, labels, counts["train"], room)
    settings = ("optimizer", "batch_size", "epochs", "eval_every", "seed")
    return {
        "models": {
            name: {key: about[name][key] for key in settings}
            | {
                "layers": layer_list(models[name]),
                "digest": models[name].digest,
                "curve": [[round(value, 6) for value in point] for point in thinned(curves[name])],
            }
            for name in pixels
        },
        "batches": {name: about[name]["batch_size"] for name in models},
        "limits": limits(),
        "optimizers": optimizers(),
        "digits": packed_digits._asdict() | {"all": counts},
    }


def layer_list(model: TrainedModel) -> list[dict[str, Any]]:
    """For the scripts: JavaScript would move a key like "1" to the front."""
    return [{"name": name} | layer.model_dump() for name, layer in model.layers.items()]


def fitting(figures: Mapping[str, Path], room: int) -> dict[str, Picture | None]:
    """The figures that fit into so many bytes, in turn; nothing for those that do not."""
    pictures = {}
    for name, path in figures.items():
        found = picture(np.asarray(Image.open(path)))
        fits = len(found.uri) <= room
        pictures[name] = found if fits else None
        room -= len(found.uri) if fits else 0
    return pictures


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(
    digits: Path,
    photo: Path,
    alexnet_weights: Path,
    models: Path,
    snapshots: Path,
    curves: Path,
    predictions: Path,
    metrics: Path,
    figures: Path,
    convolution: Path,
    alexnet: Path,
    data_efficiency: Path,
    page: Path,
    table_of_curves: Path,
) -> None:
    choices = {name: read_params(name, object) for name in CHOICES}
    about = read_params("models", dict[Name, dict])
    if not about:
        raise InputError(f"{PARAMS}: models is empty; it should have one model or more")
    for path in sorted(models.iterdir()):
        if path.stem not in about:
            print(f"{path} is left over: `make check` removes what no stage makes", file=sys.stderr)
    trained = simplest_first({name: load_model(models / f"{name}.safetensors") for name in about})
    titles = {name: about[name]["title"] for name in trained}
    curve_of = {name: read_curve(curves / f"{name}.csv") for name in trained}
    metrics_files = {name: metrics / f"{name}.json" for name in trained}
    live = answering(trained)
    snapshots_of = {
        name: read_snapshots(snapshots / f"{name}.safetensors", trained[name], curve_of[name])
        for name in live
    }

    tensors = load_tensors(digits)
    test_images = tensors["test_images"]
    predictions_of = {
        name: read_predictions(predictions / f"{name}.csv", len(test_images)) for name in trained
    }
    matrices = {name: confusion_matrix(found) for name, found in predictions_of.items()}
    convolutions = read_table(convolution / "shapes.csv")
    features = load_tensors(alexnet / "features.safetensors")["features"]
    efficiency = [
        {name: float(value) for name, value in row.items()}
        for row in read_table(data_efficiency / "accuracy.csv")
    ]
    questions = questions_of(trained, about, live, matrices, choices, efficiency)
    guesses: dict[str, dict[str, Any]] = {
        name: {"right": question.right, "why": question.why} for name, question in questions.items()
    }
    if "weights" in questions:
        guesses["weights"] |= {"grid": pictured_weights(trained, live)}
    small_photo, channels = photograph(Image.open(photo))
    filters = load_tensors(alexnet_weights)["features.0.weight"]
    slide = to_slide(Image.open(photo), filters)
    drawn = {f"{name} weights": figures / name / "weights.png" for name in trained}
    drawn |= {"efficiency": data_efficiency / "accuracy.png"}
    drawn |= {name: alexnet / f"{name}.png" for name in ALEXNET_FIGURES}
    for row in convolutions:
        path = convolution / f"{row['convolution']}.png"
        if path.exists():
            drawn[f"convolution {row['convolution']}"] = path
    read = (
        *(digits, photo, alexnet_weights),
        *(models / f"{name}.safetensors" for name in trained),
        *(curves / f"{name}.csv" for name in trained),
        *(predictions / f"{name}.csv" for name in trained),
        *metrics_files.values(),
        *(snapshots / f"{name}.safetensors" for name in live),
        *(convolution / "shapes.csv", data_efficiency / "accuracy.csv"),
        *(alexnet / name for name in ("architecture.txt", "shapes.csv", "features.safetensors")),
        *drawn.values(),
    )

    test_labels = tensors["test_labels"][:TEST_DIGITS].tolist()
    data: dict[str, Any] = {  # for the scripts
        "live": live,
        "titles": titles,
        "digits": packed(test_images[:TEST_DIGITS]) | {"labels": test_labels},
        "words": WORDS,
        "slide": slide,
        "guesses": guesses,
        "models": {
            name: {
                "layers": layer_list(trained[name]),
                "weights": {key: packed(w) for key, w in sorted(trained[name].weights.items())},
            }
            for name in live
        },
    }
    values = {
        "titles": titles,
        "live": live,
        "on_features": [name for name in trained if trained[name].input_shape != PIXELS],
        "weight_bytes": WEIGHT_BYTES,
        "kinds": {layer.kind for model in trained.values() for layer in model.layers.values()},
        "splits": {
            name: np.bincount(tensors[f"{name}_labels"], minlength=10).tolist()
            for name in ("train", "val", "test")
        },
        "sample": sample(tensors["train_images"], tensors["train_labels"]),
        "num_test_digits": len(test_labels),
        "layers": {name: layer_rows(model) for name, model in trained.items()},
        "inputs": {name: model.input_shape for name, model in trained.items()},
        "drawn_weights": {name: drawn_weights(model) for name, model in trained.items()},
        "metrics": {
            name: json.loads(path.read_text(encoding="utf-8"))
            for name, path in metrics_files.items()
        },
        "matrices": {
            name: list(zip(counts.tolist(), shades(counts).tolist(), strict=True))
            for name, counts in matrices.items()
        },
        "numbers_right": {name: counts.trace() for name, counts in matrices.items()},
        "uncertainty": max(map(half_interval, matrices.values())),
        "hidden": any(weighted_layers(model) > 1 for model in trained.values()),
        "steps": STEPS,
        "mistakes": {name: mistakes(test_images, predictions_of[name]) for name in trained},
        "curves": curve_of,
        "loss_chart": chart_of_models(curve_of, "loss", "mean cross-entropy (nats)"),
        "accuracy_chart": chart_of_models(curve_of, "val_accuracy", SHARE, top=1),
        "learning": {name: chart_of_sets(curve_of[name]) for name in live},
        "photo": small_photo,
        "slide": slide,
        "channels": channels,
        "convolutions": convolutions,
        "architecture": (alexnet / "architecture.txt").read_text(encoding="utf-8"),
        "alexnet": read_table(alexnet / "shapes.csv"),
        "features": feature_maps(features),
        "features_shape": features.shape,
        "efficiency": efficiency,
        "questions": questions,
        "choices": sorted(
            choice for name, value in choices.items() for choice in flatten(value, name).items()
        ),
        "digests": {path: sha256(path) for path in sorted(read)},
        "places": drawn,
    }

    def render_page(
        trains: dict[str, Any] | None,
        snapshots: dict[str, dict[str, Any]],
        pictures: dict[str, Picture | None],
    ) -> bytes:
        of_models = bool(live or trains)
        scripts = ["maps.js"] + ["models.js"] * of_models
        scripts += ["report.js"] if live else []
        scripts += ["training.js"] if trains else []
        return render(
            "report.html.j2",
            [*scripts, "kernel.js", "guess.js"],
            data | {"snapshots": snapshots, "training": trains},
            engine="engine.js" if of_models else "",
            training=trains,
            watched=[*snapshots],
            figures=pictures,
            **values,
        )

    def room(*parts: Any) -> int:
        return max(0, PAGE_BYTES - len(render_page(*parts)))

    # What stands in the page in any case comes first, then digits to train with, then snapshots,
    # then figures.
    no_figures = dict.fromkeys(drawn)
    no_steps = {
        name: found | {"steps": packed(found["steps"][:, :0])}
        for name, found in snapshots_of.items()
    }
    trains = None
    if any(model.input_shape == PIXELS for model in trained.values()):
        no_digits = training(trained, about, curve_of, tensors, room=0)
        left = room(no_digits, no_steps, no_figures) - LEAST_SNAPSHOT_BYTES
        trains = training(trained, about, curve_of, tensors, min(DIGIT_BYTES, left))
        trains = trains if trains["digits"]["val"] else None
    left = room(trains, no_steps, no_figures) * 3 // 4  # base64: 4 bytes for 3
    shown = first_units(snapshots_of, min(SNAPSHOT_BYTES, left))
    left = room(trains, shown, no_figures)
    with new_file(page) as file:
        file.write(render_page(trains, shown, fitting(drawn, left)))
    write_csv(
        table_of_curves,
        ("model", *CurvePoint._fields),
        [(name, *point) for name, curve in curve_of.items() for point in curve],
    )


if __name__ == "__main__":
    run(main)
