"""Training a model, and measuring it while it learns."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from stages.core.base.errors import InputError
from stages.core.data.digits import Split
from stages.core.exact.answers import BATCH, Answers, Weights, most_at_once
from stages.core.exact.functions import cross_entropy, softmax
from stages.core.exact.optimizers import SGD, Adam
from stages.core.exact.random import Purpose, Words, shuffled
from stages.core.learning.curves import CurvePoint
from stages.core.learning.predictions import Prediction
from stages.core.learning.settings import TrainParams
from stages.core.parallel.threads import in_threads

Item = TypeVar("Item")
OPTIMIZERS = {"adam": Adam, "sgd": SGD}


def train(
    model: nn.Sequential,
    params: TrainParams,
    train_split: Split,
    val_split: Split,
    *,
    num_iterations: int,
    eval_every: int,
    where: str,
    after_update: Callable[[int], None] = lambda iteration: None,
) -> Iterator[CurvePoint]:
    """Train the model; yields a point after every `eval_every` updates and after the last.

    If there are fewer images than `batch_size`, a batch is all of them. Most of the time goes into
    measuring, so other threads measure copies of the weights while the model learns. `after_update`
    is called after every update, with the number of the iteration.
    Raises InputError if the loss, or at the end a weight, is infinite or not a number.
    `where`: the parameters' key, for the message.
    """
    settings = params.optimizer.model_dump()
    optimizer = OPTIMIZERS[settings.pop("kind")]([*model.parameters()], **settings)
    batches = shuffled_batches(
        len(train_split.labels),
        min(params.batch_size, len(train_split.labels)),
        Words(params.seed, Purpose.ORDER),
    )

    def updates() -> Iterator[Update]:
        for iteration, batch in enumerate(islice(batches, num_iterations), start=1):
            loss = train_step(
                model, optimizer, train_split.inputs[batch], train_split.labels[batch]
            )
            if not math.isfinite(loss):
                raise diverges(where, f"the loss is {loss} at iteration {iteration}")
            after_update(iteration)
            if iteration % eval_every == 0 or iteration == num_iterations:
                weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                yield Update(iteration, loss, weights)

    in_evaluation = copy.deepcopy(model).eval()  # with other weights

    def measure(several: Sequence[Update]) -> list[CurvePoint]:
        answers = Answers(in_evaluation, [update.weights for update in several])
        accuracies = (accuracy(answers, split) for split in (train_split, val_split))
        return [
            CurvePoint(update.iteration, update.loss, *shares)
            for update, *shares in zip(several, *accuracies, strict=True)
        ]

    for points in in_threads(measure, batched(updates(), most_at_once(model)), busy=1):
        yield from points
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise diverges(where, "the weights are not finite at the end")


class Update(NamedTuple):
    """An update of a model: the loss of its batch, and the weights after it."""

    iteration: int
    loss: float
    weights: Weights


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`size` items at a time; at the end, what is left."""
    items = iter(items)
    while several := [*islice(items, size)]:
        yield several


def diverges(where: str, how: str) -> InputError:
    advice = "lower the learning_rate, momentum or weight_decay"
    return InputError(f"{where} diverges: {how}; {advice}")


def shuffled_batches(num_inputs: int, batch_size: int, words: Words) -> Iterator[torch.Tensor]:
    """Batches of indices of the inputs, epoch after epoch without end. Each epoch shuffles anew and
    drops the last incomplete batch."""
    while True:
        order = shuffled(words, num_inputs)
        yield from order[: num_inputs - num_inputs % batch_size].split(batch_size)


def train_step(
    model: nn.Module, optimizer: Adam | SGD, inputs: torch.Tensor, labels: torch.Tensor
) -> float:
    """Update the model on one batch; returns the mean cross-entropy (nats) before the update."""
    loss = cross_entropy(model(inputs), labels)
    optimizer.update(torch.autograd.grad(loss, [*model.parameters()]))
    return loss.item()


def accuracy(answers: Answers, split: Split) -> list[float]:
    """The share of a split whose answer is the label, with each set of weights."""
    right = answers(split.inputs) == split.labels[:, None]
    return [count / len(split.labels) for count in right.sum(0).tolist()]


@torch.inference_mode()
def logits(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The logits (float32, N × labels) of N inputs.

    Switches the model to evaluation mode, in which dropout does nothing.
    """
    model.eval()
    return torch.cat([model(batch) for batch in inputs.split(BATCH)])


def predictions(logits: torch.Tensor, labels: torch.Tensor) -> list[Prediction]:
    """The answers to N inputs, by their logits, N × labels; probabilities to a millionth."""
    columns = labels, logits.argmax(1), softmax(logits.numpy())[0].max(1)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Prediction(actual, answer, round(share, 6)) for actual, answer, share in rows]
