"""Which pixels speak for an answer rather than for another one, asked in two ways.

What is explained is how far an answer is ahead: the difference of its logit and that of its rival,
which is the logarithm of the ratio of their probabilities. One logit alone says little, for adding
the same number to all of them changes no answer.

Gradient × input (Shrikumar et al., "Not Just a Black Box: Learning Important Features Through
Propagating Activation Differences", 2016) is what pixels would contribute if the model were linear:
the change from a baseline, an image in which there is nothing to see, times the slope. Occlusion
(Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014) hides one part of
the image after another behind the same baseline, and asks the model again. In a linear model, what
hiding a window takes away is the sum of gradient × input in it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

BATCH = 8  # images with something hidden at a time: more do not fit into a cache

Logits = Callable[[torch.Tensor], torch.Tensor]  # N × channels × height × width to N × labels
Pair = tuple[int, int]  # the number of the label to explain, and that of its rival


class Attribution(NamedTuple):
    """The label that is explained and its rival; how far it is ahead of that; gradient × input of
    each channel of each pixel (float32, channels × height × width); and what hiding a window takes
    away (float32, rows × columns)."""

    pair: Pair
    lead: float
    products: torch.Tensor
    hidden: torch.Tensor


def attribution(
    logits: Logits,
    image: torch.Tensor,
    baseline: torch.Tensor,
    answer: int,
    rival: int | None,
    window: int,
    stride: int,
) -> Attribution:
    """Why an image (channels × height × width) gets an answer rather than a rival (`pair_of`)."""
    with torch.no_grad():
        found = logits(image[None])
    pair = pair_of(found[0], answer, rival)
    return Attribution(
        pair,
        lead(found, pair).item(),
        gradient_times_input(logits, image, baseline, pair),
        occlusion(logits, image, baseline, pair, window, stride),
    )


def pair_of(logits: torch.Tensor, answer: int, rival: int | None) -> Pair:
    """A label, and its rival: the likeliest of the others, unless one of them is given. `logits`:
    of one image (labels); of equal ones, the first counts as the likelier."""
    if rival is None or rival == answer:
        others = logits.clone()
        others[answer] = -torch.inf
        rival = int(others.argmax())
    return answer, rival


def lead(logits: torch.Tensor, pair: Pair) -> torch.Tensor:
    """How far a label is ahead of its rival (float64, N), by logits N × labels."""
    answer, rival = pair
    return logits[:, answer].double() - logits[:, rival].double()


def gradient_times_input(
    logits: Logits, image: torch.Tensor, baseline: torch.Tensor, pair: Pair
) -> torch.Tensor:
    """For each channel of each pixel of an image (channels × height × width), its difference from
    the baseline (which broadcasts), times the gradient of the lead."""
    x = image[None].clone().requires_grad_()
    found = logits(x)
    direction = torch.zeros_like(found)
    direction[0, pair[0]], direction[0, pair[1]] = 1, -1
    (slopes,) = torch.autograd.grad(found, x, direction)
    return (image - baseline) * slopes[0]


def spans(extent: int, window: int, stride: int) -> list[tuple[int, int]]:
    """The start and end of each window in one direction, as many as it takes to have one around
    each `stride` pixels. At the edges windows are cut off."""
    margin = (window - stride) // 2
    starts = range(-margin, extent - margin, stride)
    return [(max(start, 0), min(start + window, extent)) for start in starts]


def occluded(
    image: torch.Tensor, baseline: torch.Tensor, window: int, stride: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """The image with a window of the baseline in one place after another, in reading order, each
    with the number of its place: without those where that changes nothing."""
    height, width = image.shape[1:]
    covered = baseline.expand_as(image)
    places = (
        (top, bottom, left, right)
        for top, bottom in spans(height, window, stride)
        for left, right in spans(width, window, stride)
    )
    for number, (top, bottom, left, right) in enumerate(places):
        inside = ..., slice(top, bottom), slice(left, right)
        if (image[inside] != covered[inside]).any():
            hidden = image.clone()
            hidden[inside] = covered[inside]
            yield number, hidden


@torch.no_grad()
def occlusion(
    logits: Logits,
    image: torch.Tensor,
    baseline: torch.Tensor,
    pair: Pair,
    window: int,
    stride: int,
) -> torch.Tensor:
    """By how much the lead falls when a window of the image is hidden (float32, rows × columns:
    height and width over stride, rounded up): a number for each `stride` × `stride` pixels, which
    are in the middle of the window."""
    rows, columns = (len(spans(extent, window, stride)) for extent in image.shape[1:])
    found = torch.zeros(rows * columns)
    before = lead(logits(image[None]), pair)
    hidden = [*occluded(image, baseline, window, stride)]
    for start in range(0, len(hidden), BATCH):
        numbers, images = zip(*hidden[start : start + BATCH], strict=True)
        found[list(numbers)] = (before - lead(logits(torch.stack(images)), pair)).float()
    return found.view(rows, columns)
