"""Make the images that would excite a trained model's units most: of its convolutions, of its
hidden layers, and of its logits. What is its ideal 3?"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field

from stages.core.base.labels import one_of
from stages.core.base.params import read_params
from stages.core.base.progress import progress
from stages.core.base.tensors import in_words, open_tensors, save_tensors
from stages.core.base.values import percent
from stages.core.drawing.figure import names_in_font, save_figure, shortened
from stages.core.drawing.grids import SMALL, Grid, draw_grids
from stages.core.exact.functions import softmax
from stages.core.interpretation.ascent import AscentParams, ascend, of_units, to_bytes
from stages.core.interpretation.pixels import on_pixels
from stages.core.interpretation.receptive import fields_in_image
from stages.core.learning.trained import TrainedModel, load_model
from stages.core.learning.training import logits
from stages.core.parallel.threads import in_threads

BATCH = 5  # images at a time: both cores have something to do for ten logits
COLUMNS, TILE = 10, 84  # tiles in a row; side of a tile, pixels
ALONE = "alone"  # of what was made with nothing against noise


class IdealInputsParams(AscentParams):
    units: Annotated[int, Field(ge=1, le=64)]


class Job(NamedTuple):
    """Images to make, by what they are called: for some units of a layer, and how."""

    name: str
    layer: str
    units: range
    params: AscentParams


def what_it_sees(model: TrainedModel, layer: str, side: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels that the unit in the middle of a layer's maps sees: all, after
    a linear layer and in models of features."""
    field = fields_in_image(model)[layer]
    if field is None:
        return slice(0, side), slice(0, side)
    _, height, width = model.shapes[layer][1]
    corner = field.corner(height // 2, width // 2)
    rows, columns = (slice(max(at, 0), min(at + field.size, side)) for at in corner)
    return rows, columns


def jobs(model: TrainedModel, params: IdealInputsParams, side: int) -> Iterator[Job]:
    """Those of all layers with weights; of the logits twice."""
    *_, last = model.layers
    for layer in model.layers:
        if not model.parameters(layer):
            continue
        num_units = model.shapes[layer][1][0]
        rows, _ = what_it_sees(model, layer, side)
        gentle = params.for_field(rows.stop - rows.start)
        ways = {layer: gentle}
        if layer == last:
            ways[f"{layer}.{ALONE}"] = gentle.alone()
        else:
            num_units = min(num_units, params.units)
        for name, way in ways.items():
            for first in range(0, num_units, BATCH):
                yield Job(name, layer, range(first, min(first + BATCH, num_units)), way)


def draw(
    title: str,
    model: TrainedModel,
    images: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
) -> Figure:
    """A grid for each layer; above the images for the logits, the label and its probability."""
    labels = names_in_font(model.labels)
    *_, last = model.layers
    grids = []
    for name, tiles in images.items():
        layer = name.removesuffix(f".{ALONE}")
        unit, count = "channel" if model.layers[layer].kind == "conv" else "unit", len(tiles)
        all_units = model.shapes[layer][1][0]
        some = f"the first {count} of {all_units} {unit}s" if count < all_units else f"each {unit}"
        above = None
        if layer != last:
            heading = f"{layer}: the ideal {in_words(tiles.shape[1:])} pixels for {some}"
        elif name == layer:
            one = one_of(model.labels)
            heading = f"{layer}: the ideal image for each {one}, and how sure of it the model is"
        else:
            heading = "The same with nothing against noise: no jitter, no blur, no decay"
        if layer == last:
            above = [
                said(labels, label, probabilities, TILE)
                for label, probabilities in enumerate(found[f"{name}.probabilities"])
            ]
        zoom = max(1, TILE // max(tiles.shape[1:]))
        grids.append(Grid(heading, tiles, min(COLUMNS, len(tiles)), zoom, above))
    return draw_grids(f"{title}: what would excite its units most", grids)


def said(labels: Sequence[str], label: int, probabilities: np.ndarray, width: int) -> str:
    """The label, the model's answer if it is another one, and the probability of the answer."""
    answer = int(probabilities.argmax())
    names = labels[label] if answer == label else f"{labels[label]} → {labels[answer]}"
    return shortened(f"{names}: {percent(round(float(probabilities[answer]), 6))}", SMALL, width)


def main(name: str, trained: Path, digits: Path, weights: Path, inputs: Path, figure: Path) -> None:
    params = read_params("ideal_inputs", IdealInputsParams)
    title = read_params(f"models.{name}.title", str)
    size = read_params("embed.size", int)
    model = load_model(trained)
    with open_tensors(digits) as file:
        side = file.get_slice("test_images").get_shape()[-1]
    network = on_pixels(model, weights, size)
    before = len(network) - len(model.layers)  # layers that make features of pixels
    ground = np.zeros((1, side, side), np.float32)  # black, as around a digit

    def images_for(job: Job) -> np.ndarray:
        up_to = network[: before + [*model.layers].index(job.layer) + 1]
        wanted = of_units(model.shapes[job.layer][1], job.units)
        return to_bytes(ascend(up_to, wanted, ground, job.params)[:, 0])

    todo = [*jobs(model, params, side)]
    found: dict[str, list[np.ndarray]] = {job.name: [] for job in todo}
    with progress(sum(len(job.units) for job in todo), "images") as done:
        for job, images in zip(todo, in_threads(images_for, todo), strict=True):
            found[job.name].append(images)
            done.update(len(job.units))
    *_, last = model.layers
    shown, answers = {}, {}
    for key, parts in found.items():
        images = np.concatenate(parts)
        if key.partition(".")[0] == last:
            pixels = torch.from_numpy(images).unsqueeze(1) / 255
            answers[f"{key}.probabilities"] = softmax(logits(network, pixels).numpy())[0]
        rows, columns = what_it_sees(model, key.partition(".")[0], side)
        shown[key] = np.ascontiguousarray(images[:, rows, columns])
    save_figure(draw(title, model, shown, answers), figure)
    save_tensors(shown | {key: p.astype(np.float32) for key, p in answers.items()}, inputs)


if __name__ == "__main__":
    run(main)
