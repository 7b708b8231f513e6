"""Draw a metric over the values of a parameter, out of what `dvc exp show --json` prints.

Drawn are the experiments that succeeded and the commits that they start from, for each metrics file
in which the metric differs. The workspace is left out: its parameters may have been edited since
its metrics were made.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from stages.core.base.errors import InputError, explained
from stages.core.base.values import flatten, is_number
from stages.core.drawing.figure import save_figure

MARKERS = "os^Dv"  # told apart in grey too


class Run(NamedTuple):
    """Parameters, and the metrics of each file, by their full names: dots lead downwards."""

    params: dict[str, Any]
    metrics: dict[str, dict[str, Any]]


def succeeded(commits: list[dict]) -> Iterator[Run]:
    """The runs that succeeded; the others are named on standard error.

    An experiment that failed may have metrics too: those of the commit that it started from.
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
            print(f"{name} is left out: it is {state}", file=sys.stderr)


def read_runs(printed: bytes) -> list[Run]:
    """The runs in what DVC printed, equal ones once. Raises InputError if it is something else."""
    try:
        runs = {json.dumps(run, sort_keys=True): run for run in succeeded(json.loads(printed))}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError("standard input is not what `dvc exp show --json` prints") from None
    return list(runs.values())


def points(runs: list[Run], parameter: str, metric: str) -> dict[str, list[tuple[Any, float]]]:
    """The value of the parameter and the metric of every run, in order, for each metrics file in
    which the metric differs, or for all if it differs in none.

    Raises InputError if no run has the parameter or the metric, and for fewer than two values.
    """
    runs = [run for run in runs if parameter in run.params]
    if not runs:
        raise InputError(f"no run has a parameter {parameter}")
    if len(values := {run.params[parameter] for run in runs}) < 2:
        raise InputError(f"{parameter} is {values.pop()} in every run; a sweep takes two values")
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
    """A line for each file, logarithmic where the largest value is 10 times the smallest or more;
    without lines where the values are words."""
    values = sorted({value for found in files.values() for value, _ in found})
    numeric = is_number(values[0])
    figure = Figure(figsize=(6.25, 4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    places = {value: value if numeric else index for index, value in enumerate(values)}
    for (path, found), marker in zip(files.items(), cycle(MARKERS)):  # noqa: B905  cycle has no end
        style = f"-{marker}" if numeric else marker
        x, y = zip(*((places[value], result) for value, result in found), strict=True)
        [line] = axes.plot(x, y, style, lw=1.2, label=Path(path).stem)
        for place, result in zip(x, y, strict=True):
            axes.annotate(
                f"{result:.4g}",
                (place, result),
                (0, 6),
                textcoords="offset points",
                ha="center",
                color=line.get_color(),
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )
    if numeric and values[0] > 0 and values[-1] >= 10 * values[0]:
        axes.set_xscale("log")
    axes.set_xticks([*places.values()], map(str, values))
    axes.set_xticks([], minor=True)
    axes.margins(0.1, 0.15)
    axes.set(title=f"{metric} over {parameter}", xlabel=parameter, ylabel=metric)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.core.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parameter", help="by its full name: dots lead downwards")
    parser.add_argument("metric", help="by its name in the metrics files")
    parser.add_argument("figure", type=Path, help="the PNG file to write")
    arguments = parser.parse_args()
    with explained():
        runs = read_runs(sys.stdin.buffer.read())
        files = points(runs, arguments.parameter, arguments.metric)
        figure = draw_sweep(files, arguments.parameter, arguments.metric)
        save_figure(figure, arguments.figure)


if __name__ == "__main__":
    main()
