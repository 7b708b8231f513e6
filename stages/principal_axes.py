"""Where images lie: the digits and the folder of images as points, by their pixels and by AlexNet's
features, on their two principal axes; and whether the nearest one is of the same label."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from stages.core.base.command import run

import numpy as np
import torch
from pydantic import Field

from stages.core.base.files import new_file, write_csv
from stages.core.base.labels import one_of, read_labels
from stages.core.base.params import Params, read_params
from stages.core.base.progress import progress
from stages.core.base.tensors import open_tensors
from stages.core.base.values import percent
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.statistics import wilson
from stages.core.classifier.table import read_table
from stages.core.data.digits import FEATURES, IMAGES
from stages.core.drawing.figure import save_figure
from stages.core.drawing.marks import marks_of
from stages.core.drawing.points import Panel, draw_points
from stages.core.interpretation.axes import Principal, principal_axes
from stages.core.interpretation.neighbours import nearest_neighbours
from stages.core.parallel.threads import in_threads

SIDE = 32  # to which images are scaled, to compare their pixels: what a thing is can be seen then
SPACES = ("pixels", "features")

Count = Annotated[int, Field(ge=2, le=10_000)]


class PrincipalAxesParams(Params):
    digits: Count
    images: Count


class Space(NamedTuple):
    """N images as points in K dimensions, on their axes; the nearest other one of each that has a
    label (int64, N; -1 without one), by all dimensions, and by the two axes alone."""

    num_dims: int
    principal: Principal
    neighbours: np.ndarray
    on_axes: np.ndarray


def space_of(points: torch.Tensor, labelled: np.ndarray) -> Space:
    """Of points N × K (float32), of which some, by their indices, have a label."""
    principal = principal_axes(points)

    def neighbours(of: torch.Tensor) -> np.ndarray:
        found = np.full(len(of), -1)
        if len(labelled) > 1:
            found[labelled] = labelled[nearest_neighbours(of[labelled])]
        return found

    plane = torch.from_numpy(principal.places).float()
    return Space(points.shape[1], principal, neighbours(points), neighbours(plane))


class Right(NamedTuple):
    """How many nearest neighbours have the label of the image, by all dimensions and by the axes;
    and of how many."""

    all_dims: int
    on_axes: int
    total: int


def same_label(labels: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Of labels by their numbers (int64, N; -1 for none): whether each is its neighbour's, too."""
    return (neighbours >= 0) & (labels == labels[neighbours])


def measured(spaces: dict[str, Space], labels: np.ndarray) -> dict[str, Any]:
    """For metrics.json. Without two images that have different labels, nothing is measured."""
    total = int((labels >= 0).sum())
    compared = len({*labels[labels >= 0].tolist()}) > 1
    found: dict[str, Any] = {"images": len(labels), "labels": len({*labels.tolist()} - {-1})}
    for name, space in spaces.items():
        right, on_axes = (
            int(same_label(labels, nearest).sum()) for nearest in (space.neighbours, space.on_axes)
        )
        low, high = wilson(right, total) if compared else (None, None)
        found[name] = {
            "neighbour_accuracy": right / total if compared else None,
            "neighbour_accuracy_low": low,
            "neighbour_accuracy_high": high,
            "neighbour_accuracy_on_axes": on_axes / total if compared else None,
            "variance_first": space.principal.shares[0],
            "variance_second": space.principal.shares[1],
        }
    return found


def panels(spaces: dict[str, Space], found: dict[str, Any]) -> list[Panel]:
    drawn = []
    for name, space in spaces.items():
        shares = {key: value for key, value in found[name].items() if value is not None}
        said = {key: percent(share) for key, share in shares.items()}
        lines = ["one label only: no neighbour can have another"]
        if "neighbour_accuracy" in said:
            lines = [
                f"nearest neighbour of the same label: {said['neighbour_accuracy']} "
                f"({said['neighbour_accuracy_low']} to {said['neighbour_accuracy_high']})",
                f"by these two axes alone: {said['neighbour_accuracy_on_axes']}",
            ]
        drawn.append(
            Panel(
                f"By {name}: {space.num_dims:,} numbers an image",
                lines,
                space.principal.places,
                f"first axis: {said['variance_first']} of the variance",
                f"second axis: {said['variance_second']}",
            )
        )
    return drawn


def write(
    out: Path,
    what: str,
    title: str,
    first_column: str,
    images: Sequence[Any],
    labels: Sequence[str | None],
    names: Sequence[str],
    points: dict[str, torch.Tensor],
) -> dict[str, Any]:
    """Draw some images and list them, as `what`; what was measured. `images`: what each is called,
    in a column of that name. `names`: the labels, in order."""
    numbers = np.array([-1 if label is None else names.index(label) for label in labels])
    labelled = np.flatnonzero(numbers >= 0)
    spaces = {name: space_of(points[name], labelled) for name in SPACES}
    found = measured(spaces, numbers)
    columns = [(images, labels)]
    header = [first_column, "label"]
    for name, space in spaces.items():
        right = same_label(numbers, space.neighbours)
        header += [f"{name}_{column}" for column in ("x", "y", "neighbour", "right")]
        columns += [
            [f"{number:.6g}" for number in space.principal.places[:, axis]] for axis in (0, 1)
        ]
        columns += [
            ["" if nearest < 0 else images[nearest] for nearest in space.neighbours],
            [
                "" if nearest < 0 else int(each)
                for nearest, each in zip(space.neighbours, right, strict=True)
            ],
        ]
    write_csv(out / f"{what}.csv", header, zip(*columns[0], *columns[1:], strict=True))
    marks = marks_of(labels, names)
    explained = (
        "The points lie on the two principal axes of each space. A mark stands for the label of an "
        "image; large: the mean of a label. In brackets: the 95 % interval."
    )
    accuracies = [found[name]["neighbour_accuracy"] for name in SPACES]
    if None not in accuracies:
        by_pixels, by_features = map(percent, accuracies)
        title += f": nearest neighbour right for {by_pixels} by pixels, {by_features} by features"
    figure = draw_points(title, explained, panels(spaces, found), marks, None in labels)
    save_figure(figure, out / f"{what}.png")
    return found


def spread(count: int, most: int) -> np.ndarray:
    """The indices of at most so many of `count`, evenly spread (int64)."""
    number = min(count, most)
    return np.arange(number) * count // number


def main(digits: Path, embedded_digits: Path, embedded_images: Path, out: Path) -> None:
    params = read_params("principal_axes", PrincipalAxesParams)
    folder, size = Path(read_params("images.path", str)), read_params("images.size", int)

    names = read_labels(digits)
    with open_tensors(digits, IMAGES) as file:
        pixels = file.get_slice("test_images")[: params.digits]
        numbers = file.get_slice("test_labels")[: params.digits].tolist()
        num_digits = file.get_slice("test_labels").get_shape()[0]
    with open_tensors(embedded_digits, FEATURES) as file:
        features = file.get_slice("test_features")[: params.digits]
    one = "digit" if one_of(names) == "digit" else "image"
    results = {
        "digits": write(
            out,
            "digits",
            f"{len(numbers):,} test {one}s",
            "image",
            range(len(numbers)),
            [names[number] for number in numbers],
            names,
            {
                "pixels": torch.from_numpy(pixels).flatten(1).float(),
                "features": torch.from_numpy(features),
            },
        )
    }

    table = read_table(embedded_images, out.parent)
    _, different = np.unique(np.ascontiguousarray(table.digests), return_index=True)
    rows = np.sort(different)[spread(len(different), params.images)]
    paths = [table.paths[row] for row in rows]
    labels = [table.labels[row] for row in rows]

    def small(path: str) -> np.ndarray:
        return thumbnail(folder, path, size, SIDE)

    squares = []
    with progress(len(paths), "images") as bar:
        for square in in_threads(small, paths):
            squares.append(square)
            bar.update(1)
    some = (
        f"{len(rows):,} of {len(different):,}" if len(rows) < len(different) else f"{len(rows):,}"
    )
    results["images"] = write(
        out,
        "images",
        f"{some} images of {folder.as_posix()}",
        "path",
        paths,
        labels,
        sorted({label for label in labels if label is not None}),
        {
            "pixels": torch.from_numpy(np.stack(squares)).flatten(1).float(),
            "features": table.features[torch.from_numpy(rows)],
        },
    )
    with new_file(out / "metrics.json") as file:
        file.write((json.dumps(results, indent=2) + "\n").encode())


if __name__ == "__main__":
    run(main)
