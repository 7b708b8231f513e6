"""Training a model, and measuring it while it learns."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Literal

from stages.core.numerics.pinned import torch

from pydantic import Field
from torch import nn
from torch.nn import functional as F
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from stages.core.base.errors import InputError
from stages.core.base.params import Count, Params, Seed
from stages.core.data.digits import Split
from stages.core.learning.curves import CurvePoint
from stages.core.learning.predictions import Prediction
from stages.core.parallel.threads import in_threads

EVAL_BATCH = 256  # images; far smaller or larger batches take longer

Update = Callable[[Sequence[torch.Tensor]], None]  # updates the parameters, given their gradients


# These use torch's functional optimizers, because the classes of torch.optim import its compiler,
# which takes more than a second. They are fused, because the other implementations compute Adam's
# square roots with a vector math library that differs between processors.


class Optimizer(Params):
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), with torch's default betas and epsilon."""

    kind: Literal["adam"]

    def start(self, parameters: Sequence[torch.Tensor]) -> Update:
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
                lr=self.learning_rate,
                beta1=0.9,
                beta2=0.999,
                eps=1e-8,
                weight_decay=self.weight_decay,
                amsgrad=False,
                maximize=False,
            )

        return update


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al., 2013, in PyTorch's form)."""

    kind: Literal["sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)]

    def start(self, parameters: Sequence[torch.Tensor]) -> Update:
        velocities: list[torch.Tensor | None] = [None for _ in parameters]

        @torch.no_grad()
        def update(gradients: Sequence[torch.Tensor]) -> None:
            sgd(
                list(parameters),
                list(gradients),
                momentum_buffer_list=velocities,
                fused=True,
                lr=self.learning_rate,
                momentum=self.momentum,
                dampening=0,
                weight_decay=self.weight_decay,
                nesterov=False,
                maximize=False,
            )

        return update


class TrainParams(Params):
    """How a model is trained."""

    optimizer: Annotated[Adam | SGD, Field(discriminator="kind")]
    batch_size: Count
    epochs: Count
    seed: Seed

    def num_iterations(self, num_images: int, where: str) -> int:
        """Iterations in all epochs. Raises InputError if there are fewer images than a batch.

        `where`: the parameters' key, for the message.
        """
        if self.batch_size > num_images:
            raise InputError(
                f"{where}.batch_size is {self.batch_size:,}; "
                f"it should be at most {num_images:,}, the number of training images"
            )
        return self.epochs * (num_images // self.batch_size)


def train(
    model: nn.Module,
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
    measuring, so other threads measure copies of the model while it keeps learning. `after_update`
    is called after every update, with the number of the iteration.
    Raises InputError if the loss, or at the end a weight, is infinite or not a number.
    `where`: the parameters' key, for the message.
    """
    update = params.optimizer.start([*model.parameters()])
    batches = shuffled_batches(
        len(train_split.labels),
        min(params.batch_size, len(train_split.labels)),
        torch.Generator().manual_seed(params.seed),
    )

    def updated_models() -> Iterator[tuple[int, float, nn.Module]]:
        for iteration, batch in enumerate(islice(batches, num_iterations), start=1):
            loss = train_step(model, update, train_split.inputs[batch], train_split.labels[batch])
            if not math.isfinite(loss):
                raise diverges(where, f"the loss is {loss} at iteration {iteration}")
            after_update(iteration)
            if iteration % eval_every == 0 or iteration == num_iterations:
                yield iteration, loss, copy.deepcopy(model)

    def measure(updated: tuple[int, float, nn.Module]) -> CurvePoint:
        iteration, loss, model = updated
        return CurvePoint(iteration, loss, accuracy(model, train_split), accuracy(model, val_split))

    yield from in_threads(measure, updated_models())
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise diverges(where, "the weights are not finite at the end")


def diverges(where: str, how: str) -> InputError:
    advice = "lower the learning_rate, momentum or weight_decay"
    return InputError(f"{where} diverges: {how}; {advice}")


def shuffled_batches(
    num_inputs: int, batch_size: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Batches of indices of the inputs, epoch after epoch without end. Each epoch shuffles anew and
    drops the last incomplete batch."""
    while True:
        order = torch.randperm(num_inputs, generator=generator)
        yield from order[: num_inputs - num_inputs % batch_size].split(batch_size)


def train_step(
    model: nn.Module, update: Update, inputs: torch.Tensor, labels: torch.Tensor
) -> float:
    """Update the model on one batch; returns the mean cross-entropy (nats) before the update."""
    loss = F.cross_entropy(model(inputs), labels)
    update(torch.autograd.grad(loss, [*model.parameters()]))
    return loss.item()


@torch.inference_mode()
def logits(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The logits (float32, N × labels) of N inputs.

    Switches the model to evaluation mode, in which dropout does nothing.
    """
    model.eval()
    return torch.cat([model(batch) for batch in inputs.split(EVAL_BATCH)])


def accuracy(model: nn.Module, split: Split) -> float:
    """The share of a split whose largest logit is that of the label."""
    correct = (logits(model, split.inputs).argmax(1) == split.labels).sum().item()
    return correct / len(split.labels)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean cross-entropy (nats) of N × labels logits, in float64."""
    return F.cross_entropy(logits.double(), labels).item()


def predictions(logits: torch.Tensor, labels: torch.Tensor) -> list[Prediction]:
    """The answers to N inputs, by their logits, N × labels; probabilities to a millionth."""
    columns = labels, logits.argmax(1), logits.double().softmax(1).amax(1)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Prediction(actual, answer, round(share, 6)) for actual, answer, share in rows]
