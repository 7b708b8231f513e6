"""Confusion matrices: a table of counts, its mistakes shaded."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from stages.core.base.values import percent
from stages.core.drawing.figure import DPI, shortened
from stages.core.drawing.shades import STEPS, shades

SHADES = ("1", "0.9", "0.78", "0.62", "0.4", "0.15")  # greys, from white


CELL = 0.49  # side of a cell in a larger table, inches
MARGINS = 2.4, 3.0  # beside and below such a table, inches
LONGEST = 170  # label, pixels


def draw_confusion(
    title: str,
    counts: np.ndarray,
    labels: Sequence[str],
    rows: str,
    shown: Sequence[int] | None = None,
) -> Figure:
    """A confusion matrix, true labels in rows; below the title, the share of right answers.

    `rows`: what is in a row. `shown`: the labels that get a row and a column, all by default.
    """
    shown = range(len(counts)) if shown is None else shown
    names = [shortened(labels[index], 10, LONGEST) for index in shown]
    size = 6.25, 6.75
    if len(names) > 10 or max(map(len, names)) > 1:
        width = CELL * max(len(names), 6)
        size = width + MARGINS[0], width + MARGINS[1]
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    shaded = shades(counts)[np.ix_(shown, shown)]
    cmap, norm = ListedColormap(SHADES), BoundaryNorm((0, *STEPS, 1), len(SHADES))
    axes.pcolormesh(shaded, cmap=cmap, vmin=0, vmax=len(STEPS), edgecolors="0.8", lw=0.5)
    for (row, column), count in np.ndenumerate(counts[np.ix_(shown, shown)]):
        axes.text(
            column + 0.5,
            row + 0.5,
            str(count),
            ha="center",
            va="center",
            fontsize=9,
            weight="bold" if row == column else "normal",
            color="white" if shaded[row, column] > 3 else "black" if count else "0.6",
        )
    right, total = counts.trace(), counts.sum()
    axes.set_title(
        f"{title}\nrecognises {right:,} of {total:,} test images, {percent(right / total)}",
        parse_math=False,
    )
    axes.set(xlabel="answer", ylabel=rows, aspect="equal")
    places = np.arange(len(names)) + 0.5
    upright = max(map(len, names)) <= 2
    axes.set_xticks(places, names, rotation=0 if upright else 90, parse_math=False)
    axes.set_yticks(places, names, parse_math=False)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    bar = figure.colorbar(
        ScalarMappable(norm, cmap),
        ax=axes,
        location="bottom",
        shrink=0.8,
        aspect=40 * size[0] / 6.25,  # always as thick, and as far away
        pad=0.05 * 6.25 / size[0],
        ticks=STEPS,
        format=lambda share, _: f"{share * 100:g} %",
        spacing="uniform",
    )
    bar.ax.tick_params(labelsize=8)
    bar.set_label(f"mistakes, as a share of the images of the {rows} (row)", fontsize=9)
    return figure
