"""The shades of a confusion matrix, in figures and on the page.

They double from step to step, so that both good and bad models show their mistakes, and they stand
for the same shares in every figure. Right answers are not shaded: they would drown the rest.
"""

import numpy as np

# Shares of a row's images; from each on, a mistake has a darker shade.
STEPS = (0.005, 0.01, 0.02, 0.04, 0.08)


def shades(counts: np.ndarray) -> np.ndarray:
    """The shade of each cell of a confusion matrix, true labels in rows: 0 (none) to 5."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    found = np.digitize(shares, STEPS)
    np.fill_diagonal(found, 0)
    return found
