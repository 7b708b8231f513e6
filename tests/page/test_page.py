"""The page in a browser: the models that answer in it, and every way to use it."""

import base64
import itertools
import json
import math
import re
from contextlib import chdir
from unittest.mock import patch

import matplotlib
import numpy as np
import pytest
import torch
import yaml
from playwright.sync_api import expect

from stages import report
from stages.core.base.tensors import load_tensors
from stages.core.base.values import percent, rounded
from stages.core.learning.models import build
from stages.core.learning.trained import load_model

from common import parameters, paths
from common.artifacts import rows_of
from common.pages import (
    add_model,
    copy_inputs,
    keep_models,
    needs_chromium,
    opened,
    serious_faults,
)
from common.processes import PATIENCE
from common.reference import in_float64
from common.stages import run_stage

pytestmark = needs_chromium

PIXELS = (1, 28, 28)  # what the models see that answer in the page
MOST = 64  # units or maps that the page shows
TITLES = {name: model["title"] for name, model in parameters.read()["models"].items()}
SEEN = "[...document.getElementById('seen').getContext('2d').getImageData(0, 0, 28, 28).data]"
FORWARD = """([name, count]) => JSON.stringify(Array.from({length: count}, (_, i) => {
    const {maps, logits} = forward(name, testDigit(i));
    return {maps: i ? [] : maps.map(m => ({...m, values: [...m.values]})), logits: [...logits]};
}))"""
TILES = "all => all.map(li => [li.className, li.innerText.trim()])"
PICTURES = """place => [...place.querySelectorAll("canvas")].map(c => [
    c.getAttribute("aria-label"), c.height, c.width,
    btoa(String.fromCharCode(...c.getContext("2d").getImageData(0, 0, c.width, c.height).data))])"""
BARS = """place => [...place.querySelectorAll(".track")].map(track => {
    const bar = track.firstChild;
    const [outer, inner] = [track.getBoundingClientRect(), bar.getBoundingClientRect()];
    return [track.className, bar.classList.contains("negative"),
        bar.style.getPropertyValue("--share"),
        (inner.left - outer.left) / outer.width, inner.width / outer.width];
})"""

# Models with the parts that those of params.yaml lack. With names that must not get in the way of
# ids that the page makes of other names; JavaScript would put the last one first.
OTHERS = yaml.safe_load("""
deep: # bars of two hidden layers, one after the other, of both signs or not
  shrink: {kind: avg_pool, window: 2}
  conv: {kind: conv, channels: 5, kernel: 4, padding: 3, stride: 3}
  squash: {kind: tanh}
  hidden1: {kind: linear, units: 12}
  positive: {kind: relu}
  drop: {kind: dropout, p: 0.5}
  hidden2: {kind: linear, units: 8}
  squashed: {kind: tanh}
  logits: {kind: linear, units: 10}
chart-deep: # more hidden units than are shown
  layer1: {kind: linear, units: 80}
  tanh1: {kind: tanh}
  layer2: {kind: linear, units: 10}
deep-title: # one layer with weights, but not on pixels
  pool: {kind: max_pool, window: 4}
  layer: {kind: linear, units: 10}
"7": # more maps than are shown, with activations of both signs
  conv1: {kind: conv, channels: 70, kernel: 3, padding: 0, stride: 2}
  relu1: {kind: relu}
  conv2: {kind: conv, channels: 66, kernel: 2, padding: 0, stride: 1}
  fc: {kind: linear, units: 10}
""")


def references(folder):
    """The models of a project that answer in its page, as torch has them."""
    found = {}
    for name in parameters.read(folder)["models"]:
        trained = load_model(folder / paths.weights(name))
        if trained.input_shape == PIXELS:
            model = build(trained.layers, PIXELS, seed=1, where="")
            tensors = {key: torch.from_numpy(weight) for key, weight in trained.weights.items()}
            model.load_state_dict(tensors)
            found[name] = in_float64(model).requires_grad_(False)
    return found


@pytest.fixture(scope="module")
def models(pipeline):
    return references(pipeline)


@pytest.fixture(scope="module")
def others(pipeline, tmp_path_factory):
    """A folder with the page of other models, where of the units of one not all are watched."""
    folder = tmp_path_factory.mktemp("others")
    copy_inputs(pipeline, folder)
    keep_models(folder)
    for name, layers in OTHERS.items():
        add_model(folder, name, layers, f"The model {name}")
    with chdir(folder), patch.object(report, "SNAPSHOT_BYTES", 50_000):
        run_stage("report")
    return folder


def seen(page):
    """The pixels that the models see, as the page shows them."""
    return np.array(page.evaluate(SEEN), np.uint8).reshape(28, 28, 4)[..., 0]


def as_input(pixels):
    """Digits as the models see them; as torch has them, in double precision."""
    shares = pixels.astype(np.float32) / np.float32(255)
    return torch.from_numpy(shares.astype(float)).view(-1, *PIXELS)


def maps_of(model, pixels):
    """What a model sees of digits, and what each of its layers gives."""
    maps = [as_input(pixels)]
    for layer in model:
        maps.append(layer(maps[-1]))
    return maps


def logits(model, pixels):
    return maps_of(model, pixels)[-1]


def answers(page, models):
    """The digit that each model answers, as the page shows it."""
    return {
        name: page.locator(f"#answer-{name} .answer").inner_text().split()[0] for name in models
    }


def draw(page, points):
    """A stroke of the mouse through points given as shares of the drawing area."""
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    for index, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if index == 0:
            page.mouse.down()
    page.mouse.up()
    expect(page.locator("#verdict")).to_contain_text("They say")


def as_in_mnist(page, ink):
    """What the page makes of ink, 280 × 280."""
    script = "text => [...asInMnist(Uint8Array.from(atob(text), c => c.charCodeAt(0)), 280)]"
    found = page.evaluate(script, base64.b64encode(ink.tobytes()).decode())
    return np.reshape(found, (28, 28))


def minus(text):
    return float(text.replace("−", "-"))


def assert_exact(page, folder, images):
    """Logits, and of the first image what each layer gives: bit for bit those of the stages."""
    for name in references(folder):
        trained = load_model(folder / paths.weights(name))
        model = build(trained.layers, PIXELS, seed=1, where="").eval().requires_grad_(False)
        model.load_state_dict({k: torch.from_numpy(w) for k, w in trained.weights.items()})
        maps = [torch.from_numpy(images).view(-1, *PIXELS) / 255]
        for layer in model:
            maps.append(layer(maps[-1]))
        found = json.loads(page.evaluate(FORWARD, [name, len(images)]))
        answered = np.array([each["logits"] for each in found])
        assert np.array_equal(answered, maps[-1].numpy()), name
        for seen, [expected, *_] in zip(found[0]["maps"], maps, strict=True):
            shape = expected.shape if expected.ndim == 3 else (*expected.shape, 1, 1)
            assert (seen["channels"], seen["height"], seen["width"]) == shape
            assert np.array_equal(np.reshape(seen["values"], expected.shape), expected), name


def test_the_models_answer_to_the_bit_as_in_the_pipeline(page, pipeline, digits, models):
    """Logits of 200 test digits."""
    assert set(models) == set(page.evaluate("Object.keys(data.models)"))
    assert_exact(page, pipeline, digits["test_images"][:200])
    assert page.evaluate("data.digits.labels") == digits["test_labels"][:300].tolist()


def test_a_picked_digit_is_shown_answered_and_told(page, digits, models):
    for action, index in (
        (lambda: None, 0),
        (lambda: page.get_by_label("Next test digit").click(), 1),
        (lambda: page.get_by_label("Previous test digit").click(), 0),
        (lambda: page.get_by_label("Previous test digit").click(), 299),
        (lambda: (page.locator("#index").fill("61"), page.keyboard.press("Enter")), 61),
    ):
        action()
        image, label = digits["test_images"][index], digits["test_labels"][index]
        expected = {name: str(logits(m, image).argmax().item()) for name, m in models.items()}
        article = "an" if label == 8 else "a"
        said = ", ".join(f"{TITLES[name]} {digit}" for name, digit in expected.items())
        expect(page.locator("#verdict")).to_have_text(
            f"Test digit {index}, {article} {label}. They say: {said}."
        )
        assert np.array_equal(seen(page), image)
        assert answers(page, models) == expected
        for name, model in models.items():
            shown = page.locator(f"#answer-{name} .bars li span:last-child").all_inner_texts()
            shares = [float(text.removesuffix("\u00a0%")) / 100 for text in shown]
            assert shares == pytest.approx(logits(model, image).softmax(1)[0].tolist(), abs=6e-4)


def test_a_number_that_is_no_test_digit_of_the_page_is_refused(page, digits):
    """Nothing else takes its place: the digit stays, until there is another."""
    page.get_by_label("Next test digit").click()
    before = page.locator("#verdict").inner_text()
    for typed, problem in (
        ("9999", "Test digit 9999 is not in this page: it has 0 to 299."),
        ("300", "Test digit 300 is not in this page: it has 0 to 299."),
        ("-1", "Test digit -1 is not in this page: it has 0 to 299."),
        ("6.5", "Type a whole number from 0 to 299."),
        ("", "Type a whole number from 0 to 299."),
    ):
        page.locator("#index").fill(typed)
        page.keyboard.press("Enter")
        expect(page.locator("#no-such-digit")).to_have_text(problem)
        expect(page.locator("#index")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#index")).to_have_value(typed)
        assert page.locator("#verdict").inner_text() == before
        assert np.array_equal(seen(page), digits["test_images"][1])
    page.get_by_label("Next test digit").click()
    expect(page.locator("#index")).to_have_value("2")
    expect(page.locator("#index")).to_have_attribute("aria-invalid", "false")
    expect(page.locator("#no-such-digit")).to_be_empty()


def test_the_script_rounds_as_python_does(page):
    shares = [*(count / 2000 for count in range(2001)), 0.00049, 1 / 3, 0.99949]
    written = page.evaluate("all => all.map(share => [percent(share), rounded(share, 3)])", shares)
    assert written == [[percent(share), rounded(share, ".3f")] for share in shares]


def test_a_drawing_has_no_number(page):
    draw(page, [(0.5, 0.2), (0.5, 0.8)])
    expect(page.locator("#index")).to_have_value("")


def test_buttons_find_a_digit_and_one_that_is_disputed(page, digits, models):
    page.get_by_label("Another 4").click()
    expect(page.locator("#verdict")).to_contain_text(", a 4.")
    first = page.locator("#index").input_value()
    page.get_by_label("Another 4").click()
    expect(page.locator("#index")).not_to_have_value(first)
    page.get_by_role("button", name="One they disagree on").click()
    said = {
        name: logits(model, digits["test_images"][:300]).argmax(1).tolist()
        for name, model in models.items()
    }
    index = int(page.locator("#index").input_value())
    assert len({found[index] for found in said.values()}) > 1


def test_ink_becomes_a_digit_of_mnist(page, digits):
    """A digit ten times as large, at another place, is the same digit again where its longer side
    has the 20 pixels that MNIST gives it; of other ink each pixel is the mean of what it covers."""
    same = 0
    for image in digits["test_images"][:60]:
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        ink = np.zeros((280, 280), np.uint8)
        large = box.repeat(10, axis=0).repeat(10, axis=1)
        ink[3 : 3 + large.shape[0], 17 : 17 + large.shape[1]] = large
        found = as_in_mnist(page, ink)
        same += np.array_equal(found, image)
    assert same >= 55

    ink = np.zeros((280, 280), np.uint8)
    ink[31:198, 90:161] = np.random.default_rng(0).integers(1, 256, (167, 71))
    found = as_in_mnist(page, ink)
    expected = ink[31:198, 90:161].repeat(20, 0).repeat(9, 1).reshape(20, 167, 9, 71).mean((1, 3))
    rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
    box = found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert np.abs(box - expected).max() < 0.501
    centre = (
        found.sum(1) @ np.arange(28) / found.sum(),
        found.sum(0) @ np.arange(28) / found.sum(),
    )
    assert all(13.5 <= place <= 14.5 for place in centre)
    assert page.evaluate("asInMnist(new Uint8Array(280 * 280), 280)") is None


def test_a_stroke_is_seen_and_answered(page, models):
    before = seen(page)
    draw(page, [(0.5, 0.1), (0.5, 0.5), (0.5, 0.9)])
    pixels = seen(page)
    assert not np.array_equal(pixels, before)
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] == 19 and columns[-1] - columns[0] < 5  # upright, 20 pixels long
    assert answers(page, models) == {
        name: str(logits(model, pixels).argmax().item()) for name, model in models.items()
    }
    assert answers(page, ["cnn"])["cnn"] == "1"
    expect(page.locator("#verdict")).not_to_contain_text("Test digit")

    draw(page, [(0.2, 0.15), (0.5, 0.15)])  # adds to the ink that is there
    assert seen(page)[:, :12].sum() > pixels[:, :12].sum()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#verdict")).to_have_text("Draw something.")
    assert not seen(page).any() and set(answers(page, models).values()) == {"–"}


def test_a_finger_draws(browser, path):
    with opened(browser, path, 360, has_touch=True) as page:
        page.locator("#pad").scroll_into_view_if_needed()
        box = page.locator("#pad").bounding_box()
        before = page.evaluate("scrollY")
        finger = page.context.new_cdp_session(page)
        for kind, y in (
            ("touchStart", 0.2),
            ("touchMove", 0.5),
            ("touchMove", 0.8),
            ("touchEnd", 0),
        ):
            place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + y * box["height"]}
            points = [] if kind == "touchEnd" else [place]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        expect(page.locator("#verdict")).to_have_text(re.compile("^They say"))
        script = "[...pad.getContext('2d').getImageData(140, 0, 1, 280).data]"
        ink = np.array(page.evaluate(script)).reshape(280, 4)[:, 0]
        assert ink[56:224].all() and page.evaluate("scrollY") == before  # and the page stays


def number(value):
    """As the scales have it."""
    size = abs(value)
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.095 or size == 0 else 4
    return f"{value:.{places}f}".replace("-", "−")


def near(value):
    """What is shown with two places."""
    return pytest.approx(float(value), abs=0.00501)


def diverging(shares):
    """As matplotlib has it, in whose colours the figures are; it knows 256 of them."""
    places = np.linspace(-1, 1, 256)
    stops = matplotlib.colormaps["RdBu_r"](np.arange(256))[:, :3] * 255
    return np.stack([np.interp(shares, places, stop) for stop in stops.T], -1)


def grey(shares):
    return np.repeat(shares[..., None] * 255, 3, axis=-1)


def assert_painted(place, expected, largest, colour, labels):
    """The pictures in a place have the colours of these values on this scale, and these names."""
    found = place.evaluate(PICTURES)
    assert [label for label, *_ in found] == labels
    for (_, height, width, pixels), values in zip(found, expected, strict=True):
        assert (height, width) == values.shape
        channels = np.frombuffer(base64.b64decode(pixels), np.uint8).astype(int)
        *colours, opacity = np.moveaxis(channels.reshape(height, width, 4), -1, 0)
        shades = colour(values.numpy() / largest)
        assert np.abs(np.stack(colours, -1) - shades).max() <= 1.5 and (opacity == 255).all()


def assert_scale(place, largest, colour, unit):
    expected = number(0), f"{number(largest)} {unit}"
    if colour is diverging:
        expected = number(-largest), f"+{number(largest)} {unit}"
    assert tuple(place.locator(".scale").inner_text().split("\n")) == expected


def assert_words(place, words):
    """The paragraph of a block has these words, or has them not."""
    text = place.locator("p").inner_text()
    for each, is_there in words.items():
        assert (each in text) == is_there, (each, text)


def assert_units(tiles, order, activations, parts, positive):
    """Below the tiles of hidden units."""
    for (state, text), unit in zip(tiles, order, strict=True):
        first, *rest = text.split("\n")
        name, said = first.split(": ")
        assert name == f"unit {unit}" and minus(said) == near(activations[unit])
        is_silent = positive and activations[unit] == 0
        assert (state == "quiet") == is_silent
        if is_silent:
            assert rest == ["silent"]
        elif parts is None:
            assert rest == []
        else:
            [adds] = rest
            assert minus(adds.removeprefix("adds ")) == near(parts[unit])


def assert_explained(page, name, model, pixels, digit):
    """The whole explanation: of each block the pictures or bars, their numbers and their scale are
    those of torch."""
    maps = [found for [found] in maps_of(model, pixels)]
    names = [name for name, _ in model.named_children()]
    places = [index for index, layer in enumerate(model) if hasattr(layer, "weight")]
    section = page.locator(f'section[aria-labelledby="why-{name}"]')
    blocks = section.locator("[data-layer]")
    assert [block.get_attribute("data-layer") for block in blocks.all()] == [
        names[place] for place in places
    ]
    for place, end in zip(places, [*places[1:], len(model)], strict=True):
        layer, after = model[place], list(model)[place + 1 : end]
        block = section.locator(f'[data-layer="{names[place]}"]')
        kinds = {type(each).__name__ for each in after}
        is_first, is_last = place == places[0], end == len(model)
        sees, gives = maps[place], maps[end]
        weight, bias = layer.weight.flatten(1), layer.bias
        parts = None
        if end == places[-1]:  # the last layer comes next: what each map or unit adds
            terms = model[end].weight[digit] * gives.flatten()
            parts = terms.view(len(gives), -1).sum(1)
        if is_last and not is_first:
            found = re.fullmatch(
                r"For (\d): the (maps|units) add (\S+), the bias (\S+); the logit is (\S+)\.",
                block.locator(".sum").inner_text(),
            )
            conv = isinstance(model[places[-2]], torch.nn.Conv2d)
            assert found[1] == str(digit) and found[2] == ("maps" if conv else "units")
            added, biased, logit = map(minus, found.groups()[2:])
            assert added == near(gives[digit] - bias[digit])
            assert biased == near(bias[digit]) and logit == near(gives[digit])
            assert block.locator("li").count() == 0
            continue

        tiles = block.locator(".tiles li").evaluate_all(TILES)
        heading = block.locator("h5").inner_text()
        start = 0 if is_first else place
        assert heading.startswith(" → ".join(names[start:end]) + ": ")
        pixel = "pixel" if place == 0 else "input"
        if is_last:
            assert heading.endswith(f": weight × {pixel}") and len(tiles) == 10
            products = (weight * sees.flatten()).view(10, *sees.shape[1:])
            labels = [f"weight × {pixel} for digit {other}" for other in range(10)]
            largest = products.abs().max().item()
            assert_painted(block.locator(".tiles"), products, largest, diverging, labels)
            assert_scale(block, largest, diverging, f"weight × {pixel}")
            for other, (state, found) in enumerate(tiles):
                text = re.fullmatch(r"(\d): (\S+)\n(\S+), bias (\S+)", found)
                assert text[1] == str(other)
                logit, total, biased = map(minus, text.groups()[1:])
                assert logit == near(gives[other]) and biased == near(bias[other])
                assert total == near(products[other].sum())
                assert (state == "best") == (other == digit)
            continue

        count, positive = len(gives), "ReLU" in kinds
        peaks = gives.reshape(count, -1).abs().amax(1)
        order = list(range(count))
        if count > MOST:
            order = np.argsort(-peaks.numpy(), kind="stable")[:MOST].tolist()
        assert len(tiles) == min(count, MOST)
        what = "feature maps" if isinstance(layer, torch.nn.Conv2d) else "hidden units"
        assert heading.endswith(f": {count} {what}")
        one = "map" if isinstance(layer, torch.nn.Conv2d) else "unit"
        assert_words(
            block,
            {
                f"Below each {one} is what it adds to the logit.": parts is not None,
                f"Of the {count} {one}s, the 64 most active are shown.": count > MOST,
            },
        )
        largest = peaks.max().item()
        if isinstance(layer, torch.nn.Conv2d):
            colour = grey if positive else diverging
            labels = [f"{names[place]}, feature map {index}" for index in order]
            assert_painted(block.locator(".tiles"), gives[order], largest, colour, labels)
            assert_scale(block, largest, colour, "activation")
            assert_words(block, {"it finds": not after, "is left after": bool(after)})
            for (_, text), index in zip(tiles, order, strict=True):
                first, *rest = text.split("\n")
                assert first == f"map {index}" and len(rest) == (parts is not None)
                if rest:
                    assert minus(rest[0].removeprefix("adds ")) == near(parts[index])
            continue

        assert_words(
            block,
            {
                "or zero where that is negative": positive,
                "squeezed by tanh to between −1 and 1": "Tanh" in kinds,
                "Dropout only acts while a model learns.": "Dropout" in kinds,
                f"sum of weight × {pixel} and a bias": True,
                f"all {weight.shape[1]} outputs of the layer before": not is_first,
            },
        )
        assert_units(tiles, order, gives, parts, positive)
        if is_first:
            strongest = weight.abs().max().item()
            pictures = weight[order].view(-1, *sees.shape[1:])
            labels = [f"Weights of hidden unit {unit}" for unit in order]
            assert_painted(block.locator(".tiles"), pictures, strongest, diverging, labels)
            assert_scale(block, strongest, diverging, "weight")
        else:
            assert block.locator(".scale").inner_text() == f"longest bar: {number(largest)}"
            assert block.locator("canvas").count() == 0
            bars = block.evaluate(BARS)
            for (track, negative, share, left, width), unit in zip(bars, order, strict=True):
                assert track == ("track" if positive else "track signed")
                part = gives[unit].item() / largest
                assert negative == (part < 0)
                assert float(share) == pytest.approx(abs(part), abs=1e-6)
                half = 1 if positive else 0.5  # of the track, from its middle to either side
                assert width == pytest.approx(abs(part) * half, abs=0.02)
                middle = 0 if positive else 0.5
                assert left == pytest.approx(middle + min(part, 0) * half, abs=0.02)


def assert_watched(page, folder, name, index, count):
    """What the slider shows of a snapshot: each weight in its colour, and the numbers then."""
    curve = [
        {key: float(value) for key, value in row.items()}
        for row in rows_of(folder / paths.curves(name))
    ]
    snapshots = load_tensors(folder / paths.snapshots(name))
    last, iteration = int(snapshots["iteration"][-1]), int(snapshots["iteration"][index])
    row = next(row for row in curve if row["iteration"] == iteration)
    expect(page.locator("#now")).to_have_text(
        f"Iteration {iteration} of {last}: loss {rounded(row['loss'], '.3f')}; "
        f"{percent(row['train_accuracy'])} of the training images and "
        f"{percent(row['val_accuracy'])} of the validation images recognised."
    )
    slider = page.get_by_role("slider", name="Iteration")
    expect(slider).to_have_attribute("aria-valuetext", f"iteration {iteration} of {last}")
    for line, field in enumerate(("train_accuracy", "val_accuracy")):
        dot = page.locator(f"#chart-learning-{name} .dot-{line}")
        assert (float(dot.get_attribute("cx")), float(dot.get_attribute("cy"))) == (
            round(56 + iteration / last * 490, 1),
            round(270 - row[field] * 236, 1),
        )
    weight = snapshots["weight"]
    side = weight.shape[-1] if weight.ndim == 5 else math.isqrt(weight.shape[-1])
    largest = np.abs(weight).max().item()
    steps = np.rint(weight[index].reshape(-1, side, side)[:count] / largest * np.float32(127))
    found = page.locator("#watch-tiles").evaluate(PICTURES)
    labels = [label for label, *_ in found]
    assert len(labels) == count and len(set(labels)) == count
    assert_painted(page.locator("#watch-tiles"), torch.from_numpy(steps), 127, diverging, labels)
    expected = [number(-largest), f"+{number(largest)} weight"]
    assert page.locator("#watch-scale").inner_text().split("\n") == expected


def test_why_the_models_answer_so(page, digits, models):
    """Of another digit, and of another logit than the answer, too."""
    for index, chosen in ((3, ""), (0, ""), (0, "3")):
        page.locator("#index").fill(str(index))
        page.keyboard.press("Enter")
        page.locator("#explained").select_option(chosen)
        for name, model in models.items():
            image = digits["test_images"][index]
            digit = int(chosen or logits(model, image).argmax())
            assert_explained(page, name, model, image, digit)
            title = page.locator(f"#why-{name}")
            assert title.inner_text() == TITLES[name]
            why = page.locator(f"#answer-{name} a")
            assert why.get_attribute("href") == f"#why-{name}"
            assert why.get_attribute("aria-label") == f"Why? The layers of {TITLES[name]}"


MISTAKES = """async place => {
    const found = [];
    for (const item of place.querySelectorAll("li")) {
        const image = item.querySelector("img"), canvas = document.createElement("canvas");
        image.loading = "eager";
        await image.decode();
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
        found.push([image.alt, item.innerText.trim(), [...pixels]]);
    }
    return found;
}"""


def test_every_model_has_its_confusion_matrix_and_its_worst_mistakes(page, pipeline, digits):
    section = page.locator("#mistakes")
    assert section.locator("h3").all_inner_texts() == [*TITLES.values()]
    shade = "all => all.map(e => getComputedStyle(e).backgroundColor)"
    scale = section.locator(".scale span").evaluate_all(shade)
    assert len({*scale}) == 5
    for place, model in zip(section.locator(".columns").all(), TITLES, strict=True):
        answers = rows_of(pipeline / paths.predictions(model))
        wrong = [i for i, row in enumerate(answers) if row["predicted"] != row["actual"]]
        worst = sorted(wrong, key=lambda i: -float(answers[i]["probability"]))[:10]
        found = place.evaluate(MISTAKES)
        for index, (alt, text, pixels) in zip(worst, found, strict=True):
            row = answers[index]
            assert alt == f"Test digit {index}, a handwritten {row['actual']}"
            share = f"{float(row['probability']) * 100:.1f} %"
            assert text.split() == [row["actual"], "→", row["predicted"], *share.split()]
            shown = np.array(pixels).reshape(28, 28, 4)[..., 0]
            assert np.abs(shown - digits["test_images"][index].astype(int)).max() <= 4
        said = (
            f"The 10 most certain of {len(wrong):,} mistakes: digit → answer, and its probability"
        )
        assert place.locator("p").inner_text() == said

        pairs = [(int(row["actual"]), int(row["predicted"])) for row in answers]
        actual = [digit for digit, _ in pairs]
        colours = np.array(place.locator("td").evaluate_all(shade)).reshape(10, 10)
        for digit, answer in itertools.product(range(10), repeat=2):
            share = pairs.count((digit, answer)) / actual.count(digit)
            steps = sum(share >= step for step in (0.005, 0.01, 0.02, 0.04, 0.08))
            shaded = steps and digit != answer
            expected = scale[steps - 1] if shaded else "rgba(0, 0, 0, 0)"
            assert colours[digit, answer] == expected, (model, digit, answer)


def test_the_slider_runs_through_the_snapshots(page, pipeline, models):
    slider = page.get_by_role("slider", name="Iteration")
    for name in models:
        page.locator("#watch").get_by_label(TITLES[name], exact=True).check()
        expect(slider).to_have_attribute("max", "15")
        shown = [each for each in models if page.locator(f"#learning-{each}").is_visible()]
        assert shown == [name]
        count = load_tensors(pipeline / paths.snapshots(name))["weight"].shape[1]
        for index in (0, 1, 15):
            slider.fill(str(index))
            assert_watched(page, pipeline, name, index, count)


def test_models_of_other_layers_are_explained_watched_and_told_apart(browser, others, digits):
    """Pooling before the first weights, convolutions of both signs, hidden layers after hidden
    layers, more units than are shown."""
    models = references(others)
    assert list(models) == list(OTHERS)
    with opened(browser, others / paths.REPORT) as page:
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids)) and {"learning-deep", "learning-chart-deep"} <= set(ids)
        assert_exact(page, others, digits["test_images"][:5])
        for index, chosen in ((0, ""), (1, "5")):
            page.locator("#index").fill(str(index))
            page.keyboard.press("Enter")
            page.locator("#explained").select_option(chosen)
            for name, model in models.items():
                image = digits["test_images"][index]
                digit = int(chosen or logits(model, image).argmax())
                assert_explained(page, name, model, image, digit)

        [checked] = page.locator("input[name=watched]:checked").all()
        assert page.evaluate("watched") == checked.get_attribute("value") == "deep-title"
        for name, said, count in (
            ("deep", "conv: the weights of each kernel.", 5),
            ("chart-deep", "layer1: the weights of each unit, the first 30 of 80.", 30),
            ("deep-title", "layer: the weights of each digit.", 10),
            ("7", "conv1: the weights of each kernel.", 70),
        ):
            page.locator(f'#watch input[value="{name}"]').check()
            assert page.locator("#watch-shown").inner_text() == said
            page.get_by_role("slider", name="Iteration").fill("0")
            assert_watched(page, others, name, 0, count)
            shown = [each for each in models if page.locator(f"#learning-{each}").is_visible()]
            assert shown == [name]
        assert serious_faults(page) == []


def test_a_page_of_one_model(browser, pipeline, tmp_path, digits):
    copy_inputs(pipeline, tmp_path)
    keep_models(tmp_path, "cnn")
    with chdir(tmp_path):
        run_stage("report")
    models = references(tmp_path)
    with opened(browser, tmp_path / paths.REPORT) as page:
        expect(page.locator("#verdict")).to_have_text("Test digit 0, a 7. It says 7.")
        assert page.locator("#disputed, input[type=radio]:not(#axes *)").count() == 0
        assert page.locator("#answers > div").count() == 1
        assert page.locator("#explained option").first.inner_text() == "its answer"
        assert_explained(page, "cnn", models["cnn"], digits["test_images"][0], 7)
        page.get_by_label("Next test digit").click()
        expect(page.locator("#verdict")).to_have_text("Test digit 1, a 2. It says 2.")
        page.get_by_role("slider", name="Iteration").fill("1")
        assert_watched(page, tmp_path, "cnn", 1, 4)
        assert "One model" in page.locator("nav").inner_text()
        text = page.locator("body").inner_text()
        words = r"They say|disagree|One models|[Ee](ach|very) model|models (answer|see|learn)"
        assert not re.search(words, text)


def test_a_page_without_pixels_has_nothing_to_draw_on(browser, pipeline, tmp_path):
    """Of models on features alone."""
    copy_inputs(pipeline, tmp_path)
    keep_models(tmp_path, "probe")
    with chdir(tmp_path):
        run_stage("report")
    with opened(browser, tmp_path / paths.REPORT) as page:
        others = "#slide *, .guess *, #cells *, .cases *, #axes *"
        live = f"#draw, #watch, main :is(canvas, input, button):not({others})"
        assert page.locator(live).count() == 0
        links = page.locator('nav a, [href="#features"]').evaluate_all(
            "all => all.map(a => a.hash)"
        )
        assert "#draw" not in links and "#watch" not in links and "#features" in links
        missing = "all => all.filter(a => !document.getElementById(a.hash.slice(1))).length"
        assert page.locator('a[href^="#"]').evaluate_all(missing) == 0
        assert page.locator("#draw, #watch, #explanations").count() == 0
        text = page.locator("body").inner_text()
        assert "No model here sees pixels" in text
        assert not re.search("draw a digit|Watch it learn|instead of its pixels", text)
        figure = page.get_by_alt_text(re.compile("^Weights of Logistic regression on features: "))
        assert figure.count() == 1
        assert serious_faults(page) == []


WATCH = """{
    window.shown = [];
    new MutationObserver(() => shown.push(document.getElementById("iteration").value))
        .observe(document.getElementById("now"), {childList: true, characterData: true});
}"""


def test_play_runs_to_the_end_and_is_not_there_for_those_who_want_no_motion(browser, path, page):
    last = page.locator("#iteration").get_attribute("max")
    page.evaluate(WATCH)
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#iteration")).to_have_value(last)
    expect(page.locator("#play")).to_have_text("Play")
    assert page.evaluate("shown") == [str(index) for index in range(int(last) + 1)]
    with opened(browser, path, reduced_motion="reduce") as still:
        assert still.locator("#play").is_hidden()


def test_the_keyboard_is_enough(page, models):
    """From the top by Tab alone; every stop shows that it is one."""
    stops = []

    def tab_to(name):
        for _ in range(80):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "[document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle,"
                " document.activeElement.outerHTML.slice(0, 80)]"
            )
            assert focused[1] != "none", focused
            stops.append(focused[2])
            if focused[0] == name:
                return
        raise AssertionError(f"{name} is not among {stops}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to("pad")
    expect(page.locator("#pen")).to_be_visible()
    for key in ["ArrowUp"] * 8 + ["Space"] + ["ArrowDown"] * 16 + ["Space"] + ["ArrowLeft"] * 3:
        page.keyboard.press(key)
    expect(page.locator("#verdict")).to_have_text(re.compile("^They say"))
    pixels = seen(page)
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] == 19 and columns[-1] - columns[0] < 5  # the pen was up to the left
    assert answers(page, ["cnn"])["cnn"] == "1"
    page.keyboard.press("Delete")
    expect(page.locator("#verdict")).to_have_text("Draw something.")

    tab_to("next")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Test digit 0")
    tab_to("play")
    tab_to("iteration")
    page.keyboard.press("Home")
    expect(page.locator("#now")).to_contain_text("Iteration 1 of")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#now")).not_to_contain_text("Iteration 1 of")
    tab_to("explained")
    page.keyboard.press("4")
    expect(page.locator('[aria-labelledby="why-cnn"] .sum')).to_contain_text("For 4:")


@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_and_is_accessible(browser, path, models, width):
    with opened(browser, path, width) as page:
        page.locator("#cells button").first.click()
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert serious_faults(page) == []
        outside = page.evaluate(
            "[...document.querySelectorAll('h1, h2, p, button, input, select, canvas, .chart')]"
            ".filter(e => e.offsetParent && !e.closest('#cells'))"  # which scrolls
            ".filter(e => e.getBoundingClientRect().left < 0"
            " || e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML)"
        )
        assert outside == []
        box = page.locator("#pad").bounding_box()
        assert box["width"] == pytest.approx(box["height"]) and box["width"] >= 200
        draw(page, [(0.5, 0.2), (0.5, 0.8)])
        assert answers(page, models)["cnn"] == "1"


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (360, 800)])
def test_the_first_screen_is_to_draw_on(browser, path, width, height):
    with opened(browser, path, width) as page:
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator("#pad").bounding_box()
        assert box["y"] + box["height"] <= height
        assert box["x"] + box["width"] <= width


CONTROLS = "nav, button, input, select, label, .pad, #watch, .hint:not(.seen *), details"
CUT = """height => [...document.querySelectorAll("figure, .guess, .products, tr, .answers > div")]
    .filter(e => e.getBoundingClientRect().height > height
        || !["avoid", "avoid-page"].includes(getComputedStyle(e).breakInside))
    .map(e => e.outerHTML.slice(0, 200))"""
OVER = """width => [...document.querySelectorAll("img, table, canvas, p, .chart")]
    .filter(e => e.offsetParent && e.getBoundingClientRect().right > width + 1)
    .map(e => e.outerHTML.slice(0, 200))"""


def test_on_paper_it_is_a_handout(browser, path):
    """A4 with margins of 15 mm, from a dark screen: black on white, nothing to press, and nothing
    cut by an edge of the paper. The answers stand at the end, and there alone."""
    millimetre = 96 / 25.4
    width, height = round(180 * millimetre), round(267 * millimetre)
    with opened(browser, path, width, color_scheme="dark") as page:
        assert page.locator("#guessed").is_hidden()
        page.locator("#guess-parameters button").first.click()
        page.emulate_media(media="print", color_scheme="dark")
        style = "getComputedStyle(document.body)"
        assert page.evaluate(f"[{style}.backgroundColor, {style}.color]") == [
            "rgb(255, 255, 255)",
            "rgb(0, 0, 0)",
        ]
        shown = page.locator(CONTROLS).filter(visible=True)
        assert {*shown.evaluate_all("all => all.map(e => e.parentElement.className)")} == {
            "options"
        }
        assert page.evaluate(CUT, height) == []
        assert page.evaluate(OVER, width) == []
        assert page.locator(".guess [role=status]").filter(visible=True).count() == 0
        assert page.locator("#guessed").is_visible()
        assert page.locator("main > section").last.get_attribute("id") == "guessed"


VIOLATION = """new Promise(resolve => {
    document.addEventListener(
        "securitypolicyviolation", e => resolve(e.effectiveDirective), {once: true});
    %s;
    setTimeout(resolve, %d, "let through");
})"""


def test_the_page_lets_nothing_through(browser, path):
    """Its policy, and not only its good will, keeps requests and other scripts from it."""
    script = "'<script>1</script>'"
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.goto(path.as_uri())
        for act, directive in (
            ("fetch('http://localhost:1/').catch(() => {})", "connect-src"),
            ("new Image().src = 'http://localhost:1/'", "img-src"),
            ("try { new Worker('data:text/javascript,1') } catch {}", "worker-src"),
            (
                f"document.body.append(document.createRange().createContextualFragment({script}))",
                "script-src-elem",
            ),
        ):
            assert page.evaluate(VIOLATION % (act, PATIENCE * 1000)) == directive
