"""Draw which pixels speak for a model's answers, by gradient × input and by hiding one part after
another: of the first test images that it recognises, and of its most certain mistakes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field

from stages.core.base.errors import InputError
from stages.core.base.labels import one_of, read_labels
from stages.core.base.params import PARAMS, Params, read_params
from stages.core.base.tensors import open_tensors, save_tensors
from stages.core.drawing.attributions import (
    Case,
    Part,
    as_colours,
    coloured,
    draw_attributions,
    heading,
    largest_of,
    outlined,
    zoomed,
)
from stages.core.drawing.figure import names_in_font, save_figure
from stages.core.interpretation.attribution import Attribution, attribution
from stages.core.interpretation.pixels import on_pixels
from stages.core.learning.predictions import Prediction, read_predictions, worst_mistakes
from stages.core.learning.trained import load_model
from stages.core.parallel.threads import in_threads

TILE, COLUMNS = 112, 3  # side of a picture, pixels, about; images in a row
INK = 128  # a byte from here on is ink
BLACK = torch.zeros(1, 1, 1)  # the baseline: what there is where nobody has written
NAMES = ("the image", "gradient × input", "occlusion")

Side = Annotated[int, Field(ge=1, le=28)]
Shown = Annotated[int, Field(ge=1, le=50)]


class AttributionsParams(Params):
    right: Shown
    mistakes: Shown
    window: Side
    stride: Side


class Explained(NamedTuple):
    """An image (height × width, uint8), and why it got its answer."""

    image: np.ndarray
    why: Attribution


def first_right(predictions: Sequence[Prediction], count: int) -> list[int]:
    """The first image of each label that is recognised, by its number, as far as they are among the
    first `count` of these."""
    firsts: dict[int, int] = {}
    for index, (actual, predicted, _) in enumerate(predictions):
        if actual == predicted:
            firsts.setdefault(actual, index)
    return [*firsts.values()][:count]


def draw(
    title: str,
    parts: Mapping[str, Sequence[Explained]],
    labels: Sequence[str],
    window: int,
    stride: int,
) -> Figure:
    """Images and why they got their answers, in parts by their headings, on the same scales."""
    found = [each for part in parts.values() for each in part]
    largest = largest_of([each.why.products[0].numpy() for each in found])
    most = largest_of([each.why.hidden.numpy() for each in found])

    def case(each: Explained) -> Case:
        height, width = each.image.shape
        zoom = max(1, TILE // width)
        image = zoomed(each.image, zoom)
        pixels = zoomed(coloured(each.why.products[0].numpy(), largest), zoom)
        places = zoomed(coloured(each.why.hidden.numpy(), most), zoom * stride)
        around = outlined(places[: height * zoom, : width * zoom], image >= INK)
        answer, rival = (labels[label] for label in each.why.pair)
        return Case(heading(answer, rival, each.why.lead), [as_colours(image), pixels, around])

    return draw_attributions(
        title,
        [Part(words, list(map(case, part))) for words, part in parts.items()],
        NAMES,
        {
            "gradient × input of a pixel": largest,
            f"occlusion: what hiding {window} × {window} pixels takes away": most,
        },
        COLUMNS,
    )


def main(
    name: str,
    trained: Path,
    answers: Path,
    digits: Path,
    alexnet: Path,
    figure: Path,
    numbers: Path,
) -> None:
    params = read_params("attributions", AttributionsParams)
    window, stride = params.window, params.stride
    if stride > window:
        raise InputError(
            f"{PARAMS}: attributions.stride is {stride}; it should be at most {window}, the window,"
            " or some pixels are never hidden"
        )
    title = read_params(f"models.{name}.title", str)
    model = on_pixels(load_model(trained), alexnet, read_params("embed.size", int))
    with open_tensors(digits) as file:
        images = file.get_tensor("test_images")
    labels = read_labels(digits)
    predictions = read_predictions(answers, len(images), labels)
    right, wrong = first_right(predictions, params.right), worst_mistakes(predictions)
    shown = [*right, *wrong[: params.mistakes]]

    def explained(index: int) -> Explained:
        x = torch.from_numpy(images[index])[None] / 255
        label, answer, _ = predictions[index]
        return Explained(images[index], attribution(model, x, BLACK, answer, label, window, stride))

    found = [*in_threads(explained, shown)]
    one, of_right, of_wrong = one_of(labels), found[: len(right)], found[len(right) :]
    count = len(of_wrong)
    some = f"{count} of {len(wrong):,}" if count < len(wrong) else f"all {count}"
    mistakes = f"Mistakes, {some}, the most certain first: the answer against the right {one}"
    firsts = f"Right answers, the first of each {one}: the answer against the likeliest other {one}"
    parts = {
        firsts: of_right,
        mistakes if wrong else f"All {len(images):,} test images are recognised": of_wrong,
    }
    about = f"{title}: which pixels speak for its answers"
    save_figure(draw(about, parts, names_in_font(labels), window, stride), figure)
    save_tensors(
        {
            "numbers": np.array(shown),
            "images": images[shown],
            "pairs": np.array([why.pair for _, why in found]),
            "leads": np.array([why.lead for _, why in found], np.float32),
            "gradient_times_input": np.stack([why.products[0].numpy() for _, why in found]),
            "occlusion": np.stack([why.hidden.numpy() for _, why in found]),
        },
        numbers,
    )


if __name__ == "__main__":
    run(main)
