"""The page in a browser: the models that answer in it, and every way to use it."""

import base64
import re

from stages.core.numerics.pinned import torch

import numpy as np
import pytest
from playwright.sync_api import expect

from stages.core.base.tensors import load_tensors
from stages.core.learning.models import CNN, MLP, LogisticRegression

from common import paths
from common.artifacts import rows_of
from common.pages import needs_chromium, opened, serious_faults
from common.processes import PATIENCE

pytestmark = needs_chromium

LIVE = {"logistic": LogisticRegression, "mlp": lambda: MLP(30), "cnn": CNN}
PIXELS = "[...document.getElementById('seen').getContext('2d').getImageData(0, 0, 28, 28).data]"


@pytest.fixture(scope="module")
def path(pipeline):
    return pipeline / paths.REPORT


@pytest.fixture
def page(browser, path):
    with opened(browser, path) as page:
        yield page


@pytest.fixture(scope="module")
def digits(pipeline):
    return load_tensors(pipeline / paths.DIGITS)


@pytest.fixture(scope="module")
def models(pipeline):
    found = {}
    for name, build in LIVE.items():
        weights = load_tensors(pipeline / paths.weights(name))
        found[name] = build()
        found[name].load_state_dict({key: torch.from_numpy(w) for key, w in weights.items()})
    return found


def seen(page):
    """The pixels that the models see, as the page shows them."""
    return np.array(page.evaluate(PIXELS), np.uint8).reshape(28, 28, 4)[..., 0]


def logits(model, pixels):
    with torch.inference_mode():
        return model(torch.from_numpy(pixels.astype(np.float32) / 255).view(-1, 1, 28, 28))


def answers(page):
    """The digit that each model answers, as the page shows it."""
    return {name: page.locator(f"#answer-{name} .answer").inner_text().split()[0] for name in LIVE}


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


def test_the_models_answer_as_torch_does(page, digits, models):
    """To 1e-4 on the logits of 200 test digits; in fact to about 1e-5."""
    images = digits["test_images"][:200]
    for name, model in models.items():
        found = page.evaluate(
            "name => Array.from({length: 200}, (_, i) => [...forward(name, testDigit(i)).logits])",
            name,
        )
        assert np.abs(np.array(found) - logits(model, images).numpy()).max() < 1e-4, name
    assert page.evaluate("data.digits.labels") == digits["test_labels"][:300].tolist()


def test_a_picked_digit_is_shown_answered_and_told(page, digits, models):
    for action, index in (
        (lambda: None, 0),
        (lambda: page.get_by_label("Next test digit").click(), 1),
        (lambda: page.get_by_label("Previous test digit").click(), 0),
        (lambda: page.get_by_label("Previous test digit").click(), 299),
        (lambda: (page.locator("#index").fill("115"), page.keyboard.press("Enter")), 115),
        (lambda: (page.locator("#index").fill("9999"), page.keyboard.press("Enter")), 299),
    ):
        action()
        image, label = digits["test_images"][index], digits["test_labels"][index]
        expect(page.locator("#verdict")).to_contain_text(f"Test digit {index}, a {label}.")
        assert np.array_equal(seen(page), image)
        expected = {name: str(logits(m, image).argmax().item()) for name, m in models.items()}
        assert answers(page) == expected
        for name, model in models.items():
            shown = page.locator(f"#answer-{name} .bars li span:last-child").all_inner_texts()
            shares = [float(text.removesuffix(" %")) / 100 for text in shown]
            assert shares == pytest.approx(logits(model, image).softmax(1)[0].tolist(), abs=6e-4)


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
    assert answers(page) == {
        name: str(logits(model, pixels).argmax().item()) for name, model in models.items()
    }
    assert answers(page)["cnn"] == "1"
    expect(page.locator("#verdict")).not_to_contain_text("Test digit")

    draw(page, [(0.2, 0.15), (0.5, 0.15)])  # adds to the ink that is there
    assert seen(page)[:, :12].sum() > pixels[:, :12].sum()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#verdict")).to_have_text("Draw something.")
    assert not seen(page).any() and set(answers(page).values()) == {"–"}


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


def test_why_the_logistic_regression_answers_so(page, digits, pipeline):
    """The maps have the colours of weight × pixel, and below them stand their sums."""
    page.locator("#index").fill("3")
    page.keyboard.press("Enter")
    weights = load_tensors(pipeline / paths.weights("logistic"))
    products = weights["layer.weight"] * (digits["test_images"][3].ravel() / np.float32(255))
    tiles = page.locator("#logistic-tiles li").all()
    assert len(tiles) == 10
    largest = np.abs(products).max()
    assert page.locator("#logistic-scale").inner_text().startswith(f"−{largest:.2f}")
    for digit, (tile, product) in enumerate(zip(tiles, products, strict=True)):
        text = re.fullmatch(r"(\d): (\S+)\n(\S+), bias (\S+)", tile.inner_text().strip())
        assert text[1] == str(digit)
        logit, total, bias = map(minus, text.groups()[1:])
        assert total == pytest.approx(product.sum(), abs=0.006)
        assert bias == pytest.approx(weights["layer.bias"][digit], abs=0.006)
        assert logit == pytest.approx(total + bias, abs=0.011)
        colours = page.evaluate(
            "c => [...c.getContext('2d').getImageData(0, 0, 28, 28).data]",
            tile.locator("canvas").element_handle(),
        )
        red, _, blue, _ = np.array(colours, int).reshape(784, 4).T
        strong = np.abs(product) > largest / 4
        assert (red[strong & (product > 0)] > blue[strong & (product > 0)]).all()
        assert (red[strong & (product < 0)] < blue[strong & (product < 0)]).all()
        assert set(zip(red[product == 0], blue[product == 0], strict=True)) <= {(247, 247)}


def test_why_the_mlp_and_the_cnn_answer_so(page, digits, models):
    """Activations are torch's, and what the parts add is the logit; of another digit too."""
    x = torch.from_numpy(digits["test_images"][0] / np.float32(255)).view(1, 1, 28, 28)
    mlp, cnn = models["mlp"], models["cnn"]
    with torch.no_grad():
        hidden = mlp.layer1(x.flatten(1)).relu()[0]
        first = torch.relu(torch.nn.functional.max_pool2d(cnn.conv1(x), 2))
        second = torch.relu(torch.nn.functional.max_pool2d(cnn.conv2(first), 2))[0]
        logits_of = {"mlp": mlp(x)[0], "cnn": cnn(x)[0]}
    for chosen, digit in (("", 7), ("3", 3)):
        page.locator("#explained").select_option(chosen)
        texts = page.locator("#mlp-tiles li").all_inner_texts()
        assert len(texts) == 30
        for unit, text in enumerate(texts):
            said = re.match(rf"\s*unit {unit}: (\S+)\s+(adds (\S+)|silent)", text)
            assert float(said[1]) == pytest.approx(hidden[unit].item(), abs=0.006)
            if said[3]:
                part = hidden[unit] * mlp.layer2.weight[digit, unit]
                assert minus(said[3]) == pytest.approx(part.item(), abs=0.006)
            else:
                assert hidden[unit] == 0
        texts = page.locator("#cnn-tiles-1 li").all_inner_texts()
        assert len(texts) == 8 and page.locator("#cnn-tiles-0 li").count() == 4
        parts = (cnn.fc.weight[digit] * second.flatten()).view(8, 49).sum(1)
        for text, part in zip(texts, parts, strict=True):
            assert minus(text.split()[-1]) == pytest.approx(part.item(), abs=0.006)
        for name in ("mlp", "cnn"):
            said = page.locator(f"#{name}-sum").inner_text()
            assert said.startswith(f"For {digit}: ")
            logit = minus(re.search(r"the logit is (\S+)\.$", said)[1])
            assert logit == pytest.approx(logits_of[name][digit].item(), abs=0.006)
    shades = page.evaluate(
        "[...document.querySelectorAll('#cnn-tiles-0 canvas')].map(c => "
        "[...c.getContext('2d').getImageData(0, 0, 14, 14).data])"
    )
    shown = np.array(shades).reshape(4, 14, 14, 4)[..., 0]
    assert np.abs(shown - (first[0] / first.max() * 255).numpy()).max() <= 1


def test_the_slider_runs_through_the_snapshots(page, pipeline):
    curve = {int(row["iteration"]): row for row in rows_of(pipeline / paths.curves("mlp"))}
    snapshots = load_tensors(pipeline / paths.snapshots("mlp"))
    page.get_by_label("MLP", exact=True).check()
    slider = page.get_by_role("slider", name="Iteration")
    expect(slider).to_have_attribute("max", "15")
    assert page.locator("#watch-tiles li").count() == 30
    largest = np.abs(snapshots["weight"]).max()
    before = None
    for index in (0, 1, 15):
        slider.fill(str(index))
        iteration = snapshots["iteration"][index]
        row = curve[iteration]
        expect(page.locator("#now")).to_have_text(
            f"Iteration {iteration} of 93: loss {float(row['loss']):.2f}, "
            f"{float(row['train_accuracy']) * 100:.1f} % of the training images, "
            f"{float(row['val_accuracy']) * 100:.1f} % of the validation images."
        )
        expect(slider).to_have_attribute("aria-valuetext", f"iteration {iteration} of 93")
        dot = page.locator("#learning-chart-mlp .dot-1")
        place = float(dot.get_attribute("cx")), float(dot.get_attribute("cy"))
        assert place == (
            round(56 + iteration / 93 * 490, 1),
            round(270 - float(row["val_accuracy"]) * 236, 1),
        )
        assert place != before
        before = place
        shown = page.evaluate(
            "c => [...c.getContext('2d').getImageData(0, 0, 28, 28).data]",
            page.locator("#watch-tiles canvas").nth(2).element_handle(),
        )
        red, _, blue, _ = np.array(shown, int).reshape(784, 4).T
        weight = snapshots["weight"][index, 2]
        strong = np.abs(weight) > largest / 10
        assert ((red > blue) == (weight > 0))[strong].all()
    assert page.locator("#learning-chart-logistic").is_hidden()


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
    tab_to("play")
    tab_to("iteration")
    page.keyboard.press("Home")
    expect(page.locator("#now")).to_contain_text("Iteration 1 of")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#now")).not_to_contain_text("Iteration 1 of")

    tab_to("pad")
    expect(page.locator("#pen")).to_be_visible()
    for key in ["ArrowUp"] * 8 + ["Space"] + ["ArrowDown"] * 16 + ["Space"] + ["ArrowLeft"] * 3:
        page.keyboard.press(key)
    expect(page.locator("#verdict")).to_have_text(re.compile("^They say"))
    pixels = seen(page)
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] == 19 and columns[-1] - columns[0] < 5  # the pen was up to the left
    assert answers(page)["cnn"] == "1"
    page.keyboard.press("Delete")
    expect(page.locator("#verdict")).to_have_text("Draw something.")

    tab_to("next")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Test digit 0")
    tab_to("explained")
    page.keyboard.press("4")
    expect(page.locator("#cnn-sum")).to_contain_text("For 4:")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_and_is_accessible(browser, path, width, scheme):
    with opened(browser, path, width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        outside = page.evaluate(
            "[...document.querySelectorAll('h1, h2, p, button, input, select, canvas, .chart')]"
            ".filter(e => e.offsetParent && (e.getBoundingClientRect().left < 0"
            " || e.getBoundingClientRect().right > innerWidth)).map(e => e.outerHTML)"
        )
        assert outside == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert serious_faults(page) == []
        box = page.locator("#pad").bounding_box()
        assert box["width"] == pytest.approx(box["height"]) and box["width"] >= 200
        draw(page, [(0.5, 0.2), (0.5, 0.8)])
        assert answers(page)["cnn"] == "1"


VIOLATION = """new Promise(resolve => {
    document.addEventListener("securitypolicyviolation", e => resolve(e.effectiveDirective));
    %s;
    setTimeout(resolve, %d, "let through");
})"""


@pytest.mark.parametrize(
    ("act", "directive"),
    [
        ("fetch('http://localhost:1/').catch(() => {})", "connect-src"),
        ("new Image().src = 'http://localhost:1/'", "img-src"),
        (
            "document.body.append(document.createRange().createContextualFragment("
            "'<script>1</script>'))",
            "script-src-elem",
        ),
    ],
)
def test_the_page_lets_nothing_through(browser, path, act, directive):
    """Its policy, and not only its good will, keeps requests and other scripts from it."""
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.goto(path.as_uri())
        found = page.evaluate(VIOLATION % (act, PATIENCE * 1000))
    assert found == directive
