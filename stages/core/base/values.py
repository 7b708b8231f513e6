"""Parameters and metrics: numbers, strings and lists in nested sections."""

import math
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, TypeGuard


def flatten(values: Any, name: str = "") -> dict[str, Any]:
    """Values by dotted name: {"mlp": {"epochs": 3}} becomes {"mlp.epochs": 3}."""
    if not isinstance(values, dict):
        return {name: values}
    parts = (flatten(value, f"{name}.{key}" if name else key) for key, value in values.items())
    return {full: value for part in parts for full, value in part.items()}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value can be plotted and subtracted: finite, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def rounded(number: float | Decimal, form: str) -> str:
    """A number in a format such as ".3f", rounded by its decimal digits, a half away from zero.

    Figures and pages all round like this. Python's `format` rounds the binary number, which for
    0.9345 is a little less: 0.934, but 93.5 in percent.
    """
    with localcontext(rounding=ROUND_HALF_UP):
        return format(Decimal(str(number)), form)


def percent(share: float) -> str:
    """A share as a percentage with one decimal place, and a space that does not break a line."""
    return rounded(Decimal(str(share)) * 100, ".1f") + "\u00a0%"
