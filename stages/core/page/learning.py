"""How the models learned: charts of their curves, and snapshots of their weights."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.base.tensors import load_tensors
from stages.core.learning.curves import CurvePoint
from stages.core.learning.trained import TrainedModel
from stages.core.page.chart import Chart, Line
from stages.core.page.models import first_layer
from stages.core.page.page import packed

SHARE = "share of the images recognised"


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
