"""Train on more and more digits, as pixels and as AlexNet's features, and compare."""

from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from pydantic import Field

from stages.core.base.errors import InputError
from stages.core.base.files import new_folder, write_csv
from stages.core.base.labels import read_labels
from stages.core.base.params import PARAMS, Count, Params, read_params
from stages.core.base.progress import progress
from stages.core.data.digits import Split, read_splits
from stages.core.drawing.figure import save_figure
from stages.core.drawing.lines import Line, label_points, plot_lines
from stages.core.exact.answers import Answers
from stages.core.learning.layers import Linear
from stages.core.learning.models import build
from stages.core.learning.settings import TrainParams
from stages.core.learning.training import accuracy, train


class DataEfficiencyParams(Params):
    counts: Annotated[list[Count], Field(min_length=1)]
    pixels: TrainParams
    features: TrainParams


def accuracies(
    params: TrainParams, counts: list[int], data: dict[str, Split], num_labels: int, what: str
) -> list[float]:
    """The test accuracy of a logistic regression after training on the first `count` images, for
    each of the counts.

    The number of iterations is always that of all images: fewer images are seen more often.
    `what`: the parameters' key below data_efficiency, for messages.
    """
    images, labels = data["train"]
    layers = {"layer": Linear(kind="linear", units=num_labels)}
    where = f"{PARAMS}: data_efficiency.{what}"
    num_iterations = params.num_iterations(len(labels), where)
    found = []
    with progress(len(counts) * num_iterations, f"iterations on {what}") as done:

        def after_update(iteration: int) -> None:
            done.update(1)

        for count in counts:
            model = build(layers, tuple(images.shape[1:]), params.seed, where)
            points = train(
                model,
                params,
                Split(images[:count], labels[:count]),
                data["val"],
                num_iterations=num_iterations,
                eval_every=num_iterations,
                where=where,
                after_update=after_update,
            )
            for _ in points:
                pass
            found += accuracy(Answers(model.eval()), data["test"])
    return found


def draw(counts: list[int], pixels: list[float], features: list[float]) -> Figure:
    """Test accuracy over the number of training images: a line for pixels, a line for features."""
    lines = [
        Line("from pixels", counts, pixels, "--s"),
        Line("from AlexNet's features", counts, features, "-o"),
    ]
    figure = plot_lines(
        lines,
        title="Logistic regression on pixels and on AlexNet's features",
        x_label="training images",
        y_label="share of the test images recognised",
        markersize=4,
    )
    [axes] = figure.axes
    for line, above in zip(lines, (False, True), strict=True):
        label_points(axes, line, ".3f", above)
    axes.set(ylim=(0, 1.05), xscale="log")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, loc="lower right")
    return figure


def main(digits: Path, embedded_digits: Path, out: Path) -> None:
    params = read_params("data_efficiency", DataEfficiencyParams)
    by_pixels, num_labels = read_splits(digits), len(read_labels(digits))
    num_images = len(by_pixels["train"].labels)
    counts = sorted({count for count in params.counts if count <= num_images})
    if not counts:
        raise InputError(
            f"{PARAMS}: data_efficiency.counts has no number up to {num_images:,}, "
            "the number of training images"
        )
    pixels = accuracies(params.pixels, counts, by_pixels, num_labels, "pixels")
    by_features = read_splits(embedded_digits)
    features = accuracies(params.features, counts, by_features, num_labels, "features")
    with new_folder(out) as folder:
        write_csv(
            folder / "accuracy.csv",
            ("images", "pixels", "features"),
            zip(counts, pixels, features, strict=True),
        )
        save_figure(draw(counts, pixels, features), folder / "accuracy.png")


if __name__ == "__main__":
    run(main)
