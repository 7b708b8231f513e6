"""Principal axes: the directions along which points differ most from each other.

Of points N × K around their mean, the axes are the eigenvectors of the covariance with the largest
eigenvalues, which are the variances of the points along them. They are found by orthogonal
iteration (Golub and Van Loan, "Matrix Computations", 4th edition, section 8.2) of more vectors than
are kept: in each iteration the error shrinks by the ratio of the first variance that no vector is
there for to the last that is kept. In the end the vectors are turned, within the space that they
span, to its own principal axes (section 8.5). Every sum is exact, so the result is the same on
every machine, whatever the iteration has not yet made smaller included.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from stages.core.exact.integers import exact_sum, to_integers
from stages.core.exact.layers import exact_product
from stages.core.exact.random import Purpose, Words, initial_weight

AXES, SPARE = 2, 8  # vectors that are kept, and others that make these converge faster
ITERATIONS = 40
SWEEPS = 12  # of rotations; of ten rows, six leave nothing of what is not on the diagonal
BITS = 24  # of a coordinate: as many as float32 has
NEGLIGIBLE = 2.0**-18  # of the largest variance; what is below is rounding


class Principal(NamedTuple):
    """The axes (float32, K × 2), of length 1, the one with the larger variance first; where the
    points lie on them (float64, N × 2); and what share of the variance each has. An axis is all
    zeros if the points do not spread along a second direction, or any."""

    axes: np.ndarray
    places: np.ndarray
    shares: list[float]


def principal_axes(points: torch.Tensor) -> Principal:
    """Of points N × K (float32, finite). Their mean lies at zero. An axis points to where its first
    component of the largest magnitude is positive."""
    count, num_dims = points.shape
    mean = exact_sum(points, [0]) / count
    integers, unit = to_integers(points.double() - mean, BITS)
    centred = (integers / 2**BITS).float()  # 1 at most, or squares of huge numbers were infinite

    width = min(AXES + SPARE, count, num_dims)
    vectors = initial_weight(Words(0, Purpose.WEIGHTS), (num_dims, width), num_dims)
    for _ in range(ITERATIONS):
        vectors = orthonormal(product(centred.T, product(centred, vectors)))
    places = product(centred, vectors)
    turned = torch.from_numpy(eigenvectors(product(places.T, places).double().numpy())).float()
    vectors = orthonormal(product(vectors, turned))
    places = product(centred, vectors).double()

    variances = exact_sum(places * places, [0])
    total = exact_sum(centred.double() * centred, [0, 1]).item()
    first = np.argsort(-variances.numpy(), kind="stable")[:AXES]
    axes = np.zeros((num_dims, AXES), np.float32)
    axes[:, : len(first)] = vectors[:, first].numpy()
    kept = np.zeros((count, AXES))
    kept[:, : len(first)] = places[:, first].numpy()
    signs = np.sign(axes[np.abs(axes).argmax(0), range(AXES)])
    # An axis is of length 1 but for rounding: of points on a line, it could have more than all.
    shares = [min(variances[index].item() / total, 1.0) if total else 0.0 for index in first]
    return Principal(
        axes * signs.astype(np.float32),
        kept * signs * (unit * 2**BITS),
        [*shares, *[0.0] * (AXES - len(shares))],
    )


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return exact_product(torch.mm, a, b, a.shape[1])


def orthonormal(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors (float32, K × W), one after the other without what lies along those before it
    (Gram-Schmidt, twice against rounding), and of length 1. Zeros, if nothing but rounding is left
    of one."""
    columns = vectors.double()
    lengths = np.sqrt(exact_sum(columns * columns, [0]).numpy())
    smallest = NEGLIGIBLE * lengths.max()
    found = torch.zeros_like(columns)
    for index in range(columns.shape[1]):
        column = columns[:, index]
        for _ in range(2):
            along = exact_sum(found * column[:, None], [0])
            column = column - exact_sum(found * along, [1])
        length = math.sqrt(exact_sum(column * column, [0]).item())
        if length > smallest:
            found[:, index] = column / length
    return found.float()


def eigenvectors(matrix: np.ndarray) -> np.ndarray:
    """Of a symmetric matrix (float64), in columns, in no particular order: by rotations that make
    the elements beside the diagonal zero in turn (Jacobi)."""
    a, vectors = matrix.copy(), np.eye(len(matrix))
    for _ in range(SWEEPS):
        for p in range(len(a)):
            for q in range(p + 1, len(a)):
                if a[p, q] == 0:
                    continue
                tau = (a[q, q].item() - a[p, p].item()) / (2 * a[p, q].item())
                tangent = math.copysign(1 / (abs(tau) + math.sqrt(1 + tau * tau)), tau)
                cosine = 1 / math.sqrt(1 + tangent * tangent)
                sine = tangent * cosine
                for rows in (a, a.T, vectors.T):
                    first, second = rows[p].copy(), rows[q].copy()
                    rows[p] = cosine * first - sine * second
                    rows[q] = sine * first + cosine * second
                a[p, q] = a[q, p] = 0
    return vectors
