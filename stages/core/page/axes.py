"""Where images lie, on the page: the points that `principal_axes` found, and small pictures."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stages.core.base.errors import InputError
from stages.core.base.spread import evenly_spread
from stages.core.base.tables import read_table
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.statistics import Z
from stages.core.drawing.frame import WIDTH, frames
from stages.core.drawing.marks import marks_of
from stages.core.page.images import LONGEST_NAME, as_jpeg, head_length, short_label, shortened
from stages.core.page.page import packed
from stages.core.parallel.threads import in_threads

FILES = ("digits.csv", "moved.csv", "images.csv", "spaces.json")
SPACES = ("pixels", "features")
POINTS = 600  # that are shown, at most
DIGIT_SIDE, IMAGE_SIDE, QUALITY = 14, 32, 45  # of small pictures, pixels; and that of JPEG
IMAGES, IMAGE_BYTES = 400, 70_000  # small pictures of them, at most: each is an image to open
TENTHS = 10  # of a pixel: what a place is rounded to


class Point(NamedTuple):
    """An image, and its label (None without one); and in each space its place, the nearest other
    one (None without one), and whether that has its label."""

    called: str
    label: str | None
    places: dict[str, tuple[float, float]]
    neighbours: dict[str, str | None]
    right: dict[str, bool]


class Results(NamedTuple):
    """What the stage wrote of the digits, of the same ones moved, and of the folder of images: all
    points, by what they are called; how far down and across each digit was moved; spaces.json."""

    digits: dict[str, Point]
    moved: dict[str, Point]
    images: dict[str, Point]
    moves: list[tuple[int, int]]
    metrics: dict[str, Any]


def read_results(of_digits: Path, of_moved: Path, of_images: Path, of_metrics: Path) -> Results:
    """Read FILES, by their paths. Raises InputError if one of them holds something else."""
    moves = read_table(of_moved, lambda row: (int(row["down"]), int(row["across"])))
    return Results(
        read_points(of_digits, "image"),
        read_points(of_moved, "image"),
        read_points(of_images, "path"),
        moves,
        json.loads(of_metrics.read_text(encoding="utf-8")),
    )


def read_points(path: Path, heading: str) -> dict[str, Point]:
    """The points of a table that has what images are called below that heading."""
    found = {point.called: point for point in read_table(path, point_of(heading))}
    for point in found.values():
        for neighbour in point.neighbours.values():
            if neighbour is not None and neighbour not in found:
                raise InputError(f"{path} has no {neighbour}, which is the nearest to another")
    return found


def point_of(heading: str) -> Callable[[dict[str, str]], Point]:
    """Reads a row of such a table."""

    def read(row: dict[str, str]) -> Point:
        return Point(
            row[heading],
            row["label"] or None,
            {space: (float(row[f"{space}_x"]), float(row[f"{space}_y"])) for space in SPACES},
            {space: row[f"{space}_neighbour"] or None for space in SPACES},
            {space: row[f"{space}_right"] == "1" for space in SPACES},
        )

    return read


def spread(points: Mapping[str, Point]) -> list[Point]:
    """As many as the page has room for, evenly spread."""
    return evenly_spread([*points.values()], POINTS)


def small_digits(images: np.ndarray) -> dict[str, Any]:
    """Small pictures of images (uint8, N × side × side), in 16 greys: two pixels a byte."""
    size = DIGIT_SIDE, DIGIT_SIDE
    small = np.zeros((len(images), *size), np.uint8)
    for place, image in zip(small, images, strict=True):
        place[:] = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) // 16
    pairs = small.reshape(len(small), DIGIT_SIDE**2 // 2, 2)
    return packed(pairs[..., 0] * 16 + pairs[..., 1])


def small_images(paths: Sequence[str], folder: Path, size: int) -> dict[str, str]:
    """Small pictures of images in a folder, by their paths, as many as there is room for. Raises
    InputError if one can no longer be read."""

    def picture(path: str) -> str:
        return as_jpeg(thumbnail(folder, path, size, IMAGE_SIDE), QUALITY)

    mixed = sorted(range(len(paths)), key=lambda number: number * 40503 % 2**16)  # of each label
    wanted = [paths[number] for number in mixed[:IMAGES]]
    room, kept = IMAGE_BYTES, {}
    for path, found in zip(wanted, in_threads(picture, wanted), strict=True):
        room -= len(found) - head_length(found)
        if room < 0:
            break
        kept[path] = found
    return kept


def for_script(
    some: Sequence[Point],
    points: Mapping[str, Point],
    metrics: Mapping[str, Any],
    names: Sequence[str],
) -> dict[str, Any]:
    """Some of the points, and what was measured of all. `names`: of all labels, in order. A
    neighbour is the number of another one of them; or, if it is not among them, -2 - the number of
    its label; or -1, if there is none."""
    marks = marks_of([point.label for point in some], names)
    number_of: dict[str | None, int] = {point.called: i for i, point in enumerate(some)}
    label_of: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    insides = frames([np.array([point.places[space] for point in some]) for space in SPACES])

    def neighbour(point: Point, space: str) -> int:
        name = point.neighbours[space]
        if name is None or name in number_of:
            return number_of.get(name, -1)
        return -2 - label_of[points[name].label]

    return {
        "labels": [short_label(name) for name in names],
        "label": integers(label_of.get(point.label, -1) for point in some),
        "marks": [
            {"letter": letter, "label": label_of[label]}
            for letter, label in zip(marks.letters, marks.labels, strict=True)
        ],
        "others": marks.num_others,
        "unlabelled": marks.any_unlabelled,
        "spaces": {
            space: {
                "places": integers(
                    round(TENTHS * place)
                    for point in some
                    for place in inside.pixel(np.array(point.places[space]))
                ),
                "neighbours": integers(neighbour(point, space) for point in some),
                "dimensions": metrics[space]["dimensions"],
                "shares": [metrics[space][f"variance_{axis}"] for axis in ("first", "second")],
            }
            for space, inside in zip(SPACES, insides, strict=True)
        },
        "width": WIDTH,
        "height": insides[0].height,
    }


def integers(values: Iterable[int]) -> dict[str, Any]:
    return packed(np.array([*values], np.int16))


def for_digits(
    results: Results, names: Sequence[str], test_images: np.ndarray, num_pictures: int
) -> dict[str, Any]:
    """The first of the digits for the script, as they are and moved; so many of them have a
    picture in the page anyway. Raises InputError if they are others than the test images."""
    labels = {point.label for point in results.digits.values()}
    if len(results.digits) > len(test_images) or not labels <= {*names}:
        raise InputError(
            "the places of the test images are those of others; `dvc repro principal_axes` finds "
            "them anew"
        )
    digits, moved = (
        for_script([*points.values()][:POINTS], points, results.metrics[what], names)
        for what, points in (("digits", results.digits), ("moved", results.moved))
    )
    small = small_digits(test_images[num_pictures : min(len(results.digits), POINTS)])
    moves = packed(np.array(results.moves[:POINTS], np.uint8))
    return {"digits": digits | {"small": small}, "moved": moved | {"moves": moves}}


def for_images(
    results: Results, small: Mapping[str, str], pictures: Mapping[str, str]
) -> dict[str, Any]:
    """The folder of images for the script, which has larger `pictures` of some, by their paths."""
    some = spread(results.images)
    names = sorted({point.label for point in results.images.values() if point.label is not None})
    number_of = {path: number for number, path in enumerate([*pictures, *small])}
    length = min(map(head_length, small.values()), default=0)
    return for_script(some, results.images, results.metrics["images"], names) | {
        "names": [shortened(point.called.rpartition("/")[2], LONGEST_NAME) for point in some],
        "pictures": integers(number_of.get(point.called, -1) for point in some),
        "head": f"data:image/jpeg;base64,{next(iter(small.values()), '')[:length]}",
        "small": [picture[length:] for picture in small.values()],
    }


def for_template(results: Results) -> dict[str, Any]:
    """The numbers and words of the section, for each set of images."""
    found = {}
    sets = {"digits": results.digits, "moved": results.moved, "images": results.images}
    for what, points in sets.items():
        metrics = results.metrics[what]
        both, pixels, features = (
            sum(all(point.right[s] == (s in right) for s in SPACES) for point in points.values())
            for right in (SPACES, SPACES[:1], SPACES[1:])
        )
        compared = metrics["pixels"]["neighbour_accuracy"] is not None
        found[what] = metrics | {
            "shown": min(len(points), POINTS),
            "compared": compared,
            "both": both,
            "only": {"pixels": pixels, "features": features},
            "better": better(pixels, features) if compared else None,
        }
    return found


def better(pixels: int, features: int) -> str | None:
    """The space in which more neighbours are right, by the images that have a right one in one of
    them only: None if chance makes such a difference in more than 5 % of all cases (McNemar,
    1947)."""
    if (pixels - features) ** 2 <= Z * Z * (pixels + features):
        return None
    return "pixels" if pixels > features else "features"
