"""How a model is trained: its section of params.yaml, but for its layers."""

from typing import Annotated, Literal

from pydantic import Field

from stages.core.base.errors import InputError
from stages.core.base.params import Count, Params, Seed


class OptimizerParams(Params):
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]


class AdamParams(OptimizerParams):
    kind: Literal["adam"]


class SGDParams(OptimizerParams):
    kind: Literal["sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)]


class TrainParams(Params):
    """How a model is trained."""

    optimizer: Annotated[AdamParams | SGDParams, Field(discriminator="kind")]
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
