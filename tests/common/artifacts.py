"""Reading what the stages wrote: tables, learning curves, figures."""

import csv
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

# Of a figure of tiles, in pixels: where they start (margin; margin, title, heading, label), the gap
# between two, and what a label takes.
LEFT, TOP = 24, 24 + 36 + 26 + 15
GAP, LABEL = 4, 15


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_curve(path: Path) -> list[tuple[float, ...]]:
    return [tuple(map(float, row.values())) for row in rows_of(path)]


def drawn(path: Path | str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def diverging(values: np.ndarray, largest: float) -> np.ndarray:
    """The colours of values on a scale from -largest (blue) to largest (red); three are added to
    the shape."""
    places = np.floor((values / largest + 1) / 2 * 256).clip(0, 255).astype(int)
    return np.asarray(matplotlib.colormaps["RdBu_r"](places))[..., :3] * 255
