"""Train on more and more digits, seen as pixels and as AlexNet's features, and compare."""

from typing import Annotated

from stages.core.command import run

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from pydantic import Field

from stages import paths
from stages.core.classifiers import build, learn, num_iterations, read_splits, read_train_params
from stages.core.errors import InputError
from stages.core.figures import DPI, save_figure
from stages.core.files import write_csv
from stages.core.params import Count, Params, read_params
from stages.core.training import Split, accuracy

SEEN_AS = {"logistic": "pixels", "probe": "features"}
LABELS = {"logistic": "its pixels", "probe": "AlexNet's features of it"}
STYLES = {"logistic": "--s", "probe": "-o"}  # told apart in grey too


class DataEfficiencyParams(Params):
    counts: Annotated[list[Count], Field(min_length=1)]


def accuracies(model: str, counts: list[int], data: dict[str, Split]) -> list[float]:
    """The test accuracy after training on the first images, as many as each of the counts says.

    The parameters are those of the stage `train`, and so is the number of iterations: with fewer
    images each is seen more often. All the images give the accuracy that `train` reports.
    """
    params = read_train_params(paths.PARAMS, model)
    images, labels = data["train"]
    where = f"{paths.PARAMS}: train.{model}"
    last = num_iterations(params, len(labels), where)
    found = []
    for count in counts:
        classifier = build(model, params, num_inputs=images[0].numel())
        first = Split(images[:count], labels[:count])
        for _ in learn(
            classifier,
            params,
            first,
            data["val"],
            where=where,
            num_iterations=last,
            eval_every=last,
        ):
            pass
        found.append(accuracy(classifier, data["test"]))
    return found


def draw(counts: list[int], found: dict[str, list[float]]) -> Figure:
    """Test accuracy over the number of training images, a line for what the model sees."""
    figure = Figure(figsize=(6.25, 4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for model, values in found.items():
        axes.plot(counts, values, STYLES[model], label=LABELS[model], lw=1.2, markersize=4)
        above = model == "probe"
        for count, value in zip(counts, values, strict=True):
            axes.annotate(
                f"{value:.3f}",
                (count, value),
                (0, 7 if above else -7),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize=8,
            )
    axes.set(
        title="A logistic regression that sees of each digit …",
        xlabel="training images",
        ylabel="share of the test digits recognised",
        ylim=(0, 1.05),
        xscale="log",
    )
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def main() -> None:
    params = read_params(paths.PARAMS, "data_efficiency", DataEfficiencyParams)
    found = {}
    for model in SEEN_AS:
        data = read_splits(paths.digits(model), model)
        num_images = len(data["train"].labels)
        counts = sorted({count for count in params.counts if count <= num_images})
        if not counts:
            raise InputError(
                f"{paths.PARAMS}: data_efficiency.counts has no number up to {num_images:,}, "
                "the training images"
            )
        found[model] = accuracies(model, counts, data)
    header = ("images", *SEEN_AS.values())
    write_csv(
        paths.DATA_EFFICIENCY / "accuracy.csv", header, zip(counts, *found.values(), strict=True)
    )
    save_figure(draw(counts, found), paths.DATA_EFFICIENCY / "accuracy.png")


if __name__ == "__main__":
    run(main)
