"""Draw which parts of one's own images speak for the classifier's answers: of its most certain
mistakes on test images, or, if it makes none, of the right answers that it is least certain of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from stages.core.base.command import run

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from stages.core.base.errors import InputError
from stages.core.base.files import write_csv
from stages.core.base.params import Params, read_params
from stages.core.base.tensors import save_tensors
from stages.core.classifier.model import load_classifier
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.results import Answer, read_answers
from stages.core.drawing.attributions import (
    Case,
    Part,
    coloured,
    draw_attributions,
    heading,
    largest_of,
    over,
    zoomed,
)
from stages.core.drawing.figure import in_font, names_in_font, save_figure
from stages.core.exact.integers import exact_sum
from stages.core.interpretation.attribution import Attribution, attribution
from stages.core.interpretation.own_images import on_images
from stages.core.parallel.threads import in_threads

TILE, COLUMNS = 144, 2  # side of a picture, pixels; images in a row
BLOCKS = 28  # in a row and in a column, in which gradient × input is added up
NAMES = ("the image", "gradient × input", "occlusion")


class ImageAttributionsParams(Params):
    images: Annotated[int, Field(ge=1, le=24)]
    places: Annotated[int, Field(ge=2, le=16)]


class Explained(NamedTuple):
    """An image (size × size × 3, uint8), why it got its answer, and the sums of gradient × input in
    blocks (float32, BLOCKS × BLOCKS)."""

    image: np.ndarray
    why: Attribution
    blocks: torch.Tensor


def chosen(answers: Sequence[Answer], count: int) -> tuple[str, list[Answer]]:
    """The mistakes with the highest probability; or, if there is none, the right answers with the
    lowest. And words that say which they are."""
    wrong = [answer for answer in answers if answer.predicted != answer.label]
    if not wrong:
        unsure = sorted(answers, key=lambda answer: answer.probability)[:count]
        words = f"All {len(answers):,} test images are recognised. The {len(unsure)} least certain"
        return f"{words}: the answer against the likeliest other label", unsure
    shown = sorted(wrong, key=lambda answer: -answer.probability)[:count]
    some = f"{len(shown)} of {len(wrong):,}" if len(shown) < len(wrong) else f"all {len(wrong)}"
    return f"Mistakes, {some}, the most certain first: the answer against the right label", shown


def block_sums(products: torch.Tensor) -> torch.Tensor:
    """The sums over all channels (float32, BLOCKS × BLOCKS) of square blocks of channels × size ×
    size; those at the right and lower edge may be smaller, or empty."""
    side = -(-products.shape[1] // BLOCKS)
    missing = BLOCKS * side - products.shape[1]
    padded = F.pad(products, (0, missing, 0, missing))
    return exact_sum(padded.view(-1, BLOCKS, side, BLOCKS, side), (0, 2, 4)).float()


def explain(model: nn.Module, image: np.ndarray, answer: int, label: int, stride: int) -> Explained:
    """Why an image got its answer rather than its label; or, if that is the same, rather than the
    likeliest of the others. What is hidden gets the image's mean colour."""
    count = image.shape[0] * image.shape[1]
    mean = (2 * image.sum((0, 1), dtype=np.int64) + count) // (2 * count)  # rounded
    x, baseline = (
        torch.tensor(pixels, dtype=torch.uint8).permute(2, 0, 1).contiguous() / 255
        for pixels in (image, mean[None, None])
    )
    why = attribution(model, x, baseline, answer, label, 2 * stride, stride)
    return Explained(image, why, block_sums(why.products))


def draw(
    words: str,
    answers: Sequence[Answer],
    found: Sequence[Explained],
    labels: Sequence[str],
    stride: int,
) -> Figure:
    """Images and why they got their answers, on the same scales; `words` say which they are."""
    largest = largest_of([each.blocks.numpy() for each in found])
    most = largest_of([each.why.hidden.numpy() for each in found])

    def case(answer: Answer, each: Explained) -> Case:
        size = len(each.image)
        grey = np.asarray(Image.fromarray(each.image).convert("L"))
        blocks = zoomed(coloured(each.blocks.numpy(), largest), -(-size // BLOCKS))
        places = zoomed(coloured(each.why.hidden.numpy(), most), stride)
        pictures = [each.image, *(over(map[:size, :size], grey) for map in (blocks, places))]
        explained, rival = (labels[label] for label in each.why.pair)
        file = in_font(answer.path.rpartition("/")[2], "")
        return Case(
            f"{heading(explained, rival, each.why.lead)}   {file}",
            [
                np.asarray(Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BILINEAR))
                for pixels in pictures
            ],
        )

    return draw_attributions(
        "The classifier of your own images: which pixels speak for its answers",
        [Part(words, list(map(case, answers, found)))],
        NAMES,
        {
            "gradient × input of a block": largest,
            "occlusion: what hiding a place takes away": most,
        },
        COLUMNS,
    )


def main(classifier: Path, predictions: Path, alexnet: Path, out: Path) -> None:
    params = read_params("image_attributions", ImageAttributionsParams)
    folder = Path(read_params("images.path", str))
    model, about = load_classifier(classifier)
    tested = read_answers(predictions)
    if not tested:
        raise InputError(
            f"{predictions} has no test image; `dvc repro classify_images` writes some"
        )
    words, answers = chosen(tested, params.images)
    number = {label: index for index, label in enumerate(about.labels)}
    if unknown := {name for answer in answers for name in answer[1:3]} - {*number}:
        raise InputError(f"{predictions}: {classifier} has no label {min(unknown)}")
    network = on_images(model, alexnet)
    stride = -(-about.size // params.places)

    def explained(answer: Answer) -> Explained:
        image = thumbnail(folder, answer.path, about.size, about.size)
        return explain(network, image, number[answer.predicted], number[answer.label], stride)

    found = [*in_threads(explained, answers)]
    names = names_in_font(about.labels)
    save_figure(draw(words, answers, found, names, stride), out / "figure.png")
    write_csv(
        out / "images.csv",
        (*Answer._fields, "rival", "lead"),
        (
            (*answer, about.labels[each.why.pair[1]], each.why.lead)
            for answer, each in zip(answers, found, strict=True)
        ),
    )
    save_tensors(
        {
            "gradient_times_input": np.stack([each.blocks.numpy() for each in found]),
            "occlusion": np.stack([each.why.hidden.numpy() for each in found]),
        },
        out / "maps.safetensors",
    )


if __name__ == "__main__":
    run(main)
