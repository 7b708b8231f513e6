"""Where images lie, on the page: every point in its place, which shows its image and its nearest
neighbours when pointed at, by mouse, finger and keyboard."""

import json
from base64 import b64decode
from contextlib import chdir

import numpy as np
import pytest
from playwright.sync_api import expect

from stages.core.base.values import percent
from stages.core.drawing.frame import frames
from stages.core.page import axes

from common import parameters, paths
from common.artifacts import rows_of
from common.own_images import write_own_images
from common.pages import Reader, copy_inputs, needs_chromium, opened, serious_faults
from common.stages import run_stage

TABLE = "The nearest other image has the same label; and the shares of the variance on the axes"
ODD = ["القطط", "<b>&\"'", "猫", "a label that is much longer than what fits into a legend"]
LETTERS = "all => all.map(text => text.textContent)"
PLACES = "all => all.map(text => [Number(text.getAttribute('x')), Number(text.getAttribute('y'))])"
SHOWN = """all => all.map(tile => [
    tile.querySelector("h4").textContent,
    tile.querySelector("b").textContent.replace(/[\\u2068\\u2069]/g, ""),
    tile.querySelector("bdi").textContent,
])"""


@pytest.fixture(scope="module")
def rows(pipeline):
    """The tables of the stage, by what they are of."""
    return {what: rows_of(pipeline / paths.AXES / f"{what}.csv") for what in axes_of()}


def axes_of():
    return ("digits", "moved", "images")


def take(page, what):
    page.locator(f"input[name=axes-set][value={what}]").check()


def expected(rows, index, called):
    """What pointing at an image shows: its label and name, and those of its neighbours."""
    row = rows[index]
    label_of = {each[called]: each["label"] for each in rows}
    near = [row[f"{space}_neighbour"] for space in axes.SPACES]

    def name(each):
        return each.rpartition("/")[2] if called == "path" else f"test digit {each}"

    return [
        ["Pointed at", row["label"], name(row[called])],
        *(
            [f"Nearest by {space}", label_of[other], name(other)]
            for space, other in zip(axes.SPACES, near, strict=True)
        ),
    ]


def test_the_numbers_are_those_of_the_files(pipeline, path):
    metrics = json.loads((pipeline / paths.AXES / "spaces.json").read_text(encoding="utf-8"))
    _, *found = Reader(path.read_text(encoding="utf-8")).tables[TABLE]
    of_table = []
    for what in axes_of():
        for space in axes.SPACES:
            of = metrics[what][space]
            low, high, right, on_axes, first, second = (
                percent(of[name]).replace("\xa0", " ")
                for name in (
                    *(f"neighbour_accuracy_{end}" for end in ("low", "high")),
                    *("neighbour_accuracy", "neighbour_accuracy_on_axes"),
                    *("variance_first", "variance_second"),
                )
            )
            numbers = f"{of['dimensions']:,}"
            of_table.append([numbers, right, f"{low} to {high}", on_axes, first, second])
    assert [row[1:] for row in found] == of_table


@needs_chromium
@pytest.mark.parametrize("what", axes_of())
def test_every_point_is_in_its_place_and_shows_what_it_is(page, rows, what):
    take(page, what)
    of = rows[what]
    called = "path" if what == "images" else "image"
    spaces = [
        np.array([[float(row[f"{space}_{axis}"]) for axis in "xy"] for row in of])
        for space in axes.SPACES
    ]
    for space, places, inside in zip(axes.SPACES, spaces, frames(spaces), strict=True):
        marks = page.locator(f"#axes-{space} .glyph")
        assert marks.evaluate_all(LETTERS) == [row["label"] for row in of]
        found = np.array(marks.evaluate_all(PLACES))
        assert np.abs(found - [inside.pixel(place) for place in places]).max() <= 0.06
        lonely = int(np.argmax(places[:, 0]))  # no other one is as far to the right
        box = page.locator(f"#axes-{space}").bounding_box()
        scale = box["width"] / 512
        page.locator(f"#axes-{space}").hover(
            position={"x": found[lonely][0] * scale - 1, "y": found[lonely][1] * scale - 1}
        )
        tiles = page.locator("#axes-pointed > div")
        assert tiles.evaluate_all(SHOWN) == expected(of, lonely, called)
        same = [of[lonely][f"{each}_right"] == "1" for each in axes.SPACES]
        for tile, right in zip(tiles.all()[1:], same, strict=True):
            expect(tile).to_contain_text("✓ same label" if right else "✗ another label")
        for each in axes.SPACES:
            ring = page.locator(f"#axes-{each} .ring:not(.dashed)")
            at = np.array([float(ring.get_attribute(name)) for name in ("cx", "cy")])
            own = np.array(page.locator(f"#axes-{each} .glyph").evaluate_all(PLACES))[lonely]
            assert (at == own).all()
            expect(page.locator(f"#axes-{each} .near")).not_to_have_class("near none")
    said = page.locator("#axes-said").inner_text()
    assert of[lonely]["label"] in said and "nearest by features" in said


@needs_chromium
def test_digits_are_the_pipeline_s_and_moved_as_there(page, rows, digits):
    """The first in all their pixels, later ones smaller; moved, each where the stage put it."""
    pixels = """canvas => {
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        return [height, Array.from({ length: width * height }, (_, i) => data[4 * i])];
    }"""
    images = digits["test_images"]

    def shown(index):
        mark = page.locator("#axes-pixels .glyph").nth(index)
        mark.dispatch_event("pointerdown", centre(page, index))
        height, values = page.locator("#axes-pointed canvas").first.evaluate(pixels)
        assert page.locator("#axes-pointed bdi").first.inner_text() == f"test digit {index}"
        return np.array(values).reshape(height, -1)

    last = len(rows["digits"]) - 1
    assert np.array_equal(shown(7), images[7])
    small = images[last].reshape(14, 2, 14, 2).mean((1, 3))
    assert np.abs(shown(last) - small).max() <= 17  # of 256, as 16 greys are
    take(page, "moved")
    found = shown(7)
    down, across = (int(rows["moved"][7][name]) for name in ("down", "across"))
    whole = np.zeros((42, 42))
    whole[down : down + 28, across : across + 28] = images[7]
    assert np.array_equal(found, whole)


def centre(page, index):
    """Where an event at a mark lies in the window; the mark's own point must be the nearest."""
    box = page.locator("#axes-pixels").bounding_box()
    x, y = page.locator("#axes-pixels .glyph").evaluate_all(PLACES)[index]
    scale = box["width"] / 512
    return {"clientX": box["x"] + x * scale, "clientY": box["y"] + y * scale, "bubbles": True}


@needs_chromium
def test_every_image_of_the_folder_has_a_picture(page, rows):
    take(page, "images")
    page.locator("#axes-features").focus()
    seen = set()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp") * 3:
        page.keyboard.press(key)
        name = page.locator("#axes-pointed bdi").first.inner_text()
        seen.add(name)
        loaded = "all => Promise.all(all.map(image => image.decode())).then(() => all.length)"
        assert page.locator("#axes-pointed img").evaluate_all(loaded) == 3
    assert len(seen) > 3 and seen <= {row["path"].rpartition("/")[2] for row in rows["images"]}


@needs_chromium
def test_arrow_keys_go_to_the_next_point_in_their_direction(page):
    page.locator("#axes-pixels").focus()
    ring = page.locator("#axes-pixels .ring:not(.dashed)")

    def place():
        return [float(ring.get_attribute(name)) for name in ("cx", "cy")]

    for key, axis, sign in (
        ("ArrowRight", 0, 1),
        ("ArrowLeft", 0, -1),
        ("ArrowUp", 1, -1),
        ("ArrowDown", 1, 1),
    ):
        before = place()
        page.keyboard.press(key)
        after = place()
        step = [b - a for a, b in zip(before, after, strict=True)]
        assert step[axis] * sign > 0 and abs(step[axis]) >= abs(step[1 - axis])
    for _ in range(60):  # to the end, and not beyond it
        page.keyboard.press("ArrowRight")
    last = place()
    page.keyboard.press("ArrowRight")
    assert place() == last


@needs_chromium
def test_a_label_can_be_seen_alone(page, rows):
    button = page.locator("#axes-legend button").nth(3)
    assert button.get_attribute("aria-label") == "3"
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    count = sum(row["label"] == "3" for row in rows["digits"])
    for space in axes.SPACES:
        expect(page.locator(f"#axes-{space} .glyph:not(.quiet)")).to_have_count(count)
    page.locator("#axes-pixels").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")  # only they can be pointed at
        assert page.locator("#axes-pointed b").first.inner_text().strip("\u2068\u2069") == "3"
    button.click()
    expect(page.locator("#axes-pixels .quiet")).to_have_count(0)


@pytest.fixture(scope="module")
def many(pipeline, tmp_path_factory):
    """A page of a folder with odd labels, and others: more than there are marks."""
    folder = tmp_path_factory.mktemp("many") / "project"
    copy_inputs(pipeline, folder)
    labels = [*ODD, *(f"label {number}" for number in range(12))]
    write_own_images(folder, labels, 60)
    with chdir(folder):
        run_stage("report")
    return folder


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1400, "light")])
def test_many_odd_labels_fit_and_are_accessible(browser, many, width, scheme):
    with opened(browser, many / paths.REPORT, width, color_scheme=scheme) as page:
        take(page, "images")
        legend = page.locator("#axes-legend button").all_inner_texts()
        assert len(legend) == 11 and legend[-1].endswith("6 other labels")
        page.locator("#axes-pixels").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#axes-pointed h4")).to_have_count(3)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_faults(page) == []


def test_what_is_not_among_the_points_is_named_by_its_label(pipeline, monkeypatch):
    monkeypatch.setattr(axes, "POINTS", 40)
    results = axes.read_results(*(pipeline / paths.AXES / name for name in axes.FILES))
    some = axes.spread(results.images)
    assert len(some) == 40
    labels = sorted({point.label for point in results.images.values()})
    found = axes.for_script(some, results.images, results.metrics["images"], labels)
    packed = found["spaces"]["pixels"]["neighbours"]
    numbers = np.frombuffer(b64decode(packed["elements"]), "<i2")
    place_of = {point.called: number for number, point in enumerate(some)}
    for number, point in zip(numbers.tolist(), some, strict=True):
        other = point.neighbours["pixels"]
        if other in place_of:
            assert number == place_of[other]
        else:
            assert labels[-2 - number] == results.images[other].label
    assert (numbers < 0).any()


def test_small_pictures_fit_and_are_of_every_label(pipeline, monkeypatch):
    monkeypatch.setattr(axes, "IMAGE_BYTES", 6000)
    params = parameters.read(pipeline)["images"]
    images = [row["path"] for row in rows_of(pipeline / paths.AXES / "images.csv")]
    kept = axes.small_images(images, pipeline / params["path"], params["size"])
    assert sum(len(picture) for picture in kept.values()) < 6000 + 900 * len(kept)
    assert len(kept) > 10 and len({path.partition("/")[0] for path in kept}) >= 6


def test_a_difference_is_only_called_one_if_chance_hardly_makes_it():
    assert axes.better(0, 0) is None
    assert axes.better(10, 20) is None
    assert axes.better(10, 30) == "features"
    assert axes.better(30, 10) == "pixels"
