"""Confusion matrices: a table of counts, its mistakes shaded.

The shades double from step to step, so that both good and bad models show their mistakes, and they
stand for the same shares in every figure. Right answers are not shaded: they would drown the rest.
"""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from stages.core.base.values import percent
from stages.core.drawing.figure import DPI

# Shares of a row's images; from each on, a mistake has a darker shade.
STEPS = (0.005, 0.01, 0.02, 0.04, 0.08)
SHADES = ("1", "0.9", "0.78", "0.62", "0.4", "0.15")  # greys, from white


def shades(counts: np.ndarray) -> np.ndarray:
    """The shade of each cell of a confusion matrix, true labels in rows: 0 (none) to 5."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    found = np.digitize(shares, STEPS)
    np.fill_diagonal(found, 0)
    return found


def draw_confusion(title: str, counts: np.ndarray) -> Figure:
    """A confusion matrix of digits, 10 × 10, true labels in rows; below the title, the share of
    right answers."""
    figure = Figure(figsize=(6.25, 6.75), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    shaded = shades(counts)
    cmap, norm = ListedColormap(SHADES), BoundaryNorm((0, *STEPS, 1), len(SHADES))
    axes.pcolormesh(shaded, cmap=cmap, vmin=0, vmax=len(STEPS), edgecolors="0.8", lw=0.5)
    for (row, column), count in np.ndenumerate(counts):
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
    axes.set(xlabel="answer", ylabel="digit", aspect="equal")
    axes.set_xticks(np.arange(10) + 0.5, list("0123456789"))
    axes.set_yticks(np.arange(10) + 0.5, list("0123456789"))
    axes.tick_params(length=0)
    axes.invert_yaxis()
    bar = figure.colorbar(
        ScalarMappable(norm, cmap),
        ax=axes,
        location="bottom",
        shrink=0.8,
        aspect=40,
        ticks=STEPS,
        format=lambda share, _: f"{share * 100:g} %",
        spacing="uniform",
    )
    bar.ax.tick_params(labelsize=8)
    bar.set_label("mistakes, as a share of the images of the digit (row)", fontsize=9)
    return figure
