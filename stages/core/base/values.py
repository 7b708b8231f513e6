"""Parameters and metrics: numbers, words and lists, in sections of sections."""

import math
from typing import Any, TypeGuard


def flatten(values: Any, name: str = "") -> dict[str, Any]:
    """Values by their full names: dots lead downwards."""
    if not isinstance(values, dict):
        return {name: values}
    parts = (flatten(value, f"{name}.{key}" if name else key) for key, value in values.items())
    return {full: value for part in parts for full, value in part.items()}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it can be drawn and subtracted."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
