"""The page says which pixels speak for an answer: live for the digit that is drawn or picked, and
for the cases that the stages found."""

import re
from contextlib import chdir
from unittest.mock import patch

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from stages.core.base.tensors import load_tensors
from stages.core.interpretation.attribution import attribution
from stages.core.learning.models import frozen
from stages.core.learning.trained import load_model
from stages.core.page import models

from common import parameters, paths
from common.artifacts import rows_of
from common.own_images import write_own_images
from common.pages import add_model, copy_inputs, keep_models, needs_chromium, opened, serious_faults
from common.stages import run_stage

pytestmark = [needs_chromium, pytest.mark.usefixtures("one_thread")]

BLACK = torch.zeros(1, 1, 1)
WINDOW, STRIDE = (parameters.read()["attributions"][key] for key in ("window", "stride"))
FOUND = """([model, pixels, answer, rival]) => {
    const x = Float32Array.from(pixels, (pixel) => PIXELS[pixel]);
    const {window, stride} = data.attributions;
    const why = attribution(engines[model], x, [28, 28], answer, rival, window, stride);
    return [why.pair, why.lead, [...why.products.values], [...why.hidden.values]];
}"""
# Of each canvas: its label, and how many colours it has.
PAINTED = """all => all.map(c => {
    const {data} = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    return [c.getAttribute("aria-label"), new Set(new Uint32Array(data.buffer)).size];
})"""


def why(folder, model, pixels, answer=None, rival=None):
    """What the pipeline's own code says."""
    network = frozen(load_model(folder / paths.weights(model)))
    x = torch.from_numpy(pixels)[None] / 255
    explained = network(x[None]).argmax().item() if answer is None else answer
    return attribution(network, x, BLACK, explained, rival, WINDOW, STRIDE)


def lead(value):
    return f"{value:+.2f}".replace("-", "−")


def case(page, place, number):
    """A case in the page, by its place in the list with that id."""
    return page.locator(f"#{place} > li").nth(number)


def expect_live(page, folder, pixels, answer=None, rival=None):
    """The page shows what the pipeline's code finds, for each of its models."""
    live = page.evaluate("data.live")
    assert page.locator("#cases-live > li").count() == len(live) > 0
    for number, model in enumerate(live):
        found = why(folder, model, pixels, answer, rival)
        first, second = found.pair
        said = f"{first} rather than {second}: {lead(found.lead)}"
        shown = case(page, "cases-live", number)
        expect(shown.locator(".case-heading")).to_have_text(said)
        total = found.products.double().sum().item()
        numbers = re.findall(r"[+−][\d.]+\d", shown.locator(".hint").inner_text())
        assert [float(text.replace("−", "-")) for text in numbers] == pytest.approx(
            [total, found.lead - total], abs=0.0051
        )


def test_the_engine_finds_what_the_stage_found_to_the_bit(page, pipeline):
    live = page.evaluate("data.live")
    assert len(live) > 1
    for model in live:
        found = load_tensors(pipeline / paths.attributions(model))
        assert len(found["images"]) > 6
        for place, pixels in enumerate(found["images"]):
            arguments = [model, pixels.ravel().tolist(), *found["pairs"][place].tolist()]
            pair, ahead, products, hidden = page.evaluate(FOUND, arguments)
            assert pair == arguments[2:] and np.float32(ahead) == found["leads"][place]
            assert products == found["gradient_times_input"][place].ravel().tolist()
            assert hidden == found["occlusion"][place].ravel().tolist()


def test_the_digit_is_explained_and_so_is_another_label(page, pipeline, digits):
    images = digits["test_images"]
    expect_live(page, pipeline, images[0])
    page.get_by_label("Next test digit").click()
    expect_live(page, pipeline, images[1])
    page.get_by_label("rather than").select_option("4")
    expect_live(page, pipeline, images[1], rival=4)
    page.get_by_label("Why", exact=True).select_option("9")
    expect_live(page, pipeline, images[1], answer=9, rival=4)
    page.get_by_label("rather than").select_option("9")  # no rival of itself
    expect_live(page, pipeline, images[1], answer=9)
    page.get_by_label("rather than").select_option("the closest rival")
    page.get_by_label("Why", exact=True).select_option("each model's answer")
    expect_live(page, pipeline, images[1])


def test_it_follows_the_pen(page, pipeline):
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.8 * box["height"], steps=9)
    page.mouse.up()
    expect(page.locator("#index")).to_have_value("")
    pixels = np.array(page.evaluate("[...current]"), np.uint8).reshape(28, 28)
    assert pixels.any()
    expect_live(page, pipeline, pixels)
    page.get_by_role("button", name="Clear").click()
    expect_live(page, pipeline, np.zeros((28, 28), np.uint8))
    label = case(page, "cases-live", 0).locator("canvas[role=img]").last
    expect(label).to_have_attribute("aria-label", "occlusion; nothing")


def test_a_button_finds_a_digit_that_a_model_gets_wrong(page, pipeline, digits):
    wrong = []
    for model in page.evaluate("data.live"):
        rows = rows_of(pipeline / paths.predictions(model))[:300]
        wrong += [i for i, row in enumerate(rows) if row["actual"] != row["predicted"]]
    first, second, *_ = sorted({*wrong} - {0})
    for number in (first, second):
        page.get_by_role("button", name="One that a model gets wrong").click()
        expect(page.locator("#index")).to_have_value(str(number))
    expect_live(page, pipeline, digits["test_images"][second])


def test_pictures_are_painted_and_say_what_they_show(page):
    """In words, too: where the map speaks most for the answer, and where for its rival."""
    expect(case(page, "cases-live", 0).locator(".case-heading")).to_contain_text("rather than")
    expect(page.locator("#cases-own .case-heading").last).to_contain_text("rather than")
    painted = page.locator(".cases canvas[role=img]").evaluate_all(PAINTED)
    assert len(painted) % 3 == 0 and len(painted) > 20
    for label, colours in painted:
        assert colours > 3, label
    places = "(top|bottom|middle|left|right|(upper|lower) (left|right))"
    for (image, _), (products, _), (hidden, _) in zip(*[iter(painted)] * 3, strict=True):
        assert image == "the image"
        assert re.match(rf"gradient × input; most for .+: {places}", products)
        assert re.match(rf"occlusion; most for .+: {places}", hidden)
    maps = "['upper left', 'bottom'].map((name, i) => placeOfMost({height: 3, width: 3, values: "
    maps += "Float32Array.of(1, 0, 0, 0, 0, 0, 0, -2, 0)}, i ? -1 : 1) === name)"
    assert page.evaluate(maps) == [True, True]


def test_what_the_stages_found_is_there(page, pipeline):
    features = load_tensors(pipeline / paths.attributions("probe"))
    headings = page.locator("#cases-probe .case-heading").all_inner_texts()
    assert headings == [
        f"{a} rather than {b}: {lead(ahead)}"
        for (a, b), ahead in zip(features["pairs"], features["leads"].tolist(), strict=True)
    ]
    rows = rows_of(pipeline / paths.IMAGE_ATTRIBUTIONS / "images.csv")
    shown = page.locator("#cases-own .case-heading")
    expect(shown).to_have_text(
        [
            f"{row['predicted']} rather than {row['rival']}: {lead(float(row['lead']))}"
            for row in rows
        ]
    )
    assert "The most certain mistakes of the classifier" in page.locator("#pixels").inner_text()


def test_models_with_bends_and_without_room_are_explained_too(browser, pipeline, tmp_path):
    copy_inputs(pipeline, tmp_path)
    keep_models(tmp_path, "logistic")
    bent = {
        "pool": {"kind": "avg_pool", "window": 2},
        "conv": {"kind": "conv", "channels": 3, "kernel": 3, "padding": 0, "stride": 2},
        "tanh": {"kind": "tanh"},
        "drop": {"kind": "dropout", "p": 0.5},
        "out": {"kind": "linear", "units": 10},
    }
    add_model(tmp_path, "bent", bent, "Bent")
    add_model(
        tmp_path, "large", {"hidden": bent["out"] | {"units": 40}, "out": bent["out"]}, "Large"
    )
    write_own_images(tmp_path, ["القطط", "<b>&\"'"], 40, wrong=0)
    with chdir(tmp_path), patch.object(models, "WEIGHT_BYTES", 100_000):
        run_stage("report")
    with opened(browser, tmp_path / paths.REPORT) as page:
        assert page.evaluate("data.live") == ["logistic", "bent"]
        digit = load_tensors(tmp_path / paths.DIGITS)["test_images"][0]
        expect_live(page, tmp_path, digit)
        hints = page.locator("#cases-live .hint")
        expect(hints.nth(0)).to_have_text(re.compile("comes from biases.$"))
        expect(hints.nth(1)).to_have_text(re.compile("from biases and from the bends of tanh.$"))
        assert page.locator("#cases-large > li").count() == 12
        section = page.locator("#pixels").inner_text()
        assert "It has no room in this page to answer live." in section
        assert "makes no mistake on its test images" in section
        heading = page.locator("#cases-own .case-heading").first
        expect(heading).to_contain_text("<b>&\"' rather than القطط: +")
        assert serious_faults(page) == []
