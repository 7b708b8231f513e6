"""Draw a model's learning curves: its loss, and its training and validation accuracy."""

from pathlib import Path

from stages.core.base.command import run

from matplotlib.figure import Figure

from stages.core.base.params import read_params
from stages.core.base.values import rounded
from stages.core.drawing.figure import save_figure
from stages.core.drawing.lines import Line, plot_lines
from stages.core.learning.curves import CurvePoint, read_curve

STYLES = ("-", "--")  # distinguishable in grey too


def draw_curves(curve: list[CurvePoint], columns: dict[str, str], title: str, unit: str) -> Figure:
    """A line over the iterations for each of the `columns` (name: label); both axes from zero."""
    iterations = [point.iteration for point in curve]
    lines = []
    for (column, label), style in zip(columns.items(), STYLES, strict=False):
        values = [getattr(point, column) for point in curve]
        label = f"{label}: {rounded(values[-1], '.3f')} at the end"
        lines.append(Line(label, iterations, values, style))
    figure = plot_lines(
        lines,
        title=title,
        x_label="iteration (one batch each)",
        y_label=unit,
        marker="." if len(curve) < 20 else None,  # a single point would be invisible
    )
    [axes] = figure.axes
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", integer=True)
    return figure


def main(name: str, curve: Path, loss: Path, accuracy: Path) -> None:
    points = read_curve(curve)
    title = read_params(f"models.{name}.title", str)
    columns = {"loss": "loss"}
    figure = draw_curves(
        points, columns, f"{title}: loss of the training batch", "mean cross-entropy (nats)"
    )
    save_figure(figure, loss)
    columns = {"train_accuracy": "training images", "val_accuracy": "validation images"}
    figure = draw_curves(
        points,
        columns,
        f"{title}: accuracy while it learns",
        "share of the images recognised",
    )
    figure.axes[0].set_ylim(top=1)
    save_figure(figure, accuracy)


if __name__ == "__main__":
    run(main)
