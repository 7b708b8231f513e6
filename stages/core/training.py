"""Training a classifier, and measuring it while it learns."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from stages.core.numerics import torch

from torch import nn
from torch.nn import functional as F
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from stages.core.curves import Point
from stages.core.parallel import in_threads

EVAL_BATCH = 256  # images at a time; with far fewer or far more it takes longer

Update = Callable[[Sequence[torch.Tensor]], None]  # changes parameters by their gradients


class Split(NamedTuple):
    """What a model sees (float32: images N × 1 × height × width, or features N × their number),
    with its labels (int64, N)."""

    inputs: torch.Tensor
    labels: torch.Tensor


class Diverged(Exception):
    """The loss or the weights are no longer numbers."""


# The optimizers are torch's functional ones: the classes of torch.optim import its compiler, which
# takes more than a second. They are fused: the other forms take Adam's square roots through a
# library of vector functions that differs between processors.


def adam_update(
    parameters: Sequence[torch.Tensor], learning_rate: float, weight_decay: float
) -> Update:
    """Adam (Kingma and Ba, 2015), the constants of its moving averages those of torch."""
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    steps = [torch.zeros(()) for _ in parameters]

    @torch.no_grad()
    def update(gradients: Sequence[torch.Tensor]) -> None:
        adam(
            list(parameters),
            list(gradients),
            exp_avgs=means,
            exp_avg_sqs=squares,
            max_exp_avg_sqs=[],
            state_steps=steps,
            fused=True,
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            weight_decay=weight_decay,
            amsgrad=False,
            maximize=False,
        )

    return update


def sgd_update(
    parameters: Sequence[torch.Tensor], learning_rate: float, momentum: float, weight_decay: float
) -> Update:
    """Stochastic gradient descent with momentum."""
    velocities: list[torch.Tensor | None] = [None for _ in parameters]

    @torch.no_grad()
    def update(gradients: Sequence[torch.Tensor]) -> None:
        sgd(
            list(parameters),
            list(gradients),
            momentum_buffer_list=velocities,
            fused=True,
            lr=learning_rate,
            momentum=momentum,
            dampening=0,
            weight_decay=weight_decay,
            nesterov=False,
            maximize=False,
        )

    return update


def train_step(
    model: nn.Module, update: Update, inputs: torch.Tensor, labels: torch.Tensor
) -> float:
    """Update the model on one batch; its mean cross-entropy (nats) before the update."""
    loss = F.cross_entropy(model(inputs), labels)
    update(torch.autograd.grad(loss, [*model.parameters()]))
    return loss.item()


@torch.inference_mode()
def accuracy(model: nn.Module, split: Split) -> float:
    """The share of a split whose largest logit is that of their label."""
    correct = sum(
        (model(inputs).argmax(1) == labels).sum().item()
        for inputs, labels in zip(
            split.inputs.split(EVAL_BATCH), split.labels.split(EVAL_BATCH), strict=True
        )
    )
    return correct / len(split.labels)


def shuffled_batches(
    num_inputs: int, batch_size: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Endless epochs of the inputs' indices in another order each; the rest is dropped that would
    not fill a batch."""
    while True:
        order = torch.randperm(num_inputs, generator=generator)
        yield from order[: num_inputs - num_inputs % batch_size].split(batch_size)


def train(
    model: nn.Module,
    update: Update,
    train_split: Split,
    val_split: Split,
    *,
    batch_size: int,
    num_iterations: int,
    eval_every: int,
    generator: torch.Generator,
    after_update: Callable[[int], None],
) -> Iterator[Point]:
    """Train the model, and yield a point after every `eval_every` updates and after the last.

    Most of the time goes into measuring, so other threads measure copies of the model while it
    learns on. `after_update` is called with the number of every update, once the model has it.
    Raises Diverged when the loss or, in the end, a weight is infinite or not a number.
    """

    batches = shuffled_batches(len(train_split.labels), batch_size, generator)

    def snapshots() -> Iterator[tuple[int, float, nn.Module]]:
        for iteration, batch in enumerate(islice(batches, num_iterations), start=1):
            loss = train_step(model, update, train_split.inputs[batch], train_split.labels[batch])
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at iteration {iteration}")
            after_update(iteration)
            if iteration % eval_every == 0 or iteration == num_iterations:
                yield iteration, loss, copy.deepcopy(model)

    def measured(snapshot: tuple[int, float, nn.Module]) -> Point:
        iteration, loss, model = snapshot
        return Point(iteration, loss, accuracy(model, train_split), accuracy(model, val_split))

    yield from in_threads(measured, snapshots())
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise Diverged("the weights are not finite in the end")
