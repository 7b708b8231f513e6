"""Plot a metric against a parameter, from the output of `dvc exp show --json`.

The plot shows the successful experiments and the commits they started from, with a line for each
metrics file in which the metric differs. The workspace is left out: its parameters may have been
edited since its metrics were made.
"""

import json
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.base.command import Parser

from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from stages.core.base.errors import InputError, explained
from stages.core.base.values import flatten, is_number
from stages.core.drawing.figure import save_figure
from stages.core.drawing.lines import Line, label_points, plot_lines

MARKERS = "os^Dv"  # distinguishable in grey too


class Run(NamedTuple):
    """Parameters, and the metrics of each file, by dotted names."""

    params: dict[str, Any]
    metrics: dict[str, dict[str, Any]]


def succeeded(commits: list[dict]) -> Iterator[Run]:
    """The successful runs; the others are named on standard error.

    A failed experiment may have metrics too: those of the commit that it started from.
    """
    found = [("success", commit) for commit in commits if commit["rev"] != "workspace"]
    for experiment in (e for commit in commits for e in commit["experiments"] or ()):
        state = (experiment["executor"] or {}).get("state", "success")
        found += [(state, revision) for revision in experiment["revs"]]
    for state, revision in found:
        files = revision["data"] or {}
        metrics = {path: flatten(f.get("data")) for path, f in files.get("metrics", {}).items()}
        if state == "success":
            params = (flatten(file.get("data")) for file in files.get("params", {}).values())
            yield Run({name: value for part in params for name, value in part.items()}, metrics)
        else:
            name = revision["name"] or revision["rev"][:7]
            print(f"{name} is left out: its state is {state}", file=sys.stderr)


def read_runs(printed: bytes) -> list[Run]:
    """The distinct runs in DVC's output. Raises InputError if it is something else."""
    try:
        runs = {json.dumps(run, sort_keys=True): run for run in succeeded(json.loads(printed))}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError("standard input is not what `dvc exp show --json` prints") from None
    return list(runs.values())


def points(runs: list[Run], parameter: str, metric: str) -> dict[str, list[tuple[Any, float]]]:
    """For each metrics file in which the metric differs (all files, if it differs in none), sorted
    pairs of the parameter's value and the metric.

    Raises InputError if no run has the parameter or the metric, or if there are fewer than two
    values.
    """
    runs = [run for run in runs if parameter in run.params]
    if not runs:
        raise InputError(f"no run has a parameter {parameter}")
    if len(values := {run.params[parameter] for run in runs}) < 2:
        raise InputError(f"{parameter} is {values.pop()} in every run; a sweep needs two values")
    if not all(map(is_number, values)):
        runs = [
            run._replace(params=run.params | {parameter: str(run.params[parameter])})
            for run in runs
        ]
    files: dict[str, list[tuple[Any, float]]] = {}
    for run in runs:
        for path, metrics in run.metrics.items():
            if is_number(metrics.get(metric)):
                files.setdefault(path, []).append((run.params[parameter], metrics[metric]))
    if not files:
        raise InputError(f"no run has a metric {metric}")
    differ = {path: found for path, found in files.items() if len({y for _, y in found}) > 1}
    return {path: sorted(found) for path, found in (differ or files).items()}


def draw_sweep(files: dict[str, list[tuple[Any, float]]], parameter: str, metric: str) -> Figure:
    """A line for each file, over a logarithmic axis if the largest value is at least 10 times the
    smallest; points without lines if the values are not numbers."""
    values = sorted({value for found in files.values() for value, _ in found})
    numeric = is_number(values[0])
    places = {value: value if numeric else index for index, value in enumerate(values)}
    lines = []
    for (path, found), marker in zip(files.items(), cycle(MARKERS)):  # noqa: B905  cycle has no end
        x, y = zip(*((places[value], result) for value, result in found), strict=True)
        lines.append(Line(Path(path).stem, x, y, f"-{marker}" if numeric else marker))
    title = f"{metric} over {parameter}"
    figure = plot_lines(lines, title=title, x_label=parameter, y_label=metric)
    [axes] = figure.axes
    for line, drawn in zip(lines, axes.lines, strict=True):
        halo = [withStroke(linewidth=3, foreground="white")]
        label_points(axes, line, ".4g", True, color=drawn.get_color(), path_effects=halo)
    if numeric and values[0] > 0 and values[-1] >= 10 * values[0]:
        axes.set_xscale("log")
    axes.set_xticks([*places.values()], map(str, values))
    axes.set_xticks([], minor=True)
    axes.margins(0.1, 0.15)
    return figure


def main() -> None:
    parser = Parser("stages.tools.sweep", __doc__)
    parser.add_argument("parameter", help="its dotted name, as in params.yaml")
    parser.add_argument("metric", help="its name in the metrics files")
    parser.add_argument("figure", type=Path, help="the PNG file to write")
    arguments = parser.parse_args()
    with explained():
        runs = read_runs(sys.stdin.buffer.read())
        files = points(runs, arguments.parameter, arguments.metric)
        figure = draw_sweep(files, arguments.parameter, arguments.metric)
        save_figure(figure, arguments.figure)


if __name__ == "__main__":
    main()
