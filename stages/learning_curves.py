"""Draw the learning curves of a model: its loss, and its accuracy on both sets of images."""

from stages.core.command import run

from matplotlib.figure import Figure

from stages import paths
from stages.core.curves import Point, read_curve
from stages.core.figures import DPI, save_figure

STYLES = ("-", "--")  # told apart in grey too


def draw_curves(curve: list[Point], lines: dict[str, str], title: str, unit: str) -> Figure:
    """A line over the iterations for each column that `lines` gives a name to, up from zero."""
    figure = Figure(figsize=(6.25, 4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    iterations = [point.iteration for point in curve]
    marker = "." if len(curve) < 20 else None  # a lone point makes no line
    for (column, name), style in zip(lines.items(), STYLES, strict=False):
        values = [getattr(point, column) for point in curve]
        label = f"{name}: {values[-1]:.3f} at the end"
        axes.plot(iterations, values, style, marker=marker, label=label, lw=1.2)
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
    title = paths.MODELS[model]
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
