"""Activation maximisation: the image that excites a unit most, by gradient ascent on its pixels.

The idea is that of Erhan, Bengio, Courville and Vincent ("Visualizing Higher-Layer Features of a
Deep Network", 2009) and Simonyan, Vedaldi and Zisserman ("Deep Inside Convolutional Networks",
2013). Left alone, it ends in noise that excites the unit, but looks like nothing. What is done
against that is common too (Yosinski et al., "Understanding Neural Networks Through Deep
Visualization", 2015; Olah, Mordvintsev and Schubert, "Feature Visualization", Distill, 2017): the
image jitters, it decays, and neighbouring pixels and colours move together, as those of photographs
do. The decay is by a fixed amount, as for an L1 penalty (the iterative soft thresholding of
Daubechies, Defrise and De Mol, 2004): pixels that do not matter end up at the ground, exactly.

The contract in stages/core/exact says what is rounded where.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from stages.core.base.params import Params, Seed
from stages.core.exact.random import Purpose, Words

NOISE = 1 / 8  # from the darkest to the brightest pixel of the noise that an image starts as
SEEN = 8  # an image jitters by at most one in so many of the pixels that its unit sees


class AscentParams(Params):
    """How images are made. `rate` and `decay` are in pixel values, from 0 to 1."""

    steps: Annotated[int, Field(ge=1, le=1000)]
    rate: Annotated[float, Field(gt=0, le=1)]
    jitter: Annotated[int, Field(ge=0, le=16)]
    blur: Annotated[int, Field(ge=0, le=16)]
    decay: Annotated[float, Field(ge=0, lt=1)]
    seed: Seed

    def for_field(self, side: int) -> "AscentParams":
        """With less jitter and blur for a unit that sees few pixels, `side` × `side`."""
        return self.model_copy(
            update={
                "jitter": min(self.jitter, side // SEEN),
                "blur": min(self.blur, side // (2 * SEEN)),
            }
        )

    def alone(self) -> "AscentParams":
        """With nothing against noise."""
        return self.model_copy(update={"jitter": 0, "blur": 0, "decay": 0.0})


def of_units(shape: Sequence[int], units: range) -> torch.Tensor:
    """For each of some units, 1 at its place in the output, of that shape, and 0 elsewhere; of a
    channel, the unit in the middle of its map."""
    wanted = torch.zeros(len(units), *shape)
    middle = [extent // 2 for extent in shape[1:]]
    for image, unit in enumerate(units):
        wanted[(image, unit, *middle)] = 1
    return wanted


def ascend(
    model: Callable[[torch.Tensor], torch.Tensor],
    wanted: torch.Tensor,
    ground: np.ndarray,
    params: AscentParams,
) -> np.ndarray:
    """Images N × channels × height × width in [0, 1] (float32) that excite units of a model.

    `wanted`: N × the model's output, 1 for the unit that an image is for and 0 for the others.
    `ground`: channels × height × width (float32), what images decay to. An image does not depend
    on the others of its batch.
    """
    words = Words(params.seed, Purpose.ASCENT)
    noise = (words.take(*ground.shape) / 2.0**32 - 0.5) * NOISE
    start = np.clip(ground + noise, 0, 1).astype(np.float32)
    images = np.repeat(start[None], len(wanted), axis=0)
    for _ in range(params.steps):
        down, right = (
            word % (2 * params.jitter + 1) - params.jitter for word in words.take(2).tolist()
        )
        jittered = torch.from_numpy(np.roll(images, (down, right), (2, 3))).requires_grad_()
        (gradient,) = torch.autograd.grad(model(jittered), jittered, wanted)
        direction = np.roll(gradient.double().numpy(), (-down, -right), (2, 3))
        for _ in range(params.blur):
            direction = blurred(blurred(direction, 2), 3)
        if direction.shape[1] == 3:
            red, green, blue = direction.swapaxes(0, 1)
            direction = direction + (red + green + blue)[:, None]
        largest = np.abs(direction).max((1, 2, 3), keepdims=True)
        moved = images + params.rate * (direction / np.where(largest > 0, largest, 1))
        decayed = moved - np.clip(moved - ground, -params.decay, params.decay)
        images = np.clip(decayed, 0, 1).astype(np.float32)
    return images


def blurred(x: np.ndarray, axis: int) -> np.ndarray:
    """Each number becomes a quarter of its neighbours' sum and of its double; beyond the edges is
    0."""
    padded = np.pad(x, [(1, 1) if dim == axis else (0, 0) for dim in range(x.ndim)])
    before, after = (padded.take(range(at, at + x.shape[axis]), axis) for at in (0, 2))
    return ((before + after) + 2 * x) / 4


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as bytes (uint8)."""
    return np.rint(images.astype(np.float64) * 255).astype(np.uint8)
