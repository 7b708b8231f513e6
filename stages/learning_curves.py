"""Draw the learning curves of a model: its loss, and its accuracy on both sets of images."""

import csv
from pathlib import Path

from stages.core.command import run

import numpy as np
from matplotlib.figure import Figure

from stages import paths
from stages.core.errors import InputError
from stages.core.figures import DPI, save_figure

TITLES = {
    "logistic": "Logistic regression",
    "mlp": "MLP",
    "cnn": "CNN",
    "probe": "Logistic regression on features",
}
COLUMNS = ("iteration", "loss", "train_accuracy", "val_accuracy")
STYLES = ("-", "--")  # told apart in grey too


def read_curve(path: Path) -> np.ndarray:
    """The rows of a table with these columns. Raises InputError when it has others, or no rows."""
    try:
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        curve = np.array(
            [tuple(map(float, row)) for row in rows], [(name, float) for name in COLUMNS]
        )
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} is not a table of numbers: {error}") from None
    finite = all(np.isfinite(curve[name]).all() for name in COLUMNS)
    if tuple(header) != COLUMNS or not rows or not finite:
        raise InputError(f"{path} should have finite numbers in the columns {', '.join(COLUMNS)}")
    return curve


def draw_curves(curve: np.ndarray, lines: dict[str, str], title: str, unit: str) -> Figure:
    """A line over the iterations for each column that `lines` gives a name to, up from zero."""
    figure = Figure(figsize=(6.25, 4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    marker = "." if len(curve) < 20 else None  # a lone point makes no line
    for (column, name), style in zip(lines.items(), STYLES, strict=False):
        label = f"{name}: {curve[column][-1]:.3f} at the end"
        axes.plot(curve["iteration"], curve[column], style, marker=marker, label=label, lw=1.2)
    axes.set(title=title, xlabel="iteration (one batch each)", ylabel=unit)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def main(model: str) -> None:
    curve = read_curve(paths.curves(model))
    title = TITLES[model]
    loss = draw_curves(
        curve,
        {"loss": "loss"},
        f"{title}: loss of the training batch",
        "mean cross-entropy (nats)",
    )
    sets = {"train_accuracy": "training images", "val_accuracy": "validation images"}
    accuracy = draw_curves(
        curve, sets, f"{title}: accuracy while it learns", "share of the digits recognised"
    )
    accuracy.axes[0].set_ylim(top=1)
    save_figure(loss, paths.figure(model, "loss"))
    save_figure(accuracy, paths.figure(model, "accuracy"))


if __name__ == "__main__":
    run(main, models=paths.MODELS)
