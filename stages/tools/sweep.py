"""Plot a metric against a parameter, from the output of `dvc exp show --json`.

The plot shows the successful experiments and the commits they started from. A line joins runs that
agree in all other parameters; runs that are alone with theirs are named, and left out. Of the
metrics files, it shows those in which the metric depends on the parameter. The workspace is left
out: its parameters may have been edited since its metrics were made.
"""

import json
import reprlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
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
    """An experiment or a commit: its parameters, and the metrics of each file, by dotted names."""

    name: str
    params: dict[str, Any]
    metrics: dict[str, dict[str, Any]]


# Of each line, by its label: the sorted pairs of the parameter's value and the metric.
Points = dict[str, list[tuple[Any, float]]]


def leave_out(run: str, reason: str) -> None:
    print(f"{run} is left out: {reason}", file=sys.stderr)


def succeeded(commits: list[dict]) -> Iterator[Run]:
    """The successful runs; the others are named on standard error.

    A failed experiment may have metrics too: those of the commit that it started from.
    """
    found = [("success", commit) for commit in commits if commit["rev"] != "workspace"]
    for experiment in (e for commit in commits for e in commit["experiments"] or ()):
        state = (experiment["executor"] or {}).get("state", "success")
        found += [(state, revision) for revision in experiment["revs"] or ()]
    for state, revision in found:
        name = revision["name"] or revision["rev"][:7]
        files = revision["data"] or {}
        metrics = {path: flatten(f.get("data")) for path, f in files.get("metrics", {}).items()}
        if state != "success":
            leave_out(name, f"its state is {state}")
        elif not files:
            leave_out(name, "DVC cannot read it")
        else:
            params = (flatten(file.get("data")) for file in files.get("params", {}).values())
            both = {key: value for part in params for key, value in part.items()}
            yield Run(name, both, metrics)


def as_text(value: Any) -> str:
    """A value, or all of a section, as JSON: equal texts mean equal values and types."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def in_words(value: Any) -> str:
    return value if isinstance(value, str) else as_text(value)


def in_few_words(value: Any) -> str:
    """For messages."""
    text = in_words(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def read_runs(printed: bytes) -> list[Run]:
    """The distinct runs in DVC's output, each by the first of its names. Raises InputError if it is
    something else, or has no run."""
    try:
        runs: dict[str, Run] = {}
        for run in succeeded(json.loads(printed)):
            runs.setdefault(as_text(run[1:]), run)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise InputError("standard input is not what `dvc exp show --json` prints") from None
    if not runs:
        raise InputError("there is no successful run to draw")
    return [*runs.values()]


def check_named(name: str, kind: str, found: Iterable[str]) -> None:
    """Raises InputError unless the name is among those `found` in the runs."""
    names = dict.fromkeys(found)
    if name in names:
        return
    if below := [other for other in names if other.startswith(f"{name}.")]:
        raise InputError(f"{name} is a section; name one {kind} in it, such as {below[0]}")
    known = reprlib.repr(sorted(filter(None, names)))
    raise InputError(f"no run has a {kind} {name}; they have {known}")


def differences(run: Run, other: Run, parameter: str) -> list[str]:
    """What else than the parameter differs: "mlp.epochs is 3, not 10"."""
    found = []
    for name in run.params | other.params:
        both = [each.params.get(name, "absent") for each in (run, other)]
        if name != parameter and as_text(both[0]) != as_text(both[1]):
            found.append("{} is {}, not {}".format(name, *map(in_few_words, both)))
    return found


def comparable(runs: list[Run], parameter: str) -> list[list[Run]]:
    """Groups of runs that agree in all parameters but this one, which has two values or more.

    Names the runs that are in none. Raises InputError if all are.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        others = {name: value for name, value in run.params.items() if name != parameter}
        groups.setdefault(as_text(others), []).append(run)

    def has_two_values(group: list[Run]) -> bool:
        return len({as_text(run.params[parameter]) for run in group}) > 1

    drawn = [group for group in groups.values() if has_two_values(group)]
    if not drawn and not has_two_values(runs):
        value = in_few_words(runs[0].params[parameter])
        raise InputError(f"{parameter} is {value} in every run; a sweep needs two values")
    if not drawn:
        (first, *_), (other, *_), *_ = groups.values()
        reason = differences(other, first, parameter)[0]
        raise InputError(
            f"no two runs differ in {parameter} alone; in {other.name}, {reason} as in {first.name}"
        )
    for group in groups.values():
        if group not in drawn:
            nearest = min((differences(group[0], other[0], parameter) for other in drawn), key=len)
            more = f"; {len(nearest) - 1} more differ" if len(nearest) > 1 else ""
            leave_out(", ".join(run.name for run in group), nearest[0] + more)
    return drawn


def results(group: list[Run], parameter: str, metric: str) -> dict[str, dict[str, tuple]]:
    """Of each metrics file that has a number for the metric, the parameter's value and the metric,
    by the value as text. Of runs with the same parameters, the first counts."""
    files: dict[str, dict[str, tuple]] = {}
    for run in group:
        value = run.params[parameter]
        for path, metrics in run.metrics.items():
            if is_number(y := metrics.get(metric)):
                found = files.setdefault(path, {}).setdefault(as_text(value), (value, y))
                if found[1] != y:
                    same = f"{metric} in {path} is {y:.4g}, and {found[1]:.4g} in another run"
                    leave_out(run.name, f"{same} of the same parameters")
    return files


def points(runs: list[Run], parameter: str, metric: str) -> Points:
    """The lines: one for each group of comparable runs and metrics file in which the metric differs
    (for all files, with a note, if it differs in none).

    Raises InputError if no run has the parameter, or the metric as a number, or if there are no
    comparable runs.
    """
    check_named(parameter, "parameter", (name for run in runs for name in run.params))
    files = [file for run in runs for file in run.metrics.values()]
    check_named(metric, "metric", (name for file in files for name in file))
    if not any(is_number(file.get(metric)) for file in files):
        value = next(file[metric] for file in files if metric in file)
        raise InputError(f"{metric} is {in_few_words(value)}; only numbers can be drawn")
    for run in runs:
        if parameter not in run.params:
            leave_out(run.name, f"it has no {parameter}")
    groups = comparable([run for run in runs if parameter in run.params], parameter)
    firsts = [group[0] for group in groups]
    apart = [
        name
        for name in dict.fromkeys(name for run in firsts for name in run.params)
        if name != parameter and len({as_text(run.params.get(name)) for run in firsts}) > 1
    ]
    stems = Counter(Path(path).stem for path in {path for run in runs for path in run.metrics})
    lines: Points = {}
    for group in groups:
        settings = [f"{name} {in_few_words(group[0].params.get(name))}" for name in apart]
        for path, found in results(group, parameter, metric).items():
            stem = Path(path).stem
            label = ", ".join([stem if stems[stem] == 1 else path, *settings])
            lines[label] = [*found.values()]
    differ = {label: line for label, line in lines.items() if len({y for _, y in line}) > 1}
    if not differ:
        print(f"{metric} is the same for all values of {parameter}", file=sys.stderr)
    lines = differ or lines
    if not all(is_number(x) for line in lines.values() for x, _ in line):
        lines = {label: [(in_words(x), y) for x, y in line] for label, line in lines.items()}
    return {label: sorted(line) for label, line in lines.items()}


def draw_sweep(lines: Points, parameter: str, metric: str) -> Figure:
    """The lines, over a logarithmic axis if the largest value is at least 10 times the smallest;
    points alone if the values are not numbers."""
    values = sorted({value for line in lines.values() for value, _ in line})
    numeric = is_number(values[0])
    places = {value: value if numeric else index for index, value in enumerate(values)}
    drawn = []
    for (label, line), marker in zip(lines.items(), cycle(MARKERS)):  # noqa: B905  cycle has no end
        x, y = zip(*((places[value], result) for value, result in line), strict=True)
        drawn.append(Line(label, x, y, f"-{marker}" if numeric else marker))
    title = f"{metric} over {parameter}"
    figure = plot_lines(drawn, title=title, x_label=parameter, y_label=metric)
    [axes] = figure.axes
    for each, artist in zip(drawn, axes.lines, strict=True):
        halo = [withStroke(linewidth=3, foreground="white")]
        label_points(axes, each, ".4g", True, color=artist.get_color(), path_effects=halo)
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
        lines = points(runs, arguments.parameter, arguments.metric)
        figure = draw_sweep(lines, arguments.parameter, arguments.metric)
        save_figure(figure, arguments.figure)


if __name__ == "__main__":
    main()
