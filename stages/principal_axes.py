"""Where images lie: the digits, the same digits moved, and the folder of images as points, by their
pixels and by AlexNet's features, on their two principal axes; and whether the nearest one is of the
same label."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field

from stages.core.alexnet.network import alexnet, features
from stages.core.base.errors import InputError
from stages.core.base.files import new_file, write_csv
from stages.core.base.labels import one_of, read_labels
from stages.core.base.params import Params, read_params
from stages.core.base.progress import progress
from stages.core.base.spread import evenly_spread
from stages.core.base.values import percent
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.statistics import wilson
from stages.core.classifier.table import read_table
from stages.core.data.digits import read_splits
from stages.core.drawing.figure import save_figure
from stages.core.drawing.marks import marks_of
from stages.core.drawing.points import Panel, draw_points
from stages.core.exact.images import enlarged
from stages.core.exact.integers import means_of_maps
from stages.core.exact.random import Purpose, Words
from stages.core.interpretation.axes import Principal, principal_axes
from stages.core.interpretation.nearest import nearest_neighbours
from stages.core.parallel.threads import in_threads

BATCH = 8  # digits at a time through the network
SIDE = 32  # to which images are scaled, to compare their pixels: what a thing is can be seen then

Count = Annotated[int, Field(ge=2, le=10_000)]


class PrincipalAxesParams(Params):
    digits: Count
    images: Count


class Images(NamedTuple):
    """N images: a title for them; what they are called, and the heading of that; their labels, and
    the names of all labels in order; and a point for each (float32, N × K), by pixels and by
    features."""

    title: str
    heading: str
    called: Sequence[object]
    labels: Sequence[str | None]
    names: list[str]
    points: dict[str, torch.Tensor]
    columns: dict[str, Sequence[object]] = {}  # what else is in the table of them

    @property
    def numbers(self) -> np.ndarray:
        """Each image's label by its number (int64), -1 if it has none."""
        number_of = {name: number for number, name in enumerate(self.names)}
        return np.array([-1 if label is None else number_of[label] for label in self.labels])


def first_digits(digits: Path, embedded_digits: Path, most: int) -> Images:
    """The first of the test images. Raises InputError if the files do not belong together."""
    names, points = read_labels(digits), {}
    for space, path in (("pixels", digits), ("features", embedded_digits)):
        inputs, numbers = read_splits(path)["test"]
        points[space] = inputs[:most].flatten(1)
        labels = [names[number] for number in numbers[:most].tolist()]
    if len(points["pixels"]) != len(points["features"]):
        raise InputError(
            f"{embedded_digits} has the features of other images than those in {digits}; "
            "`dvc repro embed_digits` computes them anew"
        )
    title = f"{len(labels):,} test {'digits' if one_of(names) == 'digit' else 'images'}"
    return Images(title, "image", range(len(labels)), labels, names, points)


def larger(side: int) -> int:
    """Half as large again."""
    return side * 3 // 2


def moved_digits(weights: Path, digits: Images, size: int) -> Images:
    """The digits somewhere in larger pictures, and the means of their feature maps, which say
    nothing of where. `size`: that to which digits are enlarged for AlexNet, in smaller pictures."""
    pixels = (digits.points["pixels"] * 255).round().byte().numpy()
    side = math.isqrt(pixels.shape[1])
    room = larger(side) - side + 1
    places = (Words(0, Purpose.PLACES).take(len(pixels), 2) % room).tolist()
    pictures = np.zeros((len(pixels), larger(side), larger(side)), np.uint8)
    for picture, digit, (down, across) in zip(pictures, pixels, places, strict=True):
        picture[down : down + side, across : across + side] = digit.reshape(side, side)
    model = alexnet(weights)

    def means(start: int) -> torch.Tensor:
        large = enlarged(pictures[start : start + BATCH], larger(size))
        return means_of_maps(features(model, large.expand(-1, 3, -1, -1)))

    found = []
    with progress(len(pictures), "digits") as bar:
        for part in in_threads(means, range(0, len(pictures), BATCH)):
            found.append(part)
            bar.update(len(part))
    return digits._replace(
        title=f"{digits.title}, moved at random",
        points={
            "pixels": torch.from_numpy(pictures).flatten(1) / 255,
            "features": torch.cat(found),
        },
        columns=dict(zip(("down", "across"), zip(*places, strict=True), strict=True)),
    )


def own_images(embedded_images: Path, folder: Path, size: int, most: int, place: Path) -> Images:
    """Some of the images in a folder, evenly spread; of equal ones, the first alone, for each would
    have the other beside it. `size`: that of what the network sees; `place`: a folder for what does
    not fit into memory."""
    table = read_table(embedded_images, place)
    _, different = np.unique(np.ascontiguousarray(table.digests), return_index=True)
    rows = evenly_spread(sorted(different.tolist()), most)
    count = len(rows)
    paths, labels = ([column[row] for row in rows] for column in (table.paths, table.labels))

    def pixels_of(path: str) -> np.ndarray:
        return thumbnail(folder, path, size, SIDE)

    pixels = np.empty((count, SIDE, SIDE, 3), np.float32)
    with progress(count, "images") as bar:
        for row, square in enumerate(in_threads(pixels_of, paths)):
            pixels[row] = square
            bar.update(1)
    points = {
        "pixels": torch.from_numpy(pixels).flatten(1) / 255,
        "features": table.features[rows],
    }
    names = sorted({label for label in labels if label is not None})
    some = f"{count:,} of {len(different):,}" if count < len(different) else f"{count:,}"
    return Images(f"{some} images of {folder.as_posix()}", "path", paths, labels, names, points)


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


def is_right(numbers: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Whether each image has a neighbour of its own label (bool, N)."""
    return (neighbours >= 0) & (numbers == numbers[neighbours])


def measured(spaces: dict[str, Space], numbers: np.ndarray) -> dict[str, Any]:
    """For spaces.json. Where all images have one label, no neighbour says anything: None."""
    labelled = numbers[numbers >= 0]
    total, num_labels = len(labelled), len({*labelled.tolist()})
    found: dict[str, Any] = {"images": len(numbers), "labels": num_labels}
    for name, space in spaces.items():
        accuracy = low = high = on_axes = None
        if num_labels > 1:
            right, of_axes = (
                int(is_right(numbers, nearest).sum())
                for nearest in (space.neighbours, space.on_axes)
            )
            accuracy, on_axes = right / total, of_axes / total
            low, high = wilson(right, total)
        found[name] = {
            "dimensions": space.num_dims,
            "neighbour_accuracy": accuracy,
            "neighbour_accuracy_low": low,
            "neighbour_accuracy_high": high,
            "neighbour_accuracy_on_axes": on_axes,
            "variance_first": space.principal.shares[0],
            "variance_second": space.principal.shares[1],
        }
    return found


def rows_of(images: Images, spaces: dict[str, Space]) -> tuple[list[str], list[tuple]]:
    """The table of some images: its header, and a row for each."""
    header = [images.heading, "label", *images.columns]
    columns = [images.called, images.labels, *images.columns.values()]
    for name, space in spaces.items():
        header += [f"{name}_{column}" for column in ("x", "y", "neighbour", "right")]
        right = is_right(images.numbers, space.neighbours)
        columns += [[f"{place:.6g}" for place in axis] for axis in space.principal.places.T]
        columns.append([None if i < 0 else images.called[i] for i in space.neighbours])
        columns.append(
            [None if i < 0 else int(r) for i, r in zip(space.neighbours, right, strict=True)]
        )
    return header, [*zip(*columns, strict=True)]


def draw(images: Images, spaces: dict[str, Space], found: dict[str, Any]) -> Figure:
    title, panels, accuracies = images.title, [], {}
    for name, space in spaces.items():
        shares = {key: share for key, share in found[name].items() if isinstance(share, float)}
        said = {key: percent(share) for key, share in shares.items()}
        lines = ["one label only: no neighbour can have another"]
        if accuracy := said.get("neighbour_accuracy"):
            accuracies[name] = accuracy
            low, high = (said[f"neighbour_accuracy_{end}"] for end in ("low", "high"))
            lines = [
                f"nearest neighbour of the same label: {accuracy} ({low} to {high})",
                f"by these two axes alone: {said['neighbour_accuracy_on_axes']}",
            ]
        panels.append(
            Panel(
                f"By {name}: {space.num_dims:,} numbers an image",
                lines,
                space.principal.places,
                f"first axis: {said['variance_first']} of the variance",
                f"second axis: {said['variance_second']}",
            )
        )
    if accuracies:
        by = ", ".join(f"{accuracy} by {name}" for name, accuracy in accuracies.items())
        title += f": nearest neighbour right for {by}"
    explained = (
        "The points lie on the two principal axes of each space. A mark stands for the label of an "
        "image; large: the mean of a label. In brackets: the 95 % interval."
    )
    marks = marks_of(images.labels, images.names)
    return draw_points(title, explained, panels, marks)


def main(
    weights: Path, digits: Path, embedded_digits: Path, embedded_images: Path, out: Path
) -> None:
    params, embed_size = (
        read_params("principal_axes", PrincipalAxesParams),
        read_params("embed.size", int),
    )
    folder, size = Path(read_params("images.path", str)), read_params("images.size", int)
    centred = first_digits(digits, embedded_digits, params.digits)
    sets = {
        "digits": centred,
        "moved": moved_digits(weights, centred, embed_size),
        "images": own_images(embedded_images, folder, size, params.images, out.parent),
    }
    metrics = {}
    for what, images in sets.items():
        labelled = np.flatnonzero(images.numbers >= 0)
        spaces = {name: space_of(points, labelled) for name, points in images.points.items()}
        metrics[what] = measured(spaces, images.numbers)
        write_csv(out / f"{what}.csv", *rows_of(images, spaces))
        save_figure(draw(images, spaces, metrics[what]), out / f"{what}.png")
    with new_file(out / "spaces.json") as file:
        file.write((json.dumps(metrics, indent=2) + "\n").encode())


if __name__ == "__main__":
    run(main)
