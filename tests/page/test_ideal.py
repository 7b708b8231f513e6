"""What would excite the models and AlexNet, on the page: pictures that go in the drawing area."""

import io
import re
from base64 import b64decode
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.base.values import percent
from stages.core.learning.models import frozen
from stages.core.learning.trained import load_model
from stages.core.page import ideal

from common import parameters, paths
from common.pages import copy_inputs, needs_chromium, opened, serious_faults
from common.stages import run_stage

LIVE = [name for name in parameters.MODELS if name != "probe"]
TITLES = {name: model["title"] for name, model in parameters.read()["models"].items()}
WAYS = {"ideal": "", "alone": ".alone"}
SEEN = "[...document.getElementById('seen').getContext('2d').getImageData(0, 0, 28, 28).data]"
ROWS = "all => all.map(row => [...row.cells].map(cell => cell.textContent))"


def inputs_of(pipeline, model, way):
    """A model's ideal images for its labels, and its probabilities of them."""
    tensors = load_tensors(pipeline / paths.ideal_inputs(model))
    *_, last = load_model(pipeline / paths.weights(model)).layers
    return tensors[last + WAYS[way]], tensors[f"{last}{WAYS[way]}.probabilities"]


def figure_of(page, model, way):
    return page.locator(f'.ideals[data-model="{model}"][data-way="{way}"]')


@needs_chromium
@pytest.mark.parametrize(("model", "way"), [("cnn", "ideal"), ("probe", "alone")])
def test_an_ideal_digit_goes_in_the_drawing_area_to_the_byte(page, pipeline, model, way):
    images, shares = inputs_of(pipeline, model, way)
    figure = figure_of(page, model, way)
    for digit in (3, 8):
        item = figure.get_by_role("listitem").nth(digit)
        assert item.inner_text().split() == [str(digit), *percent(shares[digit].max()).split()]
        item.get_by_role("link").click()
        name = {"ideal": "ideal", "alone": "noise for"}[way]
        expect(page.locator("#verdict")).to_contain_text(
            f"{TITLES[model]}, {name} {digit}. They say: "
        )
        shown = np.array(page.evaluate(SEEN), np.uint8).reshape(28, 28, 4)[..., 0]
        assert np.array_equal(shown, images[digit])
        assert page.url.endswith("#draw")
    if model in LIVE:
        answer = page.locator(f"#answer-{model} .answer").inner_text()
        assert answer.split() == ["8", *percent(round(float(shares[8].max()), 6)).split()]


@needs_chromium
def test_what_is_drawn_or_picked_next_takes_its_place(page):
    link = figure_of(page, "cnn", "ideal").get_by_role("link")
    link.first.click()
    page.locator("#pad").hover()  # once the page no longer scrolls
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200, steps=4)
    page.mouse.up()
    expect(page.locator("#verdict")).to_have_text(re.compile("^They say"))
    shown = np.array(page.evaluate(SEEN), np.uint8).reshape(28, 28, 4)[..., 0]
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] == 19 and columns[-1] - columns[0] < 5  # the stroke, and no more
    link.last.click()
    expect(page.locator("#verdict")).to_contain_text("CNN, ideal 9. ")
    page.get_by_label("Next test digit").click()
    expect(page.locator("#verdict")).to_contain_text("Test digit 0, a 7. ")


@needs_chromium
def test_the_table_counts_what_each_model_recognises(page, pipeline):
    expect(page.locator("#agreement")).to_be_visible()
    found = page.locator("#agreement tbody tr").evaluate_all(ROWS)
    models = {name: frozen(load_model(pipeline / paths.weights(name))) for name in LIVE}
    expected = []
    for name in models.keys() | {"probe"}:
        for way, habits in (("ideal", "jitter, blur, decay"), ("alone", "nothing")):
            images, _ = inputs_of(pipeline, name, way)
            pixels = torch.from_numpy(images)[:, None] / 255
            counts = [
                str((model(pixels).argmax(1) == torch.arange(10)).sum().item())
                for model in models.values()
            ]
            expected.append([TITLES[name], habits, *counts])
    heads = page.locator("#agreement th[scope=col]").all_inner_texts()
    assert heads[2:] == [TITLES[name] for name in LIVE]
    assert sorted(found) == sorted(expected)


@needs_chromium
def test_a_network_that_is_sure_of_noise_is_said_to_be(page, pipeline):
    right = sure = 0
    for name in parameters.MODELS:
        _, shares = inputs_of(pipeline, name, "alone")
        right += (shares.argmax(1) == np.arange(10)).sum()
        sure += (shares.diagonal() >= 0.9995).sum()
    assert right == sure == 10 * len(parameters.MODELS)
    said = page.locator("#ideal").inner_text().replace("\xa0", " ")
    assert "every image is taken for what it was made for" in said
    assert "with a probability of practically 100 %." in said


@needs_chromium
def test_without_scripts_the_pictures_are_there(browser, path):
    with opened(browser, path, java_script_enabled=False) as page:
        pictures = page.get_by_alt_text("Ideal images of CNN")
        assert pictures.count() == 1 and pictures.is_visible()
        assert page.get_by_alt_text(re.compile("^Ideal images for")).count() == 3 + 5
        assert page.locator("#agreement").is_hidden()


@pytest.fixture
def inputs(pipeline, tmp_path, monkeypatch):
    copy_inputs(pipeline, tmp_path)
    monkeypatch.chdir(tmp_path)


@needs_chromium
def test_answers_that_are_wrong_are_marked_and_counted(browser, inputs, tmp_path):
    path = paths.ideal_inputs("cnn")
    tensors = load_tensors(path)
    shares = tensors["fc.alone.probabilities"]
    shares[3] = np.eye(10, dtype=np.float32)[5] * np.float32(0.75)
    path.unlink()
    save_tensors(tensors, path)
    run_stage("report")
    with opened(browser, tmp_path / paths.REPORT) as page:
        item = figure_of(page, "cnn", "alone").get_by_role("listitem").nth(3)
        assert item.inner_text().replace("\xa0", " ") == "3 → 5 75.0 %"
        assert (
            "39 of 40 are taken for what they were made for" in page.locator("#ideal").inner_text()
        )
        assert serious_faults(page) == []


@pytest.mark.parametrize("stage", ["ideal_inputs@cnn", "alexnet_ideal_inputs"])
def test_files_with_other_tensors_are_refused(inputs, failure, stage):
    path = {
        "ideal_inputs@cnn": paths.ideal_inputs("cnn"),
        "alexnet_ideal_inputs": paths.ALEXNET_IDEAL_INPUTS,
    }[stage]
    path.unlink()
    save_tensors({"conv1": np.zeros((1, 2, 3), np.uint8)}, path)
    assert failure("report").startswith(f"{path} has the tensors ['conv1']; it should have [")


def test_alexnet_s_pictures_show_its_images(pipeline):
    images = load_tensors(pipeline / paths.ALEXNET_IDEAL_INPUTS)
    found = ideal.of_alexnet(pipeline / "artifacts/interpretation")
    assert [layer.side for layer in found] == [11, 51, 99, 131, 163]
    for layer in found:
        assert layer.shown == len(images[layer.layer])
        content = b64decode(layer.picture.uri.partition(",")[2])
        shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)
        zoom = len(shown) // layer.side
        first = images[layer.layer][0].repeat(zoom, axis=0).repeat(zoom, axis=1)
        assert np.abs(shown[:, : len(shown)] - first).mean() < 16


def test_many_channels_of_alexnet_are_cut_to_what_fits(tmp_path):
    noise = np.random.default_rng(0)
    sides = (11, 51, 99, 131, 163)
    path = tmp_path / "alexnet_ideal_inputs/images.safetensors"
    path.parent.mkdir()
    save_tensors(
        {
            f"conv{n}": noise.integers(0, 256, (64, side, side, 3), np.uint8)
            for n, side in enumerate(sides, start=1)
        },
        path,
    )
    found = ideal.of_alexnet(tmp_path)
    assert {layer.shown for layer in found} == {found[0].shown} and 1 <= found[0].shown < 10
    total = sum(len(layer.picture.uri) for layer in found)
    assert found[0].shown == 1 or total <= ideal.ALEXNET_BYTES


def test_hidden_layers_are_left_out_where_there_is_no_room(pipeline, monkeypatch):
    folder = pipeline / "artifacts/interpretation"
    models = {name: load_model(pipeline / paths.weights(name)) for name in ("mlp", "cnn")}
    shown = {name: len(model.hidden) for name, model in ideal.of_models(folder, models).items()}
    assert shown == {"mlp": 1, "cnn": 2}
    monkeypatch.setattr(ideal, "HIDDEN_BYTES", 1000)
    found = ideal.of_models(folder, models)
    assert [len(model.hidden) for model in found.values()] == [0, 0]
    assert all(len(model.answers["ideal"]) == 10 for model in found.values())


def test_the_page_s_part_takes_at_most_150_kb(pipeline):
    page = (pipeline / paths.REPORT).read_text(encoding="utf-8")
    section = page[page.index('<section id="ideal"') :]
    assert len(section[: section.index("</section>")]) < 150_000


def test_a_page_of_features_alone_shows_pictures_and_no_links(pipeline, tmp_path):
    copy_inputs(pipeline, tmp_path)
    params = parameters.read(tmp_path)
    params["models"] = {"probe": params["models"]["probe"]}
    parameters.write(params, tmp_path)
    with chdir(tmp_path):
        run_stage("report")
    page = Path(tmp_path / paths.REPORT).read_text(encoding="utf-8")
    section = page[page.index('<section id="ideal"') :]
    section = section[: section.index("</section>")]
    assert 'href="#draw"' not in section and section.count('<figure class="ideals"') == 2
