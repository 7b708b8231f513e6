"""Test accuracy over the number of training images, with its interval."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from stages.core.drawing.lines import Line, label_points, plot_lines


def draw_accuracy(
    points: Sequence[tuple[int, float, float, float]], baseline: float, num_test: int
) -> Figure:
    """`points`: training images of each label, at most; test accuracy; the ends of its interval.
    `baseline`: the accuracy of always saying the commonest label."""
    counts, accuracies, lows, highs = map(list, zip(*points, strict=True))
    lines = [
        Line("logistic regression on features", counts, accuracies, "-o"),
        Line("always the commonest label", counts, [baseline] * len(counts), "--"),
    ]
    figure = plot_lines(
        lines,
        title=f"Accuracy on the {num_test:,} test images; grey: its 95 % interval",
        x_label="training images of each label, at most",
        y_label="share of the test images recognised",
        markersize=4,
    )
    [axes] = figure.axes
    axes.fill_between(counts, lows, highs, color="0.85", zorder=0)
    label_points(axes, lines[0], ".2f", above=True)
    axes.set(ylim=(0, 1.08), xscale="log")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    if legend := axes.get_legend():
        legend.remove()  # within the axes, it could hide a point
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
