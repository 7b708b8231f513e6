"""Questions to guess at before the answer comes into view. The right answers follow from the run's
numbers; where these leave nothing to guess, there is no question."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from stages.core.base.labels import one_of
from stages.core.base.values import percent
from stages.core.learning.layers import Conv
from stages.core.learning.trained import TrainedModel
from stages.core.page.models import on_pixels


class Question(NamedTuple):
    """`right` is the index of the right option, or None where only a trial tells."""

    text: str
    options: Sequence[str]
    right: int | None
    why: str


def of_numbers(text: str, right: int, wrong: Sequence[int], why: str) -> Question | None:
    """A question for a number, among others from the smallest to the largest."""
    numbers = sorted({right, *(number for number in wrong if number > 0)})
    if len(numbers) < 3:
        return None
    return Question(text, [f"{number:,}" for number in numbers], numbers.index(right), why)


def parameters_of_linear(what: str, units: int, inputs: int) -> Question | None:
    weights = units * inputs
    return of_numbers(
        f"{what} has {units:,} units, and each sees {inputs:,} numbers. How many parameters does "
        "that take?",
        weights + units,
        (weights, units + inputs, weights + units * units),
        f"{units:,} units with {inputs:,} weights and a bias each: "
        f"{units:,} · {inputs:,} + {units:,} = {weights + units:,}.",
    )


def parameters_of_convolution(
    what: str, weight: Sequence[int], output: Sequence[int]
) -> Question | None:
    """`weight`: outputs × inputs × side × side; `output`: channels × height × width."""
    kernels, inputs, side, _ = weight
    one = inputs * side * side
    right = kernels * (one + 1)
    maps = "one map" if inputs == 1 else f"{inputs} maps"
    return of_numbers(
        f"{what} slides {kernels} kernels of {side} × {side} over {maps} and gives "
        f"{' × '.join(map(str, output))} numbers. How many parameters does it have?",
        right,
        (one, kernels * one, right * output[1] * output[2]),
        f"{kernels} kernels with {one} weights and a bias each: {kernels} · {one} + {kernels} = "
        f"{right:,}. The same ones are used at every place.",
    )


def label_of_weights(model: str, counts: np.ndarray, labels: Sequence[str]) -> Question | None:
    """Of the label that the model recognises best, by its confusion matrix."""
    found = counts.sum(axis=1)
    if not found.any():
        return None
    one = one_of(labels)
    return Question(
        f"These are the weights of one {one}'s logit in {model}: red above zero, blue below. "
        f"Which {one}?",
        labels,
        int(np.argmax(counts.diagonal() / np.maximum(found, 1))),
        f"Ink where it is red speaks for the {one}, ink where it is blue against it.",
    )


def mixed_up(model: str, counts: np.ndarray, labels: Sequence[str]) -> Question | None:
    """The pair of labels that the model mixes up most, by its confusion matrix, among others."""
    pairs_of_all = combinations(range(len(labels)), 2)
    often = {(a, b): int(counts[a, b] + counts[b, a]) for a, b in pairs_of_all}
    most = max(often, key=lambda pair: often[pair])
    fewer = [
        pair for pair in sorted(often, key=lambda pair: -often[pair]) if often[pair] < often[most]
    ]
    if len(fewer) < 3:
        return None
    others = (fewer[len(fewer) // 4], fewer[len(fewer) // 2], fewer[-1])
    pairs = sorted((most, *others))
    a, b = most
    wrong = int(counts.sum() - counts.trace())
    return Question(
        f"Which two {one_of(labels)}s does {model} mix up most often?",
        [f"{labels[a]} and {labels[b]}" for a, b in pairs],
        pairs.index(most),
        f"Of its {wrong:,} mistakes, {often[most]:,} are between {labels[a]} and {labels[b]}.",
    )


def side_after_stride(side: int, kernel: int, padding: int, stride: int) -> Question | None:
    right = (side + 2 * padding - kernel) // stride + 1
    return of_numbers(
        f"A kernel of {kernel} × {kernel} slides over {side} × {side} pixels, with padding "
        f"{padding} and stride {stride}. How many pixels wide is the output?",
        right,
        (side, side - stride, right // stride, right * 2 // 3),
        f"⌊({side} + 2 · {padding} − {kernel}) / {stride}⌋ + 1 = {right}: the kernel stops at one "
        f"place in {stride}, across and down.",
    )


def images_with_features(rows: Sequence[Mapping[str, float]]) -> Question | None:
    """How few do with features what the most do with pixels; rows of the table of accuracies."""
    most = rows[-1]
    enough = [row for row in rows if row["features"] >= most["pixels"]]
    if not enough or len(rows) < 2:
        return None
    numbers = [f"{row['images']:,.0f}" for row in rows]
    right = rows.index(enough[0])
    return Question(
        f"From the pixels of {numbers[-1]} images, a linear layer learns to recognise "
        f"{percent(most['pixels'])} of the test images. From how many does it learn as much with "
        "AlexNet's features?",
        numbers,
        right,
        f"With features, {numbers[right]} images are enough for {percent(enough[0]['features'])}.",
    )


def ten_times(model: str, rate: float) -> Question:
    """No number of the run tells: the reader tries it."""
    return Question(
        f"{model} learned with a learning rate of {rate:g}. What would become of it with "
        f"{rate * 10:g}?",
        ["It learns better", "It learns much the same", "It learns worse", "It learns nothing"],
        None,
        f"Train it with {rate * 10:g}, and see whether you are right.",
    )


def parameters_question(
    models: Mapping[str, TrainedModel], titles: Mapping[str, str]
) -> Question | None:
    """On the first convolution among the models, or else on the last layer of the first one."""
    layers = [(name, layer) for name, model in models.items() for layer in model.layers]
    convolutions = [(n, layer) for n, layer in layers if isinstance(models[n].layers[layer], Conv)]
    first = next(iter(models))
    name, layer = convolutions[0] if convolutions else (first, [*models[first].layers][-1])
    weight = models[name].parameters(layer)["weight"].shape
    what = f"{titles[name]}: the layer {layer}"
    if convolutions:
        return parameters_of_convolution(what, weight, models[name].shapes[layer][1])
    return parameters_of_linear(what, *weight)


def questions_of(
    models: Mapping[str, TrainedModel],
    about: Mapping[str, dict[str, Any]],
    live: Sequence[str],
    matrices: Mapping[str, np.ndarray],
    labels: Sequence[str],
    choices: Mapping[str, Any],
    efficiency: Sequence[Mapping[str, float]],
) -> dict[str, Question]:
    """Those for which this run has something to guess, in the order of the page."""
    titles = {name: about[name]["title"] for name in models}
    first = next(iter(models))
    found: dict[str, Question | None] = {"parameters": parameters_question(models, titles)}
    for name in live[:1]:
        found["rate"] = ten_times(titles[name], about[name]["optimizer"]["learning_rate"])
    found["mistakes"] = mixed_up(titles[first], matrices[first], labels)
    for name in on_pixels(models, live)[:1]:
        found["weights"] = label_of_weights(titles[name], matrices[name], labels)
    strided = [each for each in choices["convolve"]["convolutions"].values() if each["stride"] > 1]
    for each in strided[:1]:
        settings = each["kernel_size"], each["padding"], each["stride"]
        found["side"] = side_after_stride(choices["photo.size"], *settings)
    found["features"] = images_with_features(efficiency)
    return {name: question for name, question in found.items() if question}
