"""Line plots."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.core.base.values import rounded
from stages.core.drawing.figure import DPI, wrapped

HEIGHT, LINE = 4, 0.2  # of a figure, and of every line of its title after the first, inches
TITLE_SIZE, LABEL_SIZE = 12, 10  # points
WIDEST, LEGEND = 700, 560  # width of a title and of a label in the legend, at most, pixels


class Line(NamedTuple):
    """`style`: matplotlib's dashes and markers, which tell lines apart in grey too."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str


def plot_lines(
    lines: Sequence[Line], *, title: str, x_label: str, y_label: str, **markers: Any
) -> Figure:
    """Lines in a single set of axes; `markers` are matplotlib's properties of lines."""
    title = wrapped(title, TITLE_SIZE, WIDEST)
    height = HEIGHT + LINE * title.count("\n")
    figure = Figure(figsize=(6.25, height), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
        label = wrapped(line.label, LABEL_SIZE, LEGEND)
        axes.plot(line.x, line.y, line.style, label=label, lw=1.2, **markers)
    axes.set_title(title, fontsize=TITLE_SIZE, parse_math=False)  # of whatever letters
    axes.set(xlabel=wrapped(x_label, LABEL_SIZE, WIDEST), ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def label_points(axes: Axes, line: Line, number: str, above: bool, **style: Any) -> None:
    """Write each y of a line above or below its point; `number` is its format, as in ".3f"."""
    for x, y in zip(line.x, line.y, strict=True):
        axes.annotate(
            rounded(y, number),
            (x, y),
            (0, 7 if above else -7),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=8,
            **style,
        )
