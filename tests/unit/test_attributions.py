"""Which pixels speak for an answer: the two methods, against other implementations; and what the
stages make of digits and of one's own images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import AlexNet

from stages import image_attributions
from stages.core.alexnet.embedding import embed_images
from stages.core.alexnet.network import normalized
from stages.core.base.files import write_csv
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.classifier.model import About, Classifier, save_classifier
from stages.core.data.squares import read_image
from stages.core.drawing.attributions import CMAP, coloured, heading, outlined, over, zoomed
from stages.core.interpretation.attribution import (
    attribution,
    gradient_times_input,
    lead,
    occlusion,
    pair_of,
    spans,
)
from stages.core.interpretation.own_images import on_images
from stages.core.learning.models import build, frozen, weights
from stages.core.learning.predictions import Prediction
from stages.core.learning.trained import LAYERS, TrainedModel, save_model

from common import parameters, paths
from common.artifacts import rows_of
from common.audit import audited
from common.reference import in_float64
from common.stages import run_stage

pytestmark = pytest.mark.usefixtures("one_thread")

BLACK = torch.zeros(1, 1, 1)
DEEP = {
    "conv1": {"kind": "conv", "channels": 4, "kernel": 3, "padding": 1, "stride": 1},
    "pool1": {"kind": "max_pool", "window": 2},
    "relu1": {"kind": "relu"},
    "conv2": {"kind": "conv", "channels": 6, "kernel": 3, "padding": 0, "stride": 2},
    "tanh": {"kind": "tanh"},
    "fc": {"kind": "linear", "units": 10},
}


def model_of(layers, shape, seed=0):
    checked = LAYERS.validate_python(layers, strict=True)
    return TrainedModel(shape, checked, weights(build(checked, shape, seed, "")), DIGITS)


def image(*shape, seed=0, ink=0.4):
    """An image, most of it black."""
    rng = np.random.default_rng(seed)
    bytes_ = rng.integers(1, 256, shape) * (rng.random(shape) < ink)
    return torch.from_numpy(bytes_.astype(np.float32)) / 255


def whole(*shape, seed=0):
    """Small integers: their sums and products are exact in any order."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32))


def test_of_a_linear_model_both_methods_are_its_terms():
    """Gradient × input adds up to the lead without the biases; and what hiding a window takes away
    is gradient × input, added up in it."""
    weight, bias, x = whole(10, 9 * 9), whole(10, seed=1), whole(1, 9, 9, seed=2)
    model = nn.Linear(81, 10).requires_grad_(False)
    model.weight.copy_(weight)
    model.bias.copy_(bias)
    pair = 3, 7

    def logits(images):
        return model(images.flatten(1))

    terms = gradient_times_input(logits, x, BLACK, pair)
    assert torch.equal(terms, x * (weight[3] - weight[7]).view(1, 9, 9))
    assert terms.sum() == lead(logits(x[None]), pair) - (bias[3] - bias[7])
    for window, stride in ((1, 1), (4, 2), (5, 3), (9, 9), (2, 2)):
        hidden = occlusion(logits, x, BLACK, pair, window, stride)
        rows = spans(9, window, stride)
        sums = [[terms[0, a:b, c:d].sum() for c, d in rows] for a, b in rows]
        assert torch.equal(hidden, torch.tensor(sums))
    # From another baseline, the terms are those of the difference from it.
    from_two = gradient_times_input(logits, x, BLACK + 2, pair)
    assert torch.equal(from_two, (x - 2) * (weight[3] - weight[7]).view(1, 9, 9))


@pytest.mark.parametrize("layers", [DEEP, {"fc": DEEP["fc"]}])
def test_of_any_model_they_are_those_of_float64(layers):
    """By torch's own layers and its autograd, and by hiding one window at a time with numpy."""
    trained = model_of(layers, (1, 14, 14))
    exact, reference = frozen(trained), in_float64(frozen(trained))
    x, pair = image(1, 14, 14), (2, 5)
    slopes = x.double().requires_grad_()
    logits = reference(slopes[None])[0]
    (logits[2] - logits[5]).backward()
    expected = slopes.grad * x
    found = gradient_times_input(exact, x, BLACK, pair)
    assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-5) and found.any()

    window, stride = 5, 2
    hidden = occlusion(exact, x, BLACK, pair, window, stride)
    assert hidden.shape == (7, 7)
    for row in range(7):
        for column in range(7):
            pixels = x[0].numpy().copy()
            top, left = 2 * row - 1, 2 * column - 1  # (5 - 2) // 2 pixels before the places's own
            pixels[max(top, 0) : top + 5, max(left, 0) : left + 5] = 0
            with torch.no_grad():
                other = reference(torch.from_numpy(pixels)[None, None].double())[0]
            fall = (logits[2] - logits[5]) - (other[2] - other[5])
            assert abs(hidden[row, column] - fall) < 1e-5


def test_windows_are_around_their_places_and_cut_off_at_the_edges():
    assert spans(28, 6, 2)[:3] == [(0, 4), (0, 6), (2, 8)] and spans(28, 6, 2)[-1] == (24, 28)
    assert spans(9, 4, 4) == [(0, 4), (4, 8), (8, 9)]
    for extent in range(1, 30):
        for window in range(1, 12):
            for stride in range(1, window + 1):
                found = spans(extent, window, stride)
                assert len(found) == -(-extent // stride)
                covered = {pixel for start, end in found for pixel in range(start, end)}
                assert covered == set(range(extent))
                for place, (start, end) in enumerate(found):
                    own = range(place * stride, min((place + 1) * stride, extent))
                    assert start <= own[0] and own[-1] < end


def test_what_hides_nothing_is_not_asked():
    asked = []

    def logits(images):
        asked.append(len(images))
        return torch.stack([images.flatten(1)[:, 0], images.flatten(1)[:, 1]], 1)

    x = torch.zeros(1, 8, 8)
    x[0, 1, 6] = 1
    hidden = occlusion(logits, x, BLACK, (0, 1), 2, 2)
    assert asked == [1, 1] and not hidden.any()


def test_the_closest_rival_is_the_likeliest_of_the_others():
    logits = torch.tensor([1.0, 5.0, 3.0, 3.0])
    assert pair_of(logits, 1, None) == (1, 2)
    assert pair_of(logits, 3, None) == (3, 1)
    assert pair_of(logits, 1, 0) == (1, 0)
    assert pair_of(logits, 1, 1) == (1, 2)  # a label is no rival of itself


def test_colours_stand_for_numbers():
    white, red, blue = coloured(np.array([0.0, 2.0, -3.0]), 2.0).astype(int)
    assert CMAP == "RdBu_r" and white.min() > 240
    assert red[0] > 100 > red[2] and blue[2] > 90 > blue[0]
    greys = np.array([[0, 255]], np.uint8)
    dark, light = over(np.full((1, 2, 3), 200, np.uint8), greys)[0]
    assert (dark == 120).all() and (light == 200).all()
    ink = zoomed(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], bool), 4)
    lined = outlined(np.full((12, 12, 3), 255, np.uint8), ink)
    assert (lined[5:7, 5:7] == 255).all() and (lined[4, 4:8] == 60).all()
    assert (lined < 255).any(2).sum() == 12
    assert heading("4", "9", -1.5) == "4 rather than 9: \N{MINUS SIGN}1.50"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a model, `cnn`, and 40 test images, every other of which it gets wrong."""
    monkeypatch.chdir(tmp_path)
    parameters.write(parameters.read())
    trained = model_of(DEEP, (1, 28, 28))
    save_model(trained, paths.weights("cnn"))
    images = (image(40, 28, 28) * 255).round().to(torch.uint8)
    save_tensors({"test_images": images.numpy()}, paths.DIGITS, in_metadata(DIGITS))
    logits = frozen(trained)(images[:, None] / 255)
    answers = [
        Prediction(answer if number % 2 else (answer + 1) % 10, answer, number / 40)
        for number, answer in enumerate(logits.argmax(1).tolist())
    ]
    write_csv(paths.predictions("cnn"), Prediction._fields, answers)
    return trained, images, answers


def test_the_stage_explains_the_first_right_answers_and_the_surest_mistakes(folder):
    trained, images, answers = folder
    parameters.change(Path(), "attributions", right=2, mistakes=3)
    run_stage("attributions@cnn")
    found = load_tensors(paths.attributions("cnn"))
    firsts = {}
    for number, (actual, predicted, _) in enumerate(answers):
        if actual == predicted:
            firsts.setdefault(actual, number)
    numbers = [*firsts.values()][:2] + [38, 36, 34]
    assert found["numbers"].tolist() == numbers
    assert np.array_equal(found["images"], images[numbers])
    model = frozen(trained)
    for place, number in enumerate(numbers):
        label, answer, _ = answers[number]
        why = attribution(model, images[number][None] / 255, BLACK, answer, label, 6, 2)
        assert tuple(found["pairs"][place]) == why.pair
        assert why.pair[0] == answer and (why.pair[1] == label) == (label != answer)
        assert found["leads"][place] == np.float32(why.lead)
        assert np.array_equal(found["gradient_times_input"][place], why.products[0])
        assert np.array_equal(found["occlusion"][place], why.hidden)
    with Image.open(paths.attributions("cnn").with_suffix(".png")) as figure:
        assert figure.width > 1000


def test_without_mistakes_there_is_a_figure_too(folder):
    right = [Prediction(answer.predicted, *answer[1:]) for answer in folder[2]]
    write_csv(paths.predictions("cnn"), Prediction._fields, right)
    run_stage("attributions@cnn")
    assert 1 <= len(load_tensors(paths.attributions("cnn"))["numbers"]) <= 6


def test_a_stride_that_leaves_gaps_is_one_line(folder, failure):
    parameters.change(Path(), "attributions", window=3, stride=4)
    assert failure("attributions@cnn") == (
        "params.yaml: attributions.stride is 4; it should be at most 3, the window, or some pixels "
        "are never hidden"
    )
    assert not paths.attributions("cnn").exists()


# ---- One's own images.


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """A file with random weights for AlexNet's convolutions."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in AlexNet().features.state_dict().items()}
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("alexnet") / "features.safetensors"
    save_tensors(
        {
            f"features.{name}": (
                2 * rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
            ).astype(np.float32)
            for name, shape in shapes.items()
        },
        path,
    )
    return path


@pytest.fixture
def own(tmp_path, monkeypatch, alexnet):
    """A folder with images of three labels, and a classifier of them, made up."""
    monkeypatch.chdir(tmp_path)
    params = parameters.read()
    params["images"] |= {"path": "own", "size": 70}
    params["image_attributions"] |= {"images": 2, "places": 4}
    parameters.write(params)
    paths.ALEXNET.parent.mkdir(parents=True)
    paths.ALEXNET.symlink_to(alexnet)
    rng = np.random.default_rng(0)
    classifier = Classifier(
        *(
            torch.from_numpy(rng.random(shape).astype(np.float32) + offset)
            for shape, offset in (((256,), 0), ((256,), 0.1), ((3, 256), -0.5), ((3,), 0))
        )
    )
    about = About(labels=["a", "猫", "c"], size=70, alexnet="")
    save_classifier(classifier, about, paths.IMAGE_CLASSIFIER / "model.safetensors")
    for number in range(5):
        path = Path(f"own/a/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(pixels).resize((90, 80)).save(path)
    return classifier


def answer_with(*rows):
    columns = ("path", "split", "label", "predicted", "probability")
    write_csv(paths.IMAGE_CLASSIFIER / "predictions.csv", columns, rows)


def explained():
    run_stage("image_attributions")
    return rows_of(paths.IMAGE_ATTRIBUTIONS / "images.csv")


def test_mistakes_on_test_images_come_first_and_the_surest_of_them(own):
    answer_with(
        ("a/0.png", "test", "a", "c", 0.5),
        ("a/1.png", "test", "a", "a", 0.9),
        ("a/2.png", "train", "a", "c", 0.99),
        ("a/3.png", "test", "a", "猫", 0.6),
        ("a/4.png", "test", "a", "c", 0.4),
    )
    rows = explained()
    assert [(row["path"], row["predicted"], row["rival"]) for row in rows] == [
        ("a/3.png", "猫", "a"),
        ("a/0.png", "c", "a"),
    ]
    found = load_tensors(paths.IMAGE_ATTRIBUTIONS / "maps.safetensors")
    for place, (row, label) in enumerate(zip(rows, (1, 2), strict=True)):
        _, square = read_image(Path("own"), row["path"], 70)
        slopes, baseline, x = in_plain_torch(own, square, label, 0)
        blocks = np.zeros((28, 28))
        for y, c in np.ndindex(70, 70):
            blocks[y // 3, c // 3] += ((x - baseline)[:, y, c] * slopes[:, y, c]).sum().item()
        assert np.allclose(found["gradient_times_input"][place], blocks, atol=1e-3)
        assert np.abs(blocks).max() > 0.01
        hidden = found["occlusion"][place]
        assert hidden.shape == (4, 4)
        network = on_images(own, paths.ALEXNET)
        other = x.float()
        other[:, 9:45, 27:63] = baseline.float()  # 36 pixels, 9 before the 18 of the place
        with torch.no_grad():
            before, after = (lead(network(each[None]), (label, 0)) for each in (x.float(), other))
        assert float(row["lead"]) == before and hidden[1, 2] == (before - after).float() != 0
    with Image.open(paths.IMAGE_ATTRIBUTIONS / "figure.png") as figure:
        assert figure.mode == "RGB"


def in_plain_torch(classifier, square, answer, rival):
    """The gradient of the lead, the mean colour of the square and the pixels, in float64."""
    network = AlexNet().features.eval()
    tensors = load_tensors(paths.ALEXNET).items()
    network.load_state_dict({n.removeprefix("features."): torch.from_numpy(t) for n, t in tensors})
    x = torch.from_numpy(square.copy()).permute(2, 0, 1).double() / 255
    baseline = torch.from_numpy(np.rint(square.reshape(-1, 3).mean(0)))[:, None, None] / 255
    slopes = x.clone().requires_grad_()
    maps = network.double()(normalized(slopes[None]))
    mean, std, weight, bias = (tensor.double() for tensor in classifier)
    logits = ((maps.mean((2, 3)) - mean) / std) @ weight.T + bias
    (logits[0, answer] - logits[0, rival]).backward()
    return slopes.grad, baseline, x


def test_the_classifier_on_pixels_answers_as_it_does_on_features(own):
    files = [f"a/{number}.png" for number in range(5)]
    embedded = embed_images(files, folder=Path("own"), weights=paths.ALEXNET, size=70, pool=True)
    features = torch.from_numpy(np.stack([row.features for row in embedded.rows]))
    squares = np.stack([read_image(Path("own"), file, 70)[1] for file in files])
    x = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous() / 255
    with torch.no_grad():
        assert torch.equal(on_images(own, paths.ALEXNET)(x), own.logits(features))


def test_without_a_mistake_the_least_certain_answers_are_explained(own):
    answer_with(*((f"a/{n}.png", "test", "a", "a", (n * 3 % 5 + 1) / 10) for n in range(5)))
    rows = explained()
    assert [row["path"] for row in rows] == ["a/0.png", "a/2.png"]
    assert all(row["predicted"] == "a" != row["rival"] for row in rows)


def test_a_label_that_the_classifier_does_not_have_is_one_line(own, failure):
    answer_with(("a/0.png", "test", "a", "b", 0.5))
    assert failure("image_attributions") == (
        f"{paths.IMAGE_CLASSIFIER}/predictions.csv: {paths.IMAGE_CLASSIFIER}/model.safetensors has "
        "no label b"
    )


def test_an_image_that_is_gone_is_one_line(own, failure):
    answer_with(("a/9.png", "test", "a", "c", 0.5))
    assert failure("image_attributions").endswith("; `dvc repro` embeds the images anew")
    assert not paths.IMAGE_ATTRIBUTIONS.exists()


@pytest.mark.parametrize(
    ("table", "problem"),
    [("path,split\n", " has no test image"), ("path,split\na,test\n", " has no column 'label'")],
)
def test_a_table_of_answers_that_is_none_is_one_line(own, failure, table, problem):
    (paths.IMAGE_CLASSIFIER / "predictions.csv").write_text(table, encoding="utf-8")
    said = failure("image_attributions")
    assert said.startswith(f"{paths.IMAGE_CLASSIFIER}/predictions.csv{problem}")


# ---- Whatever machine computes them.


def test_both_methods_are_exact(own):
    """Through every kind of layer of digits' models, and through AlexNet."""
    layers = {"mean": {"kind": "avg_pool", "window": 1}} | DEEP
    model, x = frozen(model_of(layers, (1, 14, 14))), image(1, 14, 14)
    network = on_images(own, paths.ALEXNET)
    square = read_image(Path("own"), "a/0.png", 70)[1]
    with audited() as audit:
        attribution(model, x, BLACK, 1, None, 4, 2)
        image_attributions.explain(network, square, 1, 0, 35)
    assert {"mm", "convolution", "convolution_backward", "sum"} <= audit.seen
