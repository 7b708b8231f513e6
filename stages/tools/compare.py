"""Set two runs side by side on one page: parameters, metrics, curves and weights.

A run is what a commit, a branch, a tag or an experiment of DVC recorded, or the workspace. It is
read through DVC, out of its cache or a remote: nothing is run again. What the page has follows from
dvc.yaml: its metrics, its plots of columns, and the weights in the safetensors files of the stages
that write metrics.
"""

import csv
import io
import logging
import math
import os
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.base.command import Parser

import numpy as np
from dvc.api import DVCFileSystem
from dvc.repo import Repo
from dvc.scm import RevError, resolve_rev
from safetensors.numpy import load

from stages.core.base.errors import InputError, explained, say
from stages.core.base.files import new_file
from stages.core.base.values import flatten, is_number
from stages.core.drawing.tiles import tiled
from stages.core.page.chart import Chart, Line
from stages.core.page.page import packed, render
from stages.tools.params import check_params
from stages.tools.project import check_folder, explained_by_dvc

WORKSPACE = "workspace"
MOST_TILES = 64  # of a weight
DISPLAYS = (
    "BROWSER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
)  # environment variables; without any, no window


class Curve(NamedTuple):
    """One of the lines of a plot in dvc.yaml: a column of a file, or those of its rows that have
    the words `line` in the columns without numbers."""

    title: str
    path: str
    column: str
    line: str
    x_label: str
    y_label: str


class Run(NamedTuple):
    """Parameters and metrics by their full names, curves, and weights by file and name."""

    params: dict[str, Any]
    metrics: dict[tuple[str, str], float]
    curves: dict[Curve, list[tuple[float, float]]]
    weights: dict[tuple[str, str], np.ndarray]


def check_revision(revision: str) -> None:
    """Raises InputError when there is no such revision."""
    with Repo() as repo:  # closes git's files; any still open at exit would say so
        try:
            found = resolve_rev(repo.scm, revision)
        except RevError as error:
            message = f"{revision}: {error}"
            if Path(repo.scm.root_dir, ".git/shallow").exists():
                message += "; this clone is shallow: `git fetch --unshallow` brings all commits"
            raise InputError(message) from None
        try:
            resolve_rev(repo.scm, f"{found}^{{commit}}")
        except RevError:
            raise InputError(
                f"{revision} is a file or a folder in a commit; name the commit alone"
            ) from None


def read_run(revision: str) -> Run:
    """Raises InputError when there is no such revision, or when it has a file that nobody kept."""
    if revision == WORKSPACE:
        check_params()
    with explained_by_dvc(f"{revision}: "):
        if revision != WORKSPACE:
            check_revision(revision)
        try:
            fs = DVCFileSystem(rev=None if revision == WORKSPACE else revision)
            shown = {name: show(getattr(fs.repo, name).show()) for name in ("params", "metrics")}
            return Run(
                params={
                    k: v for file in shown["params"].values() for k, v in flatten(file).items()
                },
                metrics={
                    (path, k): v
                    for path, file in shown["metrics"].items()
                    for k, v in flatten(file).items()
                },
                curves=dict(read_curves(fs, revision)),
                weights=dict(read_weights(fs, set(shown["metrics"]))),
            )
        except FileNotFoundError as error:
            raise InputError(
                f"{revision}: {error.filename}: it is neither in the cache nor in a remote; "
                "`dvc repro` would make it again"
            ) from None


def show(result: dict[str, Any]) -> dict[str, Any]:
    """The values of each file in what DVC's `show` found in one revision."""
    found: dict[str, Any] = next(iter(result.values()), {})
    if error := found.get("error"):
        raise error
    for path, file in found.get("data", {}).items():
        if error := file.get("error"):
            if isinstance(error, OSError):
                error.filename = path
            raise error
    return {path: file["data"] for path, file in found.get("data", {}).items()}


def is_numeric(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def lines(rows: list[dict[str, str]], numbers: tuple[str, str]) -> dict[str, list[dict[str, str]]]:
    """The rows of each line: those with the same words, where there are words in columns other than
    `numbers`, x and y; or else, if an x stands there twice, those with the same number in the first
    column that tells them apart."""
    others = [name for name in (rows[0] if rows else ()) if name not in numbers]
    columns = [name for name in others if not all(is_numeric(row[name]) for row in rows)]
    x, _ = numbers
    if not columns and len({row.get(x) for row in rows}) < len(rows):
        columns = [
            name for name in others if len({(row[name], row.get(x)) for row in rows}) == len(rows)
        ][:1]
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(", ".join(row[name] for name in columns), []).append(row)
    return found


def read_curves(
    fs: DVCFileSystem, revision: str
) -> Iterator[tuple[Curve, list[tuple[float, float]]]]:
    """The lines of the plots that dvc.yaml makes of columns of files."""
    [collected] = fs.repo.plots.collect(revs=[revision])
    files = collected.get(revision, {}).get("definitions", {}).get("data", {}).values()
    for name, plot in (item for file in files for item in file["data"].items()):
        x, y = plot.get("x"), plot.get("y")
        if not isinstance(x, str) or not isinstance(y, dict):
            continue  # a picture
        for path, columns in y.items():
            rows = list(csv.DictReader(io.StringIO(fs.read_text(path, encoding="utf-8"))))
            for column in [columns] if isinstance(columns, str) else columns:
                labels = plot.get("x_label", x), plot.get("y_label", column)
                for words, of_line in lines(rows, (x, column)).items():
                    try:
                        points = [(float(row[x]), float(row[column])) for row in of_line]
                    except (KeyError, TypeError, ValueError):
                        raise InputError(
                            f"{revision}: {path} has no numbers {x} and {column}"
                        ) from None
                    yield Curve(plot.get("title", name), path, column, words, *labels), points


def read_weights(
    fs: DVCFileSystem, metrics: set[str]
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Tensors named `….weight` of the stages that write metrics."""
    for stage in fs.repo.index.stages:
        outs = [out.def_path for out in stage.outs]
        if not metrics & set(outs):
            continue
        for path in outs:
            if path.endswith(".safetensors"):
                for name, tensor in sorted(load(fs.read_bytes(path)).items()):
                    if name.endswith(".weight"):
                        yield (path, name), tensor


def changes(a: dict, b: dict) -> list[tuple[Any, Any, Any]]:
    """What differs, by its name, in both; None where one of them lacks it."""
    return [(key, a.get(key), b.get(key)) for key in a | b if a.get(key) != b.get(key)]


def metric_rows(a: Run, b: Run) -> list[tuple[str, str, Any, Any, float | None]]:
    """File, metric, both values, and the second minus the first where both are numbers."""
    rows = []
    for key in a.metrics | b.metrics:
        first, second = a.metrics.get(key), b.metrics.get(key)
        difference = second - first if is_number(first) and is_number(second) else None
        rows.append((*key, first, second, difference))
    return rows


def charts(a: Run, b: Run) -> tuple[list[tuple[Curve, Chart]], int]:
    """A chart of both lines for each curve that differs, and how many are the same."""
    found = []
    for curve, of_a, of_b in changes(a.curves, b.curves):
        both = [Line(name, points) for name, points in (("a", of_a), ("b", of_b)) if points]
        if both:
            found.append((curve, Chart(both, curve.x_label, curve.y_label)))
    return found, len(a.curves | b.curves) - len(found)


def tiles(weight: np.ndarray) -> np.ndarray:
    """A weight as pictures N × height × width: kernels; rows of a linear layer as squares, where
    their length is a square; or else one picture of all of it. At most the first 64."""
    if weight.ndim == 4:
        found = weight.reshape(-1, *weight.shape[2:])
    elif weight.ndim == 2 and (side := math.isqrt(weight.shape[1])) ** 2 == weight.shape[1]:
        found = weight.reshape(-1, side, side)
    else:
        found = weight.reshape(1, len(weight), -1)
    return found[:MOST_TILES]


def laid_out(weight: np.ndarray) -> np.ndarray:
    """Its tiles as one picture, in about as many rows as columns; NaN between them."""
    found = tiles(weight)
    return tiled(found, math.ceil(math.sqrt(len(found))), (1, 1), np.nan)


def caption(weight: np.ndarray) -> str:
    """Its shape, and how much of it is shown."""
    shown = len(tiles(weight))
    count = math.prod(weight.shape[:-2]) if weight.ndim == 4 else len(weight)
    some = f", the first {shown} of {count}" if 1 < shown < count else ""
    return " × ".join(map(str, weight.shape)) + some


def weight_grids(a: Run, b: Run) -> tuple[list[dict[str, Any]], int]:
    """For each weight that differs: its name, both shapes, and its tiles of either run and of the
    second minus the first, on the scales that the page states. Then, how many are the same."""
    grids = []
    for key in a.weights | b.weights:
        first, second = pair = [run.weights.get(key) for run in (a, b)]
        difference = None
        if first is not None and second is not None and first.shape == second.shape:
            if np.array_equal(first, second):
                continue
            difference = second - first
        grid: dict[str, Any] = {"file": key[0], "name": key[1], "alike": difference is not None}
        there = [weight for weight in pair if weight is not None]
        grid["shapes"] = [None if weight is None else weight.shape for weight in pair]
        grid["largest"] = max(np.abs(weight).max().item() for weight in there)
        if difference is not None:
            pair.append(difference)
            grid["largest_difference"] = np.abs(difference).max().item()
        grid["tiles"] = [None if weight is None else packed(laid_out(weight)) for weight in pair]
        grid["captions"] = [None if weight is None else caption(weight) for weight in pair]
        grids.append(grid)
    return grids, len(a.weights | b.weights) - len(grids)


def compare(names: tuple[str, str], a: Run, b: Run) -> bytes:
    """The page."""
    curves, same_curves = charts(a, b)
    grids, same_weights = weight_grids(a, b)
    return render(
        "compare.html.j2",
        ("maps.js", "compare.js"),
        {"names": names, "grids": grids},
        names=names,
        params=changes(a.params, b.params),
        metrics=metric_rows(a, b),
        curves=curves,
        same_curves=same_curves,
        grids=grids,
        same_weights=same_weights,
    )


def main() -> None:
    parser = Parser("stages.tools.compare", __doc__)
    parser.add_argument("page", type=Path, help="the HTML file to write")
    parser.add_argument("first", help="a commit, branch, tag or experiment")
    parser.add_argument(
        "second", nargs="?", default=WORKSPACE, help="another; or else what is here"
    )
    arguments = parser.parse_args()
    names = arguments.first, arguments.second
    logging.getLogger("dvc").setLevel(logging.ERROR)  # what it warns of ends in one line of ours
    with explained():
        check_folder()
        page = compare(names, *map(read_run, names))
        with new_file(arguments.page) as file:
            file.write(page)
        say(str(arguments.page))
    if any(name in os.environ for name in DISPLAYS):
        webbrowser.open(arguments.page.resolve().as_uri())


if __name__ == "__main__":
    main()
