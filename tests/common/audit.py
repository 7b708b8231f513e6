"""An audit of all that torch computes: whether a result can depend on the machine.

It sees every operation of its own thread, forward and backward, down to the last that is called;
but not numpy's, and not those of other threads.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stages.core.exact.answers import Answers
from stages.core.learning import training

from common.project import ROOT

# One operation of IEEE 754 an element, which nothing comes close to fusing.
ELEMENTWISE = (
    "abs add sub rsub mul div neg round maximum minimum relu threshold_backward where eq ne lt le "
    "gt ge isfinite _to_copy"
)
# No arithmetic: they look for numbers, or copy them.
CHOICES = "amax amin aminmax argmax argmin max min topk max_pool2d_with_indices all any nonzero"
COPIES = (
    "copy clone detach cat stack index index_put repeat constant_pad_nd fill zero zeros zeros_like "
    "ones ones_like empty empty_like new_empty new_zeros full scalar_tensor arange lift_fresh "
    "_local_scalar_dense _unsafe_view"
)
EXACT = set(f"{ELEMENTWISE} {CHOICES} {COPIES}".split())
# Sums of integers, which only the exact room knows how to make.
SUMS = {"mm", "bmm", "addmm", "convolution", "convolution_backward", "sum"}
ROOM, STAGES = str(ROOT / "stages/core/exact/"), str(ROOT / "stages/")
FLOATS = {torch.float32, torch.float64}


class InexactError(AssertionError):
    pass


class Audit(TorchDispatchMode):
    """Raises InexactError where a float passes through an operation that is not exact."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.paused = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        with self:  # in inference mode, some operations come undivided
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__.removesuffix("_")
        self.seen.add(name)
        if name == "uniform":
            # PyTorch's layers draw weights, which are drawn anew: nothing may come of the first.
            return result.fill_(math.nan)
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)]
        floats = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        if floats and not func.is_view:
            if floats - FLOATS:
                raise InexactError(f"{func}: {floats - FLOATS}")
            if problem := why_inexact(name, args, kwargs, result):
                raise InexactError(f"{func}: {problem}")
        return result

    def without(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, exempt from the audit."""

        @wraps(function)
        def exempt(*args: Any, **kwargs: Any) -> Any:
            before, self.paused = self.paused, True
            try:
                return function(*args, **kwargs)
            finally:
                self.paused = before

        return exempt


def why_inexact(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> str:
    """Empty if the operation is exact."""
    if kwargs.get("alpha", 1) != 1 or kwargs.get("beta", 1) != 1:
        return "alpha or beta"
    if name in EXACT:
        return ""
    if name in SUMS and not calling_stage().startswith(ROOM):
        return "called outside of the exact room"
    match name, args:
        case "mm" | "bmm", (a, b):
            return too_large(a.shape[-1], a, b)
        case "addmm", (_, a, b):
            start = result - a @ b  # what it is added to, which may be the result's own tensor
            magnitudes = start.abs() + a.abs() @ b.abs()
            return too_large(1, a) or too_large(1, b) or too_large(1, magnitudes)
        case "convolution", (x, weight, None, _, _, _, False, *_):
            return too_large(weight[0].numel(), x, weight)
        case "convolution_backward", (grad, x, weight, *_, [of_x, of_weight, False]):
            return (of_x and too_large(weight[:, 0].numel(), grad, weight)) or (
                of_weight and too_large(grad[:, 0].numel(), grad, x) or ""
            )
        case "sum", (x, *_):
            return too_large(x.numel() // result.numel(), x)
    return "not exact"


def calling_stage() -> str:
    """The file below stages/ from which the operation is called, by way of torch or not. The exact
    room, if a test calls it."""
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_code.co_filename.startswith(STAGES):
            return frame.f_code.co_filename
    return ROOM


def too_large(num_terms: int, *factors: torch.Tensor) -> str:
    """Why sums of so many products of these numbers depend on an order; empty if they do not."""
    total = num_terms
    for factor in factors:
        if factor.dtype != torch.float64 or not torch.equal(factor, factor.round()):
            return "of numbers that are no integers in float64"
        total *= int(factor.abs().max())
    return "" if total <= 2**53 else f"sums up to {total}, more than 2^53"


@contextmanager
def audited() -> Iterator[Audit]:
    """Audits what is done meanwhile. The fast pass for answers is exempt, for whatever it is not
    sure of is computed exactly; and training measures in its own thread."""
    audit = Audit()
    with (
        patch.object(Answers, "__init__", audit.without(Answers.__init__)),
        patch.object(Answers, "approximate", audit.without(Answers.approximate)),
        patch.object(training, "in_threads", lambda function, items, busy: map(function, items)),
        audit,
    ):
        yield audit
