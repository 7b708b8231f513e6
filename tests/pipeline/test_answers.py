"""The accuracies of the project's own models: by the fast pass, and by the exact arithmetic."""

import pytest
import torch

from stages.core.data.digits import SPLITS, read_splits
from stages.core.exact.answers import Answers
from stages.core.learning.models import build
from stages.core.learning.trained import load_model
from stages.core.learning.training import logits

from common import parameters, paths


@pytest.mark.parametrize("name", parameters.MODELS)
def test_less_than_a_hundredth_of_the_digits_is_computed_exactly_and_every_answer_is(
    pipeline, name, monkeypatch
):
    trained = load_model(pipeline / paths.weights(name))
    model = build(trained.layers, trained.input_shape, 0, name).eval()
    model.load_state_dict({n: torch.from_numpy(array) for n, array in trained.weights.items()})
    of_digits = parameters.of_model(parameters.read(), name)["input"] == "digits"
    splits = read_splits(pipeline / (paths.DIGITS if of_digits else paths.EMBEDDED_DIGITS))
    answers, counts = Answers(model), []
    exactly = answers.exact
    monkeypatch.setattr(
        answers, "exact", lambda x, index: counts.append(len(x)) or exactly(x, index)
    )
    for inputs, _ in (splits[split] for split in SPLITS):
        exact = logits(model, inputs).argmax(1)
        assert torch.equal(answers(inputs)[:, 0], exact)
    assert sum(counts) < 0.01 * sum(len(split.labels) for split in splits.values())
