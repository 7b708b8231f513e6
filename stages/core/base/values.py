"""Parameters and metrics: numbers, strings and lists in nested sections."""

import math
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
