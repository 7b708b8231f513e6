"""The training loop against the lesson's, at the default parameters.

Ours computes exactly, as its stage does; the lesson's as in its notebook, with a DataLoader over
pairs of an image and its label, under torch's own settings.
"""

import sys
import time
from functools import partial

from benchmarks.side_by_side import medians, output, print_table
from common import paths
from common.parameters import section

MODELS = {"logistic": 2, "mlp": 2, "cnn": 3}  # how many times as fast ours should be
ROUNDS = 5


def pipeline(model: str) -> float:
    """Seconds of the pipeline's loop, the optimizer made in them."""
    import stages.core.base.command  # noqa: F401 (with its settings)

    from stages.core.base.params import read_params
    from stages.core.data.digits import read_splits
    from stages.core.learning.models import build
    from stages.core.learning.training import train
    from stages.train import ModelParams

    data = read_splits(paths.DIGITS)
    params = read_params(section(model), ModelParams)
    classifier = build(params.layers, (1, 28, 28), params.seed, model)
    start = time.perf_counter()
    points = train(
        classifier,
        params,
        data["train"],
        data["val"],
        num_iterations=93,
        eval_every=1,
        where=model,
    )
    assert len(list(points)) == 93
    return time.perf_counter() - start


def lesson(model: str) -> float:
    """Seconds of the lesson's loop, the optimizer made in them."""
    import torch

    from benchmarks.lesson import LEARNING_RATES, MODELS, load_digits, train

    data = load_digits()
    classifier = MODELS[model]()
    start = time.perf_counter()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=LEARNING_RATES[model])
    assert len(train(classifier, optimizer, *data)) == 93
    return time.perf_counter() - start


LOOPS = {"lesson": lesson, "pipeline": pipeline}


def measured(loop: str, model: str) -> float:
    """The same in a process of its own, where each sets torch up in its own way."""
    return float(output("python", "-m", "benchmarks.training", loop, model))


def main() -> None:
    rows = []
    for model, target in MODELS.items():
        taken = medians(ROUNDS, **{loop: partial(measured, loop, model) for loop in LOOPS})
        rows.append(
            {
                "training loop": model,
                "lesson, s": taken["lesson"],
                "pipeline, s": taken["pipeline"],
                "times as fast": taken["lesson"] / taken["pipeline"],
                "target": f"≥ {target}",
            }
        )
    print_table(*rows)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(LOOPS[sys.argv[1]](sys.argv[2]))
