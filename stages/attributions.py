"""Draw which pixels speak for a model's answers: to some test images that it recognises, and to those
that it gets wrong most surely. By gradient × input, and by hiding one part after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from stages.core.base.command import run

import numpy as np
import torch
from pydantic import Field

from stages.core.base.labels import one_of
from stages.core.base.params import Params, read_params
from stages.core.base.tensors import open_tensors, save_tensors
from stages.core.drawing.attributions import (
    Case,
    Part,
    as_colours,
    coloured,
    draw_attributions,
    outlined,
    zoomed,
)
from stages.core.drawing.figure import names_in_font, save_figure
from stages.core.drawing.grids import limits_around_zero
from stages.core.interpretation.attribution import (
    Pair,
    gradient_times_input,
    lead,
    occlusion,
    pair_of,
)
from stages.core.interpretation.pixels import on_pixels
from stages.core.learning.predictions import Prediction, read_predictions, worst_mistakes
from stages.core.learning.trained import load_model
from stages.core.parallel.threads import in_threads

TILE, COLUMNS = 112, 3  # side of a picture, pixels, about; cases in a row
INK = 128  # a byte from here on is ink
BLACK = torch.zeros(1, 1, 1)  # the baseline: what there is where nobody has written
NAMES = ("what it sees", "gradient × input", "occlusion")

Side = Annotated[int, Field(ge=1, le=28)]


class AttributionsParams(Params):
    right: Annotated[int, Field(ge=1, le=50)]
    mistakes: Annotated[int, Field(ge=0, le=50)]
    window: Side
    stride: Side


class Explained(NamedTuple):
    """The label that is explained and its rival, how far it is ahead, and for each pixel (height ×
    width) gradient × input, for each place (rows × columns) what hiding it takes away."""

    pair: Pair
    lead: float
    products: np.ndarray
    hidden: np.ndarray


def first_right(predictions: Sequence[Prediction], count: int) -> list[int]:
    """The first image of each label that is recognised, by its number: of the first labels, if they
    are more than `count`."""
    firsts: dict[int, int] = {}
    for index, (actual, predicted, _) in enumerate(predictions):
        if actual == predicted:
            firsts.setdefault(actual, index)
    return [firsts[label] for label in sorted(firsts)][:count]


def explained(
    model: nn.Module, image: np.ndarray, prediction: Prediction, window: int, stride: int
) -> Explained:
    """An answer to an image (height × width, uint8): rather than the label, if it is wrong, or else
    than the likeliest of the others."""
    x = torch.from_numpy(image)[None] / 255
    with torch.no_grad():
        logits = model(x[None])
    pair = pair_of(logits[0], prediction.predicted, prediction.actual)
    products = gradient_times_input(model, x, BLACK, pair)[0]
    hidden = occlusion(model, x, BLACK, pair, window, stride)
    return Explained(pair, lead(logits, pair).item(), products.numpy(), hidden.numpy())


def draw(
    title: str,
    images: np.ndarray,
    found: Sequence[Explained],
    num_right: int,
    num_wrong: int,
    labels: Sequence[str],
    window: int,
    stride: int,
) -> Figure:
    """Images (N × height × width, uint8) and what is found of each: of so many right answers, and
    of the surest mistakes, which are `num_wrong` in all."""
    height, width = images.shape[1:]
    zoom = max(1, TILE // width)
    products, hidden = (np.stack(arrays) for arrays in list(zip(*found, strict=True))[2:])
    largest, most = (limits_around_zero(values)[1] or 1.0 for values in (products, hidden))

    def case(image: np.ndarray, of: Explained) -> Case:
        answer, rival = (labels[label] for label in of.pair)
        places = zoomed(coloured(of.hidden, most), zoom * stride)[: height * zoom, : width * zoom]
        return Case(
            f"{answer} rather than {rival}: {of.lead:+.2f}".replace("-", "\N{MINUS SIGN}"),
            [
                as_colours(zoomed(image, zoom)),
                zoomed(coloured(of.products, largest), zoom),
                outlined(places, zoomed(image, zoom) >= INK),
            ],
        )

    cases = list(map(case, images, found))
    shown = len(cases) - num_right
    some = f"{shown} of {num_wrong:,}" if shown < num_wrong else f"all {shown}"
    one = one_of(labels)
    parts = [
        Part(
            f"Right answers, the first of each {one}: the answer rather than the next likeliest "
            f"{one}, and how far its logit is ahead",
            cases[:num_right],
        ),
        Part(
            f"Mistakes, {some}, the most certain first: the answer rather than the {LABEL}",
            cases[num_right:],
        ),
    ]
