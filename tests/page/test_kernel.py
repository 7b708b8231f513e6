"""Slide the kernel yourself: what the page computes is what torch does, and every way to use it."""

import base64
import re
from contextlib import chdir
from itertools import cycle, product

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from stages.core.base.tensors import load_tensors
from stages.core.learning.trained import load_model

from common import paths
from common.pages import add_model, copy_inputs, keep_models, needs_chromium, opened, serious_faults
from common.stages import run_stage

pytestmark = needs_chromium

BY_HAND = {
    "Identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "Horizontal edges": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "Vertical edges": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Edges of any direction (Laplacian)": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "Blur": [[0.04] * 5] * 5,
    "Sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "Emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
}
SETTINGS = [  # padding, stride, pooling, window
    (1, 1, "", 2),
    (0, 1, "max", 2),
    (3, 2, "average", 3),
    (2, 3, "max", 5),
    (16, 4, "", 2),
    (0, 16, "average", 2),
]
FOUND = """({side: slid.output.side, bytes: btoa(Array.from(
    new Uint8Array(slid.output.values.buffer), byte => String.fromCharCode(byte)).join(""))})"""
MARK = """id => { const {style} = document.getElementById(id);
    return ["top", "left", "width", "height"].map(key => parseFloat(style[key])); }"""
COLOURS = """id => { const c = document.getElementById(id);
    return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]; }"""


@pytest.fixture(scope="module")
def photo(pipeline):
    """What the page has of the photograph: side × side, from 0 to 1."""
    grey = Image.open(pipeline / paths.PHOTO).convert("L")
    return torch.from_numpy(np.asarray(grey.reduce(5)) / 255)


@pytest.fixture(scope="module")
def kernels(pipeline):
    """Every kernel that the reader can take, by its name."""
    found = {name: torch.tensor(rows, dtype=torch.double) for name, rows in BY_HAND.items()}
    trained = load_model(pipeline / paths.weights("cnn")).weights["conv1.weight"]
    found |= {f"CNN, kernel {i}": torch.from_numpy(k[0]).double() for i, k in enumerate(trained)}
    filters = load_tensors(pipeline / paths.ALEXNET)["features.0.weight"]
    for number in [31, 39, 63, 25, 33, 41]:
        found[f"AlexNet, filter {number}"] = torch.from_numpy(filters[number]).double().sum(0)
    return found


def sums_of(photo, kernel, padding, stride):
    return torch.nn.functional.conv2d(
        photo[None, None], kernel[None, None], padding=padding, stride=stride
    )


def pooled(sums, pooling, window):
    pool = {
        "": lambda maps, _: maps,
        "max": torch.nn.functional.max_pool2d,
        "average": torch.nn.functional.avg_pool2d,
    }[pooling]
    return pool(sums, window)[0, 0]


def settle(page, padding, stride, pooling, window):
    page.locator("#slide-pooling").select_option(pooling or "none")
    fields = {"padding": padding, "stride": stride} | ({"window": window} if pooling else {})
    for name, value in fields.items():
        page.locator(f"#slide-{name}").fill(str(value))


def take(page, name):
    page.locator("#slide-preset").select_option(label=name)


def output(page):
    found = page.evaluate(FOUND)
    values = np.frombuffer(base64.b64decode(found["bytes"])).copy()
    return torch.from_numpy(values).view(found["side"], found["side"])


def numbers(page, name):
    """What a table of numbers shows."""
    texts = page.locator(f"#slide-{name} td").all_inner_texts()
    values = torch.tensor([float(text.replace("−", "-")) for text in texts])
    side = round(len(texts) ** 0.5)
    return values.view(side, side)


def last_number(text):
    return float(text.rpartition(" ")[2].replace("−", "-"))


def close(found, expected, tolerance=0.00501):
    return found.shape == expected.shape and (found - expected).abs().max() < tolerance


def test_the_kernels_to_take_are_those_made_by_hand_and_the_trained_ones(page, kernels):
    names = page.locator("#slide-preset option").all_inner_texts()
    assert names == ["Your own", *kernels]
    groups = page.locator("#slide-preset optgroup").evaluate_all("all => all.map(g => g.label)")
    assert groups == [
        "Made by hand",
        "CNN: conv1, learned from digits",
        "AlexNet: first layer, learned from photographs",
    ]


def assert_as_torch(page, photo, name, kernel, settings):
    """The output, and the formula of its side."""
    take(page, name)
    settle(page, *settings)
    padding, stride, pooling, window = settings
    sums = sums_of(photo, kernel, padding, stride)
    expected = pooled(sums, pooling, window)
    assert close(output(page), expected, 1e-6), (name, settings)
    n, k, side = len(photo), len(kernel), sums.shape[-1]
    assert page.locator("#slide-formula").inner_text() == (
        f"⌊({n} + 2 · {padding} − {k}) / {stride}⌋ + 1 = {side}"
    )
    after = page.locator("#slide-pooled")
    assert after.is_visible() == bool(pooling)
    if pooling:
        assert after.inner_text() == f"⌊{side} / {window}⌋ = {len(expected)}"
    size = page.evaluate("['slide-input', 'slide-output'].map(id => $(id).width)")
    assert size == [n + 2 * padding, len(expected)]


def test_the_output_is_that_of_torch(page, photo, kernels):
    for (name, kernel), settings in zip(kernels.items(), cycle(SETTINGS)):
        assert_as_torch(page, photo, name, kernel, settings)


@pytest.mark.slow
def test_the_output_is_that_of_torch_whatever_the_settings(page, photo, kernels):
    for (name, kernel), settings in product(kernels.items(), SETTINGS):
        assert_as_torch(page, photo, name, kernel, settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Vertical edges", (1, 1, "", 2)),
        ("Blur", (2, 2, "max", 3)),
        ("Emboss", (0, 3, "average", 2)),
    ],
)
def test_a_place_of_the_output_shows_patch_products_and_sum(page, photo, kernels, name, settings):
    """With the mouse; the frames lie where the patch and the place are."""
    padding, stride, pooling, window = settings
    take(page, name)
    settle(page, *settings)
    kernel = kernels[name]
    k, step = len(kernel), window if pooling else 1
    seen = torch.nn.functional.pad(photo, [padding] * 4)
    sums = sums_of(photo, kernel, padding, stride)[0, 0]
    expected = pooled(sums[None, None], pooling, window)
    side = len(expected)
    canvas = page.locator("#slide-output")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for row, column in ((0, 0), (side - 1, 3), (side // 3, side // 2)):
        page.mouse.move(
            box["x"] + (column + 0.5) / side * box["width"],
            box["y"] + (row + 0.5) / side * box["height"],
        )
        block = sums[row * step :, column * step :][:step, :step]
        at = block.argmax().item() if pooling == "max" else 0
        top, left = ((row * step + at // step) * stride, (column * step + at % step) * stride)
        patch = seen[top : top + k, left : left + k]
        where = page.locator("#slide-where").inner_text()
        assert where.startswith(f"Row {row}, column {column} of the output is ")
        first, last = top - padding, top - padding + k - 1
        assert f"rows {first} to {last} ".replace("-", "−") in where
        assert close(numbers(page, "patch"), patch)
        assert close(numbers(page, "weights"), kernel)
        assert close(numbers(page, "products"), patch * kernel)
        said = page.locator("#slide-sum").inner_text()
        assert said.startswith(f"Sum of the {k * k} products: ")
        assert last_number(said) == pytest.approx((patch * kernel).sum().item(), abs=0.00501)
        assert page.locator("#slide-sums").is_visible() == bool(pooling)
        if pooling:
            assert close(numbers(page, "sums"), block)
            value = re.search(r"output is (\S+), the (largest|mean) of ", where)[1]
            assert last_number(value) == pytest.approx(expected[row, column].item(), abs=0.00501)
            marked = page.locator("#slide-sums td").evaluate_all(
                "all => all.findIndex(cell => cell.classList.contains('marked'))"
            )
            assert marked == (at if pooling == "max" else -1)
            reach = (step - 1) * stride + k
            places = [row * step * stride, column * step * stride, reach, reach]
            assert np.allclose(
                page.evaluate(MARK, "slide-reach"), np.array(places) / len(seen) * 100, atol=0.01
            )
        for mark, places, length in (
            ("slide-mark", [top, left, k, k], len(seen)),
            ("slide-place", [row, column, 1, 1], side),
        ):
            found = page.evaluate(MARK, mark)
            assert np.allclose(found, np.array(places) / length * 100, atol=0.01)


def test_the_colours_are_those_of_the_scale(page, photo, kernels):
    """Red and blue for both signs, grey for one, and a photograph where its brightness is kept."""
    for name in ("Vertical edges", "Sharpen", "CNN, kernel 2"):
        take(page, name)
        expected = pooled(sums_of(photo, kernels[name], 1, 1), "", 2)
        colours = torch.tensor(page.evaluate(COLOURS, "slide-output")).view(*expected.shape, 4)
        red, green, blue, _ = colours.unbind(-1)
        scale = page.locator("#slide-scale").inner_text().split("\n")
        if name == "Vertical edges":
            largest = expected.abs().max().item()
            assert scale == [f"−{largest:.2f}", f"+{largest:.2f}"]
            assert ((red > blue) == (expected > 0))[expected.abs() > 0.1].all()
            i, j = divmod(expected.abs().argmax().item(), len(expected))
            assert {*colours[i, j, :3].tolist()} in ({103, 0, 31}, {5, 48, 97})
        else:
            largest = 1 if name == "Sharpen" else expected.max().item()
            end = f"{largest:.2f}{' and beyond' if name == 'Sharpen' else ''}"
            assert scale == ["0.00", end]
            assert (red == green).all() and (red == blue).all()
            assert (red - (expected / largest).clamp(0, 1) * 255).abs().max() <= 1


def test_a_kernel_of_ones_own(page, photo, kernels):
    """Typed weight by weight; a size keeps the middle of a kernel, or puts zeros around it."""
    take(page, "Sharpen")
    page.get_by_label("Weight in row 1, column 2").fill("0.5")
    own = kernels["Sharpen"].clone()
    own[1, 2] = 0.5
    expect(page.locator("#slide-preset")).to_have_value("")
    assert close(output(page), pooled(sums_of(photo, own, 1, 1), "", 2), 1e-9)
    page.locator("#slide-side").select_option("5 × 5")
    wide = torch.nn.functional.pad(own, [1] * 4)
    assert close(output(page), pooled(sums_of(photo, wide, 1, 1), "", 2), 1e-9)
    assert page.locator("#slide-kernel input").count() == 25
    page.locator("#slide-side").select_option("1 × 1")
    assert close(output(page), pooled(sums_of(photo, own[1:2, 1:2], 1, 1), "", 2), 1e-9)
    take(page, "AlexNet, filter 25")
    assert page.locator("#slide-kernel input").count() == 0
    assert page.locator("#slide-filters, #slide-too-many").filter(visible=True).count() == 2
    page.locator("#slide-side").select_option("7 × 7")
    middle = kernels["AlexNet, filter 25"][2:-2, 2:-2]
    assert close(output(page), pooled(sums_of(photo, middle, 1, 1), "", 2), 1e-6)
    assert page.locator("#slide-filters, #slide-too-many").filter(visible=True).count() == 0


def test_a_wrong_field_is_told_beside_it_and_changes_nothing(page):
    before = page.evaluate(FOUND)
    padding, problem = page.locator("#slide-padding"), page.locator("#slide-no-padding")
    for typed in ("", "-1", "1.5", "17"):
        padding.fill(typed)
        expect(problem).to_have_text("Type a whole number from 0 to 16.")
        expect(padding).to_have_attribute("aria-invalid", "true")
        assert page.evaluate(FOUND) == before
    padding.fill("")
    padding.press_sequentially("e")  # the browser takes this for no number
    expect(problem).to_have_text("Type a whole number from 0 to 16.")
    padding.fill("1")
    expect(problem).to_be_empty()
    expect(padding).to_have_attribute("aria-invalid", "false")
    page.locator("#slide-stride").fill("0")
    expect(page.locator("#slide-no-stride")).to_have_text("Type a whole number from 1 to 16.")
    page.locator("#slide-stride").fill("1")

    weight = page.get_by_label("Weight in row 2, column 0")
    weight.fill("")
    expect(page.locator("#slide-no-weight")).to_have_text("Row 2, column 0: type a number.")
    expect(weight).to_have_attribute("aria-invalid", "true")
    assert page.evaluate(FOUND) == before
    weight.fill("-1")
    expect(page.locator("#slide-no-weight")).to_be_empty()
    assert page.evaluate(FOUND) == before

    page.locator("#slide-stride").fill("16")  # 127 + 2 - 3 = 126 pixels: 8 places
    page.locator("#slide-pooling").select_option("max")
    page.locator("#slide-window").fill("9")
    said = "The map before it is only 8 × 8: no window fits."
    expect(page.locator("#slide-no-window")).to_have_text(said)
    page.locator("#slide-window").fill("8")
    expect(page.locator("#slide-no-window")).to_be_empty()
    assert output(page).shape == (1, 1)
    page.locator("#slide-window").fill("99")
    page.locator("#slide-pooling").select_option("none")
    expect(page.locator("#slide-no-window")).to_be_empty()
    expect(page.locator("#slide-window")).to_be_disabled()


SAID = """() => {
    window.said = [];
    new MutationObserver(() => said.push(document.getElementById("slide-said").textContent))
        .observe(document.getElementById("slide-said"), {childList: true});
}"""
MOVES = """document.getElementById("slide-output").dispatchEvent(
    new KeyboardEvent("keydown", {key: "ArrowRight"}));"""


def test_arrow_keys_move_and_are_told_once_they_rest(page):
    status = page.locator("#slide-said")
    page.evaluate(SAID)
    page.locator("#slide-output").focus()
    for key, place in (
        ("ArrowRight", "Row 63, column 64"),
        ("ArrowDown", "Row 64, column 64"),
        ("Shift+ArrowLeft", "Row 64, column 54"),
        ("Shift+ArrowUp", "Row 54, column 54"),
    ):
        page.keyboard.press(key)
        expect(page.locator("#slide-where")).to_have_text(re.compile(f"^{place} of the output"))
    page.evaluate(MOVES * 30)  # no time passes in between
    sum_shown = last_number(page.locator("#slide-sum").inner_text())
    expect(status).to_have_text(re.compile(r"^Row 54, column 84: "))
    assert last_number(status.inner_text()) == sum_shown
    assert page.evaluate("said").count("Row 54, column 84: " + status.inner_text().split()[-1]) == 1
    assert not [text for text in page.evaluate("said") if "column 70" in text or "127" in text]
    page.locator("#slide-padding").fill("0")
    expect(status).to_have_text("The output is 125 × 125.")
    page.locator("#slide-padding").fill("1")
    page.evaluate(MOVES * 300)  # it stops at the edge
    expect(page.locator("#slide-where")).to_have_text(re.compile("^Row 5., column 126 of"))


def test_a_finger_points(browser, path):
    with opened(browser, path, 360, has_touch=True) as page:
        canvas = page.locator("#slide-output")
        canvas.scroll_into_view_if_needed()
        box, before = canvas.bounding_box(), page.evaluate("scrollY")
        finger = page.context.new_cdp_session(page)
        for kind, share in (("touchStart", 0.3), ("touchMove", 0.5), ("touchMove", 0.75)):
            point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + share * box["height"]}
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect(page.locator("#slide-where")).to_have_text(re.compile("^Row 95, column 63 of"))
        assert page.evaluate("scrollY") == before


def test_models_of_other_layers_give_their_kernels(browser, pipeline, tmp_path):
    """By the kind of their first layer with weights; a page without models has the others."""
    layers = {
        "shrink": {"kind": "avg_pool", "window": 2},
        "first": {"kind": "conv", "channels": 3, "kernel": 4, "padding": 0, "stride": 2},
        "fc": {"kind": "linear", "units": 10},
    }
    large = {"big": layers["first"] | {"channels": 2, "kernel": 9}, "fc": layers["fc"]}
    copy_inputs(pipeline, tmp_path)
    keep_models(tmp_path, "logistic")
    add_model(tmp_path, "pooled", layers, "Even")
    add_model(tmp_path, "large", large, "Large")
    with chdir(tmp_path):
        run_stage("report")
    photo = torch.from_numpy(
        np.asarray(Image.open(pipeline / paths.PHOTO).convert("L").reduce(5)) / 255
    )
    with opened(browser, tmp_path / paths.REPORT) as page:
        groups = page.locator("#slide-preset optgroup").evaluate_all("all => all.map(g => g.label)")
        assert sorted(groups[1:-1]) == [
            "Even: first, learned from digits",
            "Large: big, learned from digits",
        ]
        for name, model, layer, index in (
            ("Even, kernel 2", "pooled", "first", 2),
            ("Large, kernel 0", "large", "big", 0),
        ):
            take(page, name)
            weights = load_model(tmp_path / paths.weights(model)).weights[f"{layer}.weight"]
            kernel = torch.from_numpy(weights[index, 0]).double()
            assert close(output(page), pooled(sums_of(photo, kernel, 1, 1), "", 2), 1e-9)
        assert serious_faults(page) == []
