"""The classifier of a folder of images: what the stage makes of it, and when it refuses."""

import csv
import gc
import hashlib
import json
import resource
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from stages import classify_images
from stages.core.alexnet.embedding import Embedded, write_rows
from stages.core.base.tensors import save_tensors
from stages.core.classifier import copies
from stages.core.classifier import model as models
from stages.core.classifier.model import load_classifier
from stages.core.classifier.statistics import wilson
from stages.core.classifier.table import Part, read_table
from stages.core.data.squares import THUMBNAIL, Row
from stages.core.drawing.confusion import draw_confusion
from stages.core.drawing.neighbours import SIDE, Mistake, Picture, draw_mistakes
from stages.core.exact.functions import cross_entropy

from benchmarks import classifier
from common import parameters, paths
from common.artifacts import drawn, rows_of
from common.audit import audited
from common.stages import run_stage

pytestmark = pytest.mark.usefixtures("one_thread")
FLAT = bytes(THUMBNAIL**2)
MADE = paths.IMAGE_CLASSIFIER


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project without images, as far as the stage needs it, and a file for AlexNet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "ITERATIONS", 40)
    save_tensors({"x": np.zeros(1, np.float32)}, paths.ALEXNET)
    write_groups("")
    params = parameters.read()
    params["images"] |= {"path": "own", "size": 64}
    params["classify_images"] |= {"weight_decays": [0.1, 1.0]}
    parameters.write(params)
    return Path("own")


def write_groups(text):
    Path("data/image_groups.csv").write_text("path,group\n" + text, encoding="utf-8")


def make(counts, *, spread=4.0, maps=1, part=100):
    """Images of one colour for each label, so many, and features as `embed_images` would write
    them; `maps`: numbers of a feature map."""
    random = np.random.default_rng(0)
    rows = []
    for label, count in counts.items():
        place = random.standard_normal(256)
        for index in range(count):
            path = f"{label}/{index} ä.png" if label else f"{index}.png"
            Path("own", path).parent.mkdir(parents=True, exist_ok=True)
            colour = tuple(random.integers(0, 256, 3).tolist())
            Image.new("RGB", (4, 4), colour).save(Path("own", path))
            digest = hashlib.sha256(path.encode()).hexdigest()
            noise = spread * random.standard_normal((256, maps))
            features = (place[:, None] + noise).astype(np.float32).ravel()
            thumbnail = random.bytes(THUMBNAIL**2)
            rows.append(Embedded(Row(path, label, 4, 4, digest, thumbnail), features))
    paths.EMBEDDED_IMAGES.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(rows), part)):
        write_rows(rows[start : start + part], paths.EMBEDDED_IMAGES / f"part-{number:06}.parquet")
    return rows


@contextmanager
def traced():
    """How many bytes Python and numpy have asked for at once since."""
    tracemalloc.start()
    start, _ = tracemalloc.get_traced_memory()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()


def found():
    return {path.name: path.read_bytes() for path in MADE.iterdir()}


def metrics():
    return json.loads((MADE / "metrics.json").read_text(encoding="utf-8"))


def test_what_it_writes_agrees(folder):
    """Labels of other alphabets; images in no folder, which are answered and not counted; and an
    empty folder, which is no label."""
    rows = make({"猫": 50, "яблоко": 40, "a b": 30, None: 3})
    Path("own/empty").mkdir()
    run_stage("classify_images")
    predictions = rows_of(MADE / "predictions.csv")
    assert [row["path"] for row in predictions] == [row.path for row, _ in rows]
    assert [row["label"] for row in predictions] == [row.label or "" for row, _ in rows]
    assert [row["split"] for row in predictions[-3:]] == [""] * 3
    assert all(row["predicted"] in {"猫", "яблоко", "a b"} for row in predictions)
    tested = [row for row in predictions if row["split"] == "test"]
    right = sum(row["label"] == row["predicted"] for row in tested)
    result = metrics()
    assert result["test_accuracy"] == right / len(tested) and 0.5 < result["test_accuracy"] < 1
    assert (result["test_accuracy_low"], result["test_accuracy_high"]) == wilson(right, len(tested))
    confusion = [(row["actual"], row["predicted"]) for row in rows_of(MADE / "confusion.csv")]
    assert confusion == [(row["label"], row["predicted"]) for row in tested]
    splits = Counter((row["label"], row["split"]) for row in predictions)
    table = rows_of(MADE / "per_label.csv")
    assert [row["label"] for row in table] == ["a b", "яблоко", "猫"]
    for row in table:
        for split in ("train", "val", "test"):
            assert int(row[split]) == splits[row["label"], split] > 0
        mine = [each for each in tested if each["label"] == row["label"]]
        recall = sum(each["predicted"] == row["label"] for each in mine) / len(mine)
        assert float(row["recall"]) == recall
    assert [result[f"num_{split}"] for split in ("train", "val", "test")] == [
        sum(row["split"] == split for row in predictions) for split in ("train", "val", "test")
    ]
    curve = rows_of(MADE / "accuracy.csv")
    assert [row["images"] for row in curve[:4]] == ["1", "2", "5", "10"]
    assert int(curve[-1]["images"]) == max(int(row["train"]) for row in table)
    assert float(curve[-1]["accuracy"]) == result["test_accuracy"]
    model, about = load_classifier(MADE / "model.safetensors")
    assert about.labels == ["a b", "яблоко", "猫"] and about.size == 64
    assert about.alexnet == hashlib.sha256(paths.ALEXNET.read_bytes()).hexdigest()
    shares = model.probabilities(torch.from_numpy(np.stack([features for _, features in rows])))
    assert [float(row["probability"]) for row in predictions] == [
        round(share, 6) for share in shares.max(1).tolist()
    ]


def test_the_neighbours_are_the_nearest_training_images(folder):
    """Of the twelve mistakes with the highest probability, in that order."""
    rows = make({"x": 90, "y": 90}, spread=30)
    run_stage("classify_images")
    predictions = rows_of(MADE / "predictions.csv")
    wrong = [
        (-float(row["probability"]), place)
        for place, row in enumerate(predictions)
        if row["split"] == "test" and row["label"] != row["predicted"]
    ]
    assert len(wrong) > 12
    model, _ = load_classifier(MADE / "model.safetensors")
    features = np.stack([features for _, features in rows]).astype(float)
    places = (features - model.mean.numpy()) / model.std.numpy()
    train = [place for place, row in enumerate(predictions) if row["split"] == "train"]
    expected = []
    for _, place in sorted(wrong)[:12]:
        far = np.square(places[train] - places[place]).sum(1)
        for rank, index in enumerate(np.argsort(far)[:3], start=1):
            expected.append((rows[place].row.path, str(rank), rows[train[index]].row.path))
    found = rows_of(MADE / "neighbours.csv")
    assert [tuple(row.values()) for row in found] == expected


def test_it_keeps_the_model_that_is_best_on_the_validation_images(folder):
    """Trained on all training images, and on no other."""
    parameters.change(Path(), "classify_images", weight_decays=[0.001, 0.3, 30.0])
    rows = make({"x": 50, "y": 50, "z": 50}, spread=6)
    run_stage("classify_images")
    splits = np.array([row["split"] for row in rows_of(MADE / "predictions.csv")])
    features = torch.from_numpy(np.stack([features for _, features in rows]))
    labels = torch.tensor(["xyz".index(row.label) for row, _ in rows])
    train, val = (torch.from_numpy(splits == split) for split in ("train", "val"))
    losses = {}
    learned = Part(features, torch.from_numpy(np.flatnonzero(train)), labels[train])
    for decay in (0.001, 0.3, 30.0):
        model = models.fit(learned, 3, decay, seed=0)
        loss = cross_entropy(model.logits(features[val]), labels[val]).item()
        losses[loss] = decay, model
    decay, model = losses[min(losses)]
    result = metrics()
    assert (result["val_loss"], result["weight_decay"]) == (min(losses), decay)
    kept, _ = load_classifier(MADE / "model.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(kept, model, strict=True))


def test_the_bytes_do_not_depend_on_how_rows_are_divided_into_files(folder):
    make({"x": 40, "y": 40}, part=100)
    run_stage("classify_images")
    before = found()
    make({"x": 40, "y": 40}, part=7)
    run_stage("classify_images")
    assert found() == before


@pytest.mark.slow
def test_of_whole_maps_the_means_count(folder):
    rows = make({"x": 40, "y": 40}, maps=36, spread=10)
    run_stage("classify_images")
    before = found()
    for path in paths.EMBEDDED_IMAGES.iterdir():
        path.unlink()
    means = [
        Embedded(row, features.reshape(256, 36).astype(np.float64).mean(1).astype(np.float32))
        for row, features in rows
    ]
    write_rows(means, paths.EMBEDDED_IMAGES / "part-000000.parquet")
    run_stage("classify_images")
    assert found() == before


def test_it_is_exact(folder, monkeypatch):
    monkeypatch.setattr(models, "ITERATIONS", 5)
    make({"x": 20, "y": 20})
    with audited() as audit:
        run_stage("classify_images")
    assert {"mm", "sum", "div"} <= audit.seen


class Largest(TorchDispatchMode):
    """The most elements of a tensor that an operation has made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not func.is_view:
            self.elements = max(self.elements, result.numel())
        return result


def test_what_is_too_much_for_memory_leaves_no_file(folder):
    """Nor if it is too much for the disk, too."""
    make({"x": 40, "y": 40})
    before = [*Path().rglob("*")]
    table = read_table(paths.EMBEDDED_IMAGES, MADE)
    assert isinstance(table.digests, np.memmap) and table.features.shape == (80, 256)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            read_table(paths.EMBEDDED_IMAGES, MADE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == MADE
    assert {*Path().rglob("*")} - {MADE} == {*before}


def test_images_take_less_memory_than_their_features(folder, monkeypatch):
    """What Python and numpy need at once, and a tensor of torch, is less than the features of all
    images, or a probability for each of 50 labels. Without figures, which take as much for few
    images as for many."""
    for name in ("draw_confusion", "draw_accuracy", "draw_mistakes", "save_figure"):
        monkeypatch.setattr(classify_images, name, lambda *args: None)
    for name, value in {"ITERATIONS": 2, "EPOCHS": 0, "BATCH": 64, "BLOCK": 64}.items():
        monkeypatch.setattr(models, name, value)
    monkeypatch.setattr(copies, "BUNDLE", 64)
    monkeypatch.setattr(copies, "BLOCK", 64)
    make({f"label {index:02}": 100 for index in range(50)})
    for _ in range(2):  # at first, to import what is imported late
        gc.collect()
        with Largest() as largest, traced() as peak:
            classify_images.main(paths.EMBEDDED_IMAGES, paths.ALEXNET, MADE)
            needed = peak()
    assert needed < 5000 * 256 * 4 and largest.elements < 5000 * 50


def test_groups_stay_on_one_side(folder):
    rows = make({"x": 60, "y": 60})
    write_groups("".join(f'"{row.path}",{index // 6}\n' for index, (row, _) in enumerate(rows)))
    run_stage("classify_images")
    splits = [row["split"] for row in rows_of(MADE / "predictions.csv")]
    assert all(len(set(splits[start : start + 6])) == 1 for start in range(0, 120, 6))


def with_copies(rows, copied):
    """The rows, of which some have the thumbnails of others."""
    for row, first in copied.items():
        image = rows[row].row._replace(thumbnail=rows[first].row.thumbnail)
        rows[row] = rows[row]._replace(row=image)
    for path in paths.EMBEDDED_IMAGES.iterdir():
        path.unlink()
    write_rows(rows, paths.EMBEDDED_IMAGES / "part-000000.parquet")


def test_images_that_are_nearly_the_same_are_suspects_and_on_one_side(folder):
    """Those of a group and of no other are where they were."""
    rows = make({"x": 60, "y": 60})
    run_stage("classify_images")
    before = [row["split"] for row in rows_of(MADE / "predictions.csv")]
    copied = {row: row % 10 for row in range(70, 110)}
    with_copies(rows, copied)
    run_stage("classify_images")
    splits = [row["split"] for row in rows_of(MADE / "predictions.csv")]
    assert all(splits[row] == splits[first] for row, first in copied.items())
    assert splits[10:70] == before[10:70] and splits[110:] == before[110:]
    found = [row for row in rows_of(MADE / "suspects.csv") if row["same_as"]]
    assert {(row["path"], row["same_as"]) for row in found} == {
        (rows[row].row.path, rows[first].row.path) for row, first in copied.items()
    }
    assert {row["reason"] for row in found} == {"nearly the same image, other label"}

    parameters.change(Path(), "classify_images", copies_together=False)
    run_stage("classify_images")
    assert [row["split"] for row in rows_of(MADE / "predictions.csv")] == before
    assert [row for row in rows_of(MADE / "suspects.csv") if row["same_as"]] == found


def test_if_all_are_nearly_the_same_the_message_says_so(folder, failure):
    """As those of a camera that does not move, perhaps."""
    rows = make({"x": 40, "y": 40})
    with_copies(rows, dict.fromkeys(range(1, 80), 0))
    said = failure("classify_images")
    assert "classify_images: every label needs 2 test images or more" in said and said.endswith(
        "; params.yaml: classify_images.copies_together keeps 79 images on the side of others that "
        "look nearly the same"
    )


@pytest.mark.fault("a table of groups that is none")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group\nx/0 ä.png\n", ", row 2: it should be a path and a group"),
        ("path,group\nx/0 ä.png,\n", ", row 2: it should be a path and a group"),
        ("path,group\nx/0 ä.png,a\nx/0 ä.png,b\n", ", row 3: x/0 ä.png is in another group, too"),
        ("path,group\nx/0.png,a\n", ": there is no image x/0.png in own"),
        ("", ": the first line should be path,group"),
        ("x/0 ä.png,a\n", ": the first line should be path,group"),
    ],
)
def test_groups_that_are_wrong_are_one_line(folder, failure, text, message):
    make({"x": 40, "y": 40})
    Path("data/image_groups.csv").write_text(text, encoding="utf-8")
    assert failure("classify_images") == f"data/image_groups.csv{message}"
    Path("data/image_groups.csv").write_bytes(b"path,group\n\xff,1\n")
    assert failure("classify_images").startswith("data/image_groups.csv is not a table of groups")


@pytest.mark.fault("a folder of images that is too small, or has no labels")
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {None: 30},
            "own: no image is in a folder of its own; a classifier needs two labels or more, which "
            "the folders in own name",
        ),
        (
            {"x": 30},
            "own: all images are in x/; a classifier needs two labels or more, which the folders "
            "in own name",
        ),
        ({"x": 3, "y": 2}, "params.yaml: classify_images: every label needs 2 test images or more"),
        ({"x": 90, "y": 1}, "y has 0 of 1 images; add images of them, change the shares, or try"),
    ],
)
def test_folders_of_which_nothing_can_be_learned_are_one_line(folder, failure, counts, message):
    make(counts)
    said = failure("classify_images")
    assert message in said and "\n" not in said
    assert not MADE.exists()


@pytest.mark.fault("a table of embedded images that is none")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"PAR1 no"), " is no table of embedded images: "),
        (lambda path: path.unlink(), "artifacts/embedded_images has no Parquet files; "),
        (
            lambda path: write_rows(
                [Embedded(Row("a.png", "a", 1, 1, "0", FLAT), np.zeros(255, np.float32))], path
            ),
            " is no table of embedded images: ",
        ),
        (
            lambda path: write_rows(
                [Embedded(Row("a.png", "a", 1, 1, "0", FLAT), np.full(256, np.nan, np.float32))],
                path,
            ),
            " has features that are not finite",
        ),
    ],
)
def test_features_that_are_none_are_one_line(folder, failure, spoil, message):
    make({"x": 2})
    spoil(paths.EMBEDDED_IMAGES / "part-000000.parquet")
    said = failure("classify_images")
    assert said.startswith("artifacts/embedded_images") and message in said and "\n" not in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": 0}, "test is 0; it should be "),
        ({"test": 1.0}, "test is 1.0; it should be less than 1"),
        ({"test": 0.5, "val": 0.5}, ": test + val is 1; it should be less than 1"),
        ({"weight_decays": []}, "weight_decays is []; "),
        ({"weight_decays": [-0.1]}, "it should be greater than or equal to 0"),
    ],
)
def test_parameters_out_of_range_are_refused(folder, failure, change, message):
    make({"x": 40, "y": 40})
    parameters.change(Path(), "classify_images", **change)
    said = failure("classify_images")
    assert said.startswith("params.yaml: classify_images") and message in said


@pytest.mark.slow
def test_it_recognises_as_many_digits_as_scikit_learn(downloads, tmp_path, monkeypatch):
    """In its 95 % interval, with its own penalty of the weights and with that of the stage."""
    monkeypatch.chdir(tmp_path)
    classifier.prepare(downloads)
    ours, *theirs = classifier.results().values()
    assert ours.total > 9_000 and len(theirs) == 2
    for result in theirs:
        low, high = result.interval
        assert low <= ours.right / ours.total <= high


@pytest.mark.slow
def test_of_many_labels_those_with_most_mistakes_are_drawn(folder):
    make({f"label {index:03}": 12 for index in range(32)}, spread=6)
    parameters.change(Path(), "classify_images", test=0.5, weight_decays=[1.0], seed=1)
    run_stage("classify_images")
    with Image.open(MADE / "confusion.png") as table:
        assert max(table.size) < 2500
    assert metrics()["num_labels"] == 32
    assert len(rows_of(MADE / "per_label.csv")) == 32


def test_a_confusion_matrix_shows_labels_in_full_and_shares_of_whole_rows():
    counts = np.array([[8, 1, 1], [0, 10, 0], [0, 0, 10]])
    figure = draw_confusion("Title", counts, ["cat", "x$y$", "a very " * 9], "label", [0, 2])
    axes = figure.axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[0] == "cat" and names[1].startswith("a ve") and "…" in names[1]
    assert axes.get_title() == "Title\nrecognises 28 of 30 test images, 93.3\u00a0%"
    assert [text.get_text() for text in axes.texts] == ["8", "1", "0", "10"]


def test_mistakes_stand_beside_their_neighbours(tmp_path):
    red, green = (
        np.full((SIDE, SIDE, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 150, 0))
    )
    mistake = Mistake(
        "x → y, 90 %", Picture(red, ["x", "file"]), [Picture(green, ["y", "file"])] * 3
    )
    figure = draw_mistakes([mistake] * 3, 5, 40)
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "Mistakes on test images" and texts[1].startswith("3 of 5, ")
    assert texts.count("x → y, 90 %") == 3 and texts.count("y") == 9
    figure.savefig(tmp_path / "figure.png", dpi="figure")
    pixels = drawn(tmp_path / "figure.png")
    assert (pixels == (200, 0, 0)).all(2).sum() == 3 * SIDE**2
    assert (pixels == (0, 150, 0)).all(2).sum() == 9 * SIDE**2
    none = draw_mistakes([], 0, 40)
    assert [text.get_text() for text in none.texts][1:] == [
        "All 40 test images are recognised: there is no mistake."
    ]


def test_suspects_and_mistakes_name_files(folder):
    rows = make({"x": 60, "y": 60}, spread=1)
    wrong = rows[5]
    rows[5] = Embedded(wrong.row._replace(path="y/moved.png", label="y"), wrong.features)
    Path("own/x/5 ä.png").rename("own/y/moved.png")
    rows[7] = Embedded(rows[7].row._replace(digest=rows[90].row.digest), rows[7].features)
    write_rows(rows, paths.EMBEDDED_IMAGES / "part-000000.parquet")
    (paths.EMBEDDED_IMAGES / "part-000001.parquet").unlink()
    run_stage("classify_images")
    found = list(csv.DictReader((MADE / "suspects.csv").open(encoding="utf-8")))
    assert {(row["path"], row["label"], row["suggestion"]) for row in found[:1]} == {
        ("y/moved.png", "y", "x")
    }
    assert float(found[0]["probability"]) < 0.1
    assert [(row["path"], row["reason"], row["same_as"]) for row in found[1:]] == [
        (rows[90].row.path, "same image, other label", rows[7].row.path)
    ]
