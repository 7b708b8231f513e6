"""The small model on features of images: splits, statistics, what it learns, what looks wrong."""

import numpy as np
import pytest
import torch

from stages.core.base.errors import InputError
from stages.core.classifier import model as models
from stages.core.classifier.data import Data
from stages.core.classifier.model import (
    About,
    Classifier,
    fit,
    likeliest,
    load_classifier,
    moments,
    save_classifier,
)
from stages.core.classifier.split import assign, check_splits, places, split_keys
from stages.core.classifier.statistics import (
    balanced_accuracy,
    baseline_accuracy,
    label_scores,
    wilson,
)
from stages.core.classifier.suspects import (
    cross_validated,
    duplicates,
    find_suspects,
    wrong_labels,
)
from stages.core.classifier.table import Part, Table
from stages.core.exact.functions import cross_entropy
from stages.core.learning.predictions import confusion_matrix

from common.audit import InexactError, audited

pytestmark = pytest.mark.usefixtures("one_thread")


def splits(digests, groups=None, seed=0):
    keys = split_keys([*map(str.encode, digests)], groups or [None] * len(digests))
    return assign(places(keys, seed)["split"], 0.25, 0.15).tolist()


def test_splits_have_their_shares_and_a_seed_gives_others():
    digests = [f"{index:064}" for index in range(4000)]
    found = splits(digests)
    assert abs(found.count("test") / 4000 - 0.25) < 0.03
    assert abs(found.count("val") / 4000 - 0.15) < 0.03
    assert splits(digests, seed=1) != found


def test_equal_images_are_on_one_side_and_one_more_moves_no_other():
    digests = [f"{index:064}" for index in range(200)]
    twice = splits(digests + digests)
    assert twice[:200] == twice[200:] == splits(digests)
    assert splits(["new", *digests])[1:] == splits(digests)
    assert splits(digests[::-1])[::-1] == splits(digests)


def test_a_group_is_on_one_side_and_grows_without_moving():
    digests = [f"{index:064}" for index in range(300)]
    groups = [f"video {index // 10}" for index in range(300)]
    found = splits(digests, groups)
    for start in range(0, 300, 10):
        assert len(set(found[start : start + 10])) == 1
    assert {*found} == {"test", "val", "train"}
    more = splits([*digests, "new"], [*groups, "video 7"])
    assert more[:-1] == found and more[-1] == found[70]


def test_an_image_in_two_groups_joins_them():
    """In whatever order: and one of no group follows its equal."""
    digests = [b"a", b"b", b"b", b"c", b"c", b"d", b"a"]
    groups = ["z", "z", "y", "y", "x", "w", None]
    keys = [*split_keys(digests, groups)]
    assert set(keys[:5]) == {"group x"} and keys[5] == "group w" and keys[6] == "group x"
    assert [*split_keys(digests[::-1], groups[::-1])] == keys[::-1]


def test_what_is_kept_together_is_so_for_each_purpose_and_each_has_its_own_places():
    found = places(split_keys([b"a", b"b", b"a"] * 10, [None] * 30), seed=0)
    assert found[0] == found[2] == found[27] != found[1]
    assert len({*found[0].tolist()}) == 3 and all(0 <= where < 1 for where in found[0].tolist())


@pytest.mark.parametrize(
    ("labels", "splits", "message"),
    [
        (
            "aaabb",
            ["test", "test", "train", "test", "train"],
            "where: every label needs 2 test images or more, but b has 1 of 2 images; "
            "add images of them, change the shares, or try another seed",
        ),
        (
            "abcdeabcde",
            ["test"] * 5 + ["train"] * 5,
            "where: every label needs 2 test images or more, but a has 1 of 2 images; b has 1 of 2 "
            "images; c has 1 of 2 images; and 2 more; add images of them, change the shares, or "
            "try another seed",
        ),
        (
            "aabba",
            ["test"] * 4 + ["train"],
            "where: every label needs 1 train image or more, but b has 0 of 2 images; "
            "add images of them, change the shares, or try another seed",
        ),
        (
            "aabbab",
            ["test"] * 4 + ["train"] * 2,
            "where.val: there is no validation image; add images, or raise it",
        ),
    ],
)
def test_too_few_images_are_one_line_that_says_of_what_and_how_many(labels, splits, message):
    with pytest.raises(InputError) as caught:
        check_splits(labels, splits, "where")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilson_s(right, total, low, high):
    """Examples of Newcombe (1998), "Two-sided confidence intervals for the single proportion"."""
    assert wilson(right, total) == pytest.approx((low, high), abs=5e-5)
    mirrored = 1 - high, 1 - low
    assert wilson(total - right, total) == pytest.approx(mirrored, abs=5e-5)


def test_scores_by_hand():
    actual = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 0, 0])
    counts = confusion_matrix(actual, predicted, 3)
    assert counts.tolist() == [[3, 1, 0], [1, 1, 0], [2, 0, 0]]
    assert label_scores(counts) == [(3 / 6, 3 / 4, 6 / 10), (1 / 2, 1 / 2, 2 / 4), (None, 0, 0)]
    assert balanced_accuracy(counts) == (0.75 + 0.5 + 0) / 3
    assert baseline_accuracy([2, 2, 1, 1, 0], actual.tolist()) == 2 / 8  # of 1 and 2, the first


def clusters(num_labels, count, spread=1.0):
    """Features (float32) of `count` images of each label, around a place of its own; the labels."""
    random = np.random.default_rng(0)
    places = random.standard_normal((num_labels, 256))
    labels = np.repeat(np.arange(num_labels), count)
    noise = spread * random.standard_normal((len(labels), 256))
    return torch.from_numpy((places[labels] + noise + 3).astype(np.float32)), labels


def images(features, labels=None):
    """A part of a table: all of it."""
    rows = torch.arange(len(features))
    return Part(features, rows, rows if labels is None else torch.from_numpy(labels))


def test_features_are_standardised_and_constant_ones_do_no_harm(monkeypatch):
    monkeypatch.setattr(models, "BLOCK", 7)
    features, _ = clusters(3, 10)
    features[:, 5] = 0.1
    mean, std = moments(images(features))
    assert np.allclose(mean, features.double().mean(0), atol=1e-6)
    expected = features.double().std(0, correction=0)
    expected[5] = 1
    assert np.allclose(std, expected, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.1, 1.0])
def test_it_finds_the_minimum(weight_decay):
    """There the gradient is zero, by numpy's own arithmetic."""
    features, labels = clusters(4, 30, spread=3)
    model = fit(images(features, labels), 4, weight_decay, seed=0)
    x = ((features - model.mean) / model.std).double().numpy()
    z = x @ model.weight.double().numpy().T + model.bias.double().numpy()
    errors = np.exp(z) / np.exp(z).sum(1, keepdims=True) - np.eye(4)[labels]
    gradient = errors.T @ x / len(x) + weight_decay * model.weight.double().numpy()
    start = np.abs((0.25 - np.eye(4)[labels]).T @ x / len(x)).max()
    assert np.abs(gradient).max() < 2e-3 * start
    assert np.abs(errors.mean(0)).max() < 2e-3  # biases have no decay


def test_batches_learn_as_well(monkeypatch):
    features, labels = clusters(4, 200, spread=6)
    losses = []
    for batch in (1024, 100):
        monkeypatch.setattr(models, "BATCH", batch)
        model = fit(images(features, labels), 4, 0.1, seed=0)
        penalty = 0.05 * (model.weight**2).sum().item()
        losses.append(model.loss(images(features, labels)) + penalty)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_it_is_exact():
    features, labels = clusters(3, 10)
    with audited() as audit:
        model = fit(images(features, labels), 3, 0.1, seed=0)
        model.answers(images(features))
        model.loss(images(features, labels))
        model.nearest(images(features), features[0], 3)
    assert {"mm", "sum", "div"} <= audit.seen


def test_what_is_not_exact_is_found(monkeypatch):
    features, labels = clusters(3, 10)
    monkeypatch.setattr(models, "exact_sum", lambda x, dims: x.sum(dims).double())
    with pytest.raises(InexactError), audited():
        fit(images(features, labels), 3, 0.1, seed=0)


def test_an_image_s_answer_depends_on_no_other():
    features, labels = clusters(3, 200)
    model = fit(images(features, labels), 3, 0.1, seed=0)
    together = model.probabilities(features)
    alone = [model.probabilities(features[i : i + 1])[0] for i in (0, 299, 599)]
    assert np.array_equal(together[[0, 299, 599]], alone)


def test_the_nearest_are_those_of_the_euclidean_distance():
    features, _ = clusters(3, 50)
    model = Classifier(*moments(images(features)), torch.zeros(3, 256), torch.zeros(3))
    known = model.standardised(features)
    distances = np.linalg.norm(known.double() - known[0].double(), axis=1)
    found = model.nearest(images(features)[torch.arange(149, 0, -1)], features[0], 20)
    assert found.tolist() == np.argsort(distances)[1:21].tolist()


def test_a_file_is_enough_to_predict(tmp_path):
    features, labels = clusters(3, 10)
    model = fit(images(features, labels), 3, 0.1, seed=0)
    about = About(labels=["a b", "ß", "猫"], size=96, alexnet="0" * 64)
    save_classifier(model, about, tmp_path / "model.safetensors")
    read, read_about = load_classifier(tmp_path / "model.safetensors")
    assert read_about == about
    assert np.array_equal(read.probabilities(features), model.probabilities(features))


def test_a_file_that_is_none_is_one_line(tmp_path):
    model = Classifier(*(torch.zeros(shape) for shape in (256, 256, (3, 256), 3)))
    path = tmp_path / "model.safetensors"
    save_classifier(model, About(labels=["a", "b"], size=96, alexnet=""), path)
    with pytest.raises(InputError, match="has 2 labels, but weights for 3$"):
        load_classifier(path)
    save_classifier(
        model._replace(mean=torch.zeros(255)), About(labels=["a"] * 3, size=96, alexnet=""), path
    )
    with pytest.raises(InputError, match="mean is F32 255; it should be F32 256"):
        load_classifier(path)


def test_the_loss_is_that_of_all_at_once(monkeypatch):
    features, labels = clusters(3, 50)
    model = fit(images(features, labels), 3, 0.1, seed=0)
    loss = cross_entropy(model.logits(features), torch.from_numpy(labels)).item()
    monkeypatch.setattr(models, "BATCH", 7)
    assert model.loss(images(features, labels)) == loss


def test_answers_are_the_likeliest_of_equal_ones_the_first():
    shares = np.array([[0.2, 0.4, 0.4], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7000001]])
    labels, found = likeliest(shares)
    assert labels.tolist() == [1, 0, 2] and found.tolist() == [0.4, 0.333333, 0.7]


def test_labels_look_wrong_where_another_is_as_likely_as_usual():
    """The average image of label 0 has it with a probability of 0.7, of label 1 with 0.6; the third
    image looks like 1, the last but one likes 0 better, but less than images of 0 do."""

    class Told:
        @staticmethod
        def judged(part):
            return [(block, block.features.numpy()) for block in part.blocks(2)]

    shares = torch.tensor(
        [[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.45, 0.55], [0.65, 0.35]],
        dtype=torch.float64,
    )
    whole = images(shares, np.array([0, 0, 0, 1, 1, 1]))
    for judged in ([whole], [whole[1::2], whole[::2]], [whole[:5], whole[5:]]):
        assert wrong_labels([(Told, part) for part in judged], 2) == [(0.3, 2, 1)]
    assert wrong_labels([], 2) == []


def test_equal_images_are_duplicates_of_the_first():
    assert duplicates(np.array(["a", "b", "a", "c", "b", "a"], "S")) == [(0, 2), (0, 5), (1, 4)]


def test_fewer_images_are_a_part_of_more_and_train_alone():
    """As many of each label as there are; and one more image leaves the others in their order."""
    labels = np.array([0] * 30 + [1] * 6 + [0] * 30)
    keys = [f"image {index}" for index in range(66)]
    splits = np.array(["train"] * 36 + ["test"] * 30)
    table = Table([], [], np.array([]), np.array([]), torch.empty(0))
    data = Data(table, ["x", "y"], labels, np.arange(66), splits, places(keys, 0))
    assert data.most == 30
    before = set()
    for count in (1, 5, 10, 30):
        rows = data.first_of_each(count)
        counts = np.bincount(labels[rows]).tolist()
        assert counts == [count, min(count, 6)] and rows.max() < 36 and before < {*rows.tolist()}
        before = {*rows.tolist()}
    less = data._replace(splits=np.where(np.arange(66) == 3, "test", splits))
    changed = {*data.first_of_each(10).tolist()} ^ {*less.first_of_each(10).tolist()}
    assert len(changed) <= 2


def test_planted_mistakes_are_the_suspects():
    features, labels = clusters(3, 40)
    labels[[3, 50]] = 2, 0  # they are of 0 and 1
    digests = np.array([f"{index:064}" for index in range(120)], "S")
    digests[60] = digests[59]
    names = ["x", "y", "z"]
    table = Table(
        [f"{index:03}.png" for index in range(120)],
        [names[label] for label in labels],
        digests,
        np.zeros((120, 256), np.uint8),
        features,
    )
    first = np.arange(120)
    first[[59, 60, 90]] = 10, 10, 20  # of which 60 is also equal to 59, which counts
    where = places(split_keys(digests, [None] * 120), 0)
    data = Data(table, names, labels, first, np.array(["train"] * 120), where)
    judged = cross_validated(data, 0.1, 0, lambda folds: None)
    found = find_suspects(data, judged)
    assert {(s.path, s.label, s.suggestion) for s in found if not s.same_as} == {
        ("003.png", "z", "x"),
        ("050.png", "x", "y"),
    }
    unlabelled = data._replace(table=table._replace(labels=[*table.labels[:60], None, *"z" * 59]))
    assert [s.reason for s in find_suspects(unlabelled, judged) if s.path == "060.png"] == [
        "same image"
    ]
    assert all(s.probability < 0.1 for s in found if not s.same_as)
    assert [(s.path, s.reason, s.same_as) for s in found if s.same_as] == [
        ("059.png", "nearly the same image, other label", "010.png"),
        ("090.png", "nearly the same image, other label", "020.png"),
        ("060.png", "same image", "059.png"),
    ]
    for model, part in judged:  # each is judged by a model that has not seen it
        others = np.setdiff1d(np.arange(120), part.rows)
        assert all(map(torch.equal, model, fit(data.part(others), 3, 0.1, 0)))
    assert sorted(torch.cat([part.rows for _, part in judged]).tolist()) == [*range(120)]
    where["fold"] = 0
    assert cross_validated(data, 0.1, 0, lambda folds: None) == []
