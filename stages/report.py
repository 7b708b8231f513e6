"""Make the lesson as one page to look at and to try out, from what the other stages made; and one
table of all learning curves, which `dvc plots` draws."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from stages.core.base.command import run

import numpy as np
from PIL import Image

from stages.core.base.errors import InputError
from stages.core.base.files import file_digest, new_file, write_csv
from stages.core.base.labels import one_of, read_labels
from stages.core.base.params import PARAMS, Name, read_params
from stages.core.base.tables import read_table
from stages.core.base.tensors import load_tensors
from stages.core.base.values import flatten
from stages.core.drawing.shades import STEPS, shades
from stages.core.learning.curves import CurvePoint, read_curve
from stages.core.learning.predictions import confusion_matrix, read_predictions
from stages.core.learning.trained import load_model
from stages.core.page import axes, ideal, images, patches
from stages.core.page.attributions import attributions, maps_file, why_files
from stages.core.page.learning import (
    SHARE,
    chart_of_models,
    chart_of_sets,
    first_units,
    read_snapshots,
)
from stages.core.page.models import (
    WEIGHT_BYTES,
    WORDS,
    answering,
    drawn_weights,
    half_interval,
    layer_list,
    layer_rows,
    pictured_weights,
    simplest_first,
    weighted_layers,
)
from stages.core.page.page import Picture, packed, render
from stages.core.page.pictures import (
    feature_maps,
    fitting,
    mistakes,
    photograph,
    sample,
    to_slide,
)
from stages.core.page.questions import questions_of
from stages.core.page.training import training

TEST_DIGITS = 300  # that the reader can pick
LEAST_SNAPSHOT_BYTES = 550_000  # that what comes before them leaves to them
IMAGE_BYTES = 700_000  # of pictures of images; where there are more, the first of them
DIGIT_BYTES = 1_300_000  # of digits to train with; where there are more, the first of them
SNAPSHOT_BYTES = 1_500_000  # of all snapshots; where units are many, the first are shown
PAGE_BYTES = 5_900_000  # the page leaves out figures that would make it larger, and names them
ALEXNET_FIGURES = ("filters", "conv2_pool", "conv1_relu", "conv1")  # the most telling first
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
    "images.path",
    "images.size",
    "images.groups",
    "classify_images",
    "exciting_patches",
    "alexnet_patches",
    "ideal_inputs",
    "alexnet_ideal_inputs",
    "principal_axes",
    "attributions",
    "image_attributions",
)


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
    image_classifier: Path,
    interpretation: Path,
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

    tensors, labels = load_tensors(digits), read_labels(digits)
    test_images = tensors["test_images"]
    predictions_of = {
        name: read_predictions(predictions / f"{name}.csv", len(test_images), labels)
        for name in trained
    }
    matrices = {}
    for name, found in predictions_of.items():
        actual, predicted, _ = zip(*found, strict=True)
        matrices[name] = confusion_matrix(actual, predicted, len(labels))
    convolutions = read_table(convolution / "shapes.csv", dict)
    features = load_tensors(alexnet / "features.safetensors")["features"]
    efficiency = read_table(
        data_efficiency / "accuracy.csv",
        lambda row: {name: float(value) for name, value in row.items()},
    )
    questions = questions_of(trained, about, live, matrices, labels, choices, efficiency)
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
    image_files = [image_classifier / name for name in images.FILES]
    results = images.read_results(*image_files)
    ideals = ideal.files(interpretation, trained)
    own = images.shown(results)
    folder, size = Path(read_params("images.path", str)), read_params("images.size", int)
    jpegs = images.jpegs(images.wanted(results, own), folder, size)
    patch_folders = interpretation / "alexnet_patches", interpretation / "patches"
    axes_files = [interpretation / "axes" / name for name in axes.FILES]
    lie = axes.read_results(*axes_files)
    small_images = axes.small_images(
        [point.called for point in axes.spread(lie.images) if point.called not in jpegs],
        folder,
        size,
    )
    not_live = [name for name in trained if name not in live]
    whys = attributions(interpretation, choices, not_live, labels, (folder, size))
    read = (
        *(digits, photo, alexnet_weights),
        *(models / f"{name}.safetensors" for name in trained),
        *(curves / f"{name}.csv" for name in trained),
        *(predictions / f"{name}.csv" for name in trained),
        *metrics_files.values(),
        *(snapshots / f"{name}.safetensors" for name in live),
        *(convolution / "shapes.csv", data_efficiency / "accuracy.csv"),
        *(alexnet / name for name in ("architecture.txt", "shapes.csv", "features.safetensors")),
        *image_files,
        *patches.files(*patch_folders, trained),
        *ideals,
        *axes_files,
        *(maps_file(interpretation, name) for name in whys["models"]),
        *why_files(interpretation),
        *drawn.values(),
    )

    test_labels = tensors["test_labels"][:TEST_DIGITS].tolist()
    data: dict[str, Any] = {  # for the scripts
        "live": live,
        "titles": titles,
        "digits": packed(test_images[:TEST_DIGITS]) | {"labels": test_labels},
        "labels": labels,
        "one": one_of(labels),
        "words": WORDS,
        "slide": slide,
        "guesses": guesses,
        "attributions": whys,
        "models": {
            name: {
                "layers": layer_list(trained[name]),
                "weights": {key: packed(w) for key, w in sorted(trained[name].weights.items())},
            }
            for name in live
        },
    }
    digit_points = axes.for_digits(lie, labels, test_images, len(test_labels))
    values = {
        "titles": titles,
        "live": live,
        "on_features": [name for name in trained if not trained[name].sees_pixels],
        "weight_bytes": WEIGHT_BYTES,
        "kinds": {layer.kind for model in trained.values() for layer in model.layers.values()},
        "labels": labels,
        "one": one_of(labels),
        "side": test_images.shape[1],
        "loss_of_guesses": math.log(len(labels)),
        "splits": {
            name: np.bincount(tensors[f"{name}_labels"], minlength=len(labels)).tolist()
            for name in ("train", "val", "test")
        },
        "sample": sample(tensors["train_images"], tensors["train_labels"], len(labels)),
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
        "mistakes": {name: mistakes(test_images, predictions_of[name], labels) for name in trained},
        "curves": curve_of,
        "loss_chart": chart_of_models(curve_of, "loss", "mean cross-entropy (nats)"),
        "accuracy_chart": chart_of_models(curve_of, "val_accuracy", SHARE, top=1),
        "learning": {name: chart_of_sets(curve_of[name]) for name in live},
        "photo": small_photo,
        "slide": slide,
        "channels": channels,
        "convolutions": convolutions,
        "architecture": (alexnet / "architecture.txt").read_text(encoding="utf-8"),
        "alexnet": read_table(alexnet / "shapes.csv", dict),
        "features": feature_maps(features),
        "features_shape": features.shape,
        "axes": axes.for_template(lie),
        "efficiency": efficiency,
        "images_path": folder.as_posix(),
        "ideal": ideal.of_models(interpretation, trained),
        "alexnet_ideal": ideal.of_alexnet(interpretation),
        "attributions": whys,
        "questions": questions,
        "patches": patches.for_template(*patch_folders, trained, np.asarray(Image.open(photo))),
        "choices": sorted(
            choice for name, value in choices.items() for choice in flatten(value, name).items()
        ),
        "digests": {path: file_digest(path) for path in sorted(read)},
        "places": drawn,
    }

    def render_page(
        kept: dict[str, str],
        trains: dict[str, Any] | None,
        snapshots: dict[str, dict[str, Any]],
        pictures: dict[str, Picture | None],
    ) -> bytes:
        of_models = bool(live or trains)
        scripts = ["maps.js"] + ["models.js"] * of_models
        scripts += ["report.js", "ideal.js"] if live else []
        scripts += ["training.js"] if trains else []
        return render(
            "report.html.j2",
            [*scripts, "attributions.js", "kernel.js", "images.js", "axes.js", "guess.js"],
            data
            | {"snapshots": snapshots, "training": trains}
            | {"images": images.for_script(results, own, kept)}
            | {"axes": digit_points | {"images": axes.for_images(lie, small_images, kept)}},
            engine="engine.js" if of_models else "",
            training=trains,
            watched=[*snapshots],
            figures=pictures,
            images=images.for_template(results, own, kept),
            **values,
        )

    def room(*parts: Any) -> int:
        return max(0, PAGE_BYTES - len(render_page(*parts)))

    # What stands in the page in any case comes first, then pictures of images, then digits to train
    # with, then snapshots, then figures.
    no_figures = dict.fromkeys(drawn)
    no_steps = {
        name: found | {"steps": packed(found["steps"][:, :0])}
        for name, found in snapshots_of.items()
    }
    trains = no_digits = None
    if any(model.sees_pixels for model in trained.values()):
        no_digits = training(trained, about, curve_of, tensors, room=0)
    left = room({}, no_digits, no_steps, no_figures) - LEAST_SNAPSHOT_BYTES
    kept = images.first_pictures(jpegs, min(IMAGE_BYTES, left))
    if no_digits:
        left = room(kept, no_digits, no_steps, no_figures) - LEAST_SNAPSHOT_BYTES
        trains = training(trained, about, curve_of, tensors, min(DIGIT_BYTES, left))
        trains = trains if trains["digits"]["val"] else None
    left = room(kept, trains, no_steps, no_figures) * 3 // 4  # base64: 4 bytes for 3
    shown = first_units(snapshots_of, min(SNAPSHOT_BYTES, left))
    left = room(kept, trains, shown, no_figures)
    with new_file(page) as file:
        file.write(render_page(kept, trains, shown, fitting(drawn, left)))
    write_csv(
        table_of_curves,
        ("model", *CurvePoint._fields),
        [(name, *point) for name, curve in curve_of.items() for point in curve],
    )


if __name__ == "__main__":
    run(main)
