"""What excites a unit, on the page: the numbers and pictures are those of the files."""

import base64
import io
import re
from contextlib import chdir

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from stages.core.base.files import write_csv
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.page.page import GREYS
from stages.core.page.patches import SHEET_BYTES, nested, place_of, seen_of, small_jpeg

from common import parameters, paths
from common.artifacts import rows_of
from common.pages import Reader, add_model, copy_inputs, keep_models, needs_chromium, opened
from common.stages import run_stage

ALEXNET = paths.INTERPRETATION / "alexnet_patches"
MODELS = paths.INTERPRETATION / "patches"
CONV = {"kind": "conv", "channels": 3, "kernel": 5, "padding": 0, "stride": 1}
FC = {"kind": "linear", "units": 10}


def section_of(path):
    page = path.read_text(encoding="utf-8")
    found = page[page.index('<section id="patches"') :]
    return found[: found.index("</section>")]


def said_in(section):
    text = re.sub("<[^>]*>", "", section.replace("&nbsp;", " ").replace("\xa0", " "))
    return " ".join(text.split())


def pictures_in(section):
    """By the first words of their alternative."""
    found = re.findall(r'<img[^>]*src="data:image/(\w+);base64,([^"]*)"[^>]*alt="([^"]*)"', section)
    return {
        alternative: (kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))))
        for kind, content, alternative in found
    }


@pytest.fixture(scope="module")
def section(path):
    return section_of(path)


def test_the_receptive_fields_are_those_of_the_file(pipeline, path):
    read = Reader(path.read_text(encoding="utf-8"))
    caption = (
        "The receptive fields of AlexNet's layers, in pixels. "
        "The step is from one unit's to the next one's."
    )
    _, *rows = read.tables[caption]
    assert rows == [
        [row["layer"], *(text for text in (f"{row['kernel']} × {row['kernel']}", row["stride"]))]
        + [f"{row['size']} × {row['size']}", row["step"]]
        for row in rows_of(pipeline / ALEXNET / "receptive_fields.csv")
    ]
    assert "19 + (5 − 1) · 8 = 51" in said_in(section_of(path))


def test_the_part_takes_less_than_150_kb(section):
    assert len(section.encode()) < 150_000


def test_alexnet_s_patches_are_those_of_the_file(pipeline, section):
    """Of four channels, four places in the photograph and then four in the images; what is not
    scaled down is drawn as it is."""
    tiles = load_tensors(pipeline / ALEXNET / "patches.safetensors")
    count = parameters.read(pipeline)["alexnet_patches"]["patches"]
    pictures = pictures_in(section)
    shown = {name: pictures[alt] for name in tiles for alt in pictures if f" of {name} most" in alt}
    assert len(shown) == 5
    for name, (kind, pixels) in shown.items():
        side = tiles[name].shape[2]
        gap = max(1, side // 24)
        assert kind == ("png" if name == "conv1" else "jpeg")
        assert pixels.shape == (4 * (side + gap) - gap, 8 * (side + gap) - 2 * gap + 4 * gap, 3)
        for channel in range(4):
            for column, tile in enumerate((*range(count, count + 4), *range(4))):
                top = channel * (side + gap)
                left = column * (side + gap) + (3 * gap if column >= 4 else 0)
                drawn = pixels[top : top + side, left : left + side].astype(int)
                off = np.abs(drawn - tiles[name][channel, tile])
                assert off.max() == 0 if kind == "png" else off.mean() < 16


def test_the_models_patches_are_those_of_the_file_and_silent_channels_are_named(pipeline, section):
    tiles = load_tensors(pipeline / MODELS / "cnn.safetensors")
    rows = rows_of(pipeline / MODELS / "cnn.csv")
    pictures = pictures_in(section)
    for layer, side in (("conv1", 3), ("conv2", 8)):
        [(kind, pixels)] = [p for alt, p in pictures.items() if f"of {layer} of CNN" in alt]
        assert kind == "png"
        zoom = 28 // side
        margin = (28 - zoom * side) // 2
        for (channel, column), patch in (
            ((channel, column), tiles[layer][channel, column])
            for channel in range(len(tiles[layer]))
            for column in range(tiles[layer].shape[1])
        ):
            top, left = 29 * channel + margin, 29 * column + margin
            drawn = pixels[top::zoom, left::zoom][:side, :side].astype(int)
            assert np.abs(drawn - patch).max() <= 256 // GREYS
        active = {int(row["unit"]) for row in rows if row["layer"] == layer}
        for channel in set(range(len(tiles[layer]))) - active:
            assert f"Channel {channel} is never above zero" in said_in(section)
    assert f"{len(tiles['conv2'])} of" not in said_in(section)  # all of its channels are shown


def fields_in(pipeline):
    return [seen_of(row) for row in rows_of(pipeline / ALEXNET / "receptive_fields.csv")]


def test_the_squares_have_one_middle_and_are_fields_of_units(pipeline):
    fields = fields_in(pipeline)
    photo = np.asarray(Image.open(pipeline / paths.PHOTO))
    rows = rows_of(pipeline / ALEXNET / "patches.csv")
    best = max(
        (row for row in rows if (row["layer"], row["source"]) == ("conv5", "photo")),
        key=lambda row: float(row["activation"]),
    )
    found = nested(photo, fields, [place_of(row) for row in rows])
    margin = (found["side"] - 163) // 2
    assert [box["layer"] for box in found["boxes"]] == [f"conv{n}" for n in (5, 4, 3, 2, 1)]
    step_and_start = {seen.layer: (seen.step, seen.start) for seen in fields}
    for box in found["boxes"]:
        step, start = step_and_start[box["layer"]]
        for key in ("top", "left"):
            assert (box[key] - margin + int(best[key]) - start) % step == 0
            assert abs(box[key] + box["size"] / 2 - found["side"] / 2) <= step / 2
    assert (found["boxes"][0]["top"], found["boxes"][0]["left"]) == (margin, margin)


def test_a_photograph_that_excites_nothing_is_shown_from_its_corner(pipeline):
    found = nested(np.zeros((63, 63, 3), np.uint8), fields_in(pipeline), [])
    assert found["boxes"][0]["size"] == 163


def test_noise_takes_as_little_room_as_a_photograph():
    noise = np.random.default_rng(0).integers(0, 256, (198, 406, 3), np.uint8)
    assert len(small_jpeg(noise, SHEET_BYTES).uri) < 1.5 * SHEET_BYTES


@pytest.fixture
def folder(pipeline, tmp_path):
    copy_inputs(pipeline, tmp_path)
    with chdir(tmp_path):
        yield tmp_path


def test_other_models_are_shown_too(folder):
    """Those that see pixels and have convolutions, as far as there is room."""
    add_model(folder, "net", {"one": CONV, "two": CONV | {"channels": 200}, "fc": FC}, "Net")
    noise = np.random.default_rng(0).integers(0, 256, (2, 200, 8, 9, 9), np.uint8)
    tiles = {"one": noise[0, :3], "two": noise[1], "fc": noise[0, :1]}
    save_tensors(tiles, MODELS / "net.safetensors")
    write_csv(MODELS / "net.csv", ("layer", "unit"), [("one", 0), ("one", 2), ("two", 7)])
    run_stage("report")
    section = section_of(paths.REPORT)
    said = said_in(section)
    assert "of CNN and Net, in the test digits." in said or "of Net and CNN, in the" in said
    [caption] = re.findall("Net, one, 9 × 9 pixels.*? dead", said)
    assert "Channel 1 is never above zero, " in caption
    assert "Net, two" not in said and "The page has no room for the patches of all conv" in said
    assert len(section.encode()) < 170_000


def test_models_without_convolutions_are_said_to_be_so(folder):
    keep_models(folder, "mlp", "probe")
    run_stage("report")
    assert "No model here that sees pixels has a convolution." in said_in(section_of(paths.REPORT))


def test_files_that_are_wrong_are_one_line(folder, failure):
    path = MODELS / "cnn.safetensors"
    before = path.read_bytes()
    save_tensors({"other": np.zeros((1, 1, 3, 3), np.uint8)}, path)
    assert failure("report") == (
        f"{path} has the tensors ['other']; it should have ['conv1', 'conv2', 'fc']"
    )
    path.write_bytes(before)
    path = ALEXNET / "receptive_fields.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("layer,kernel\nconv1,11\n", encoding="utf-8")
    assert failure("report") == f"{path} has no column 'stride'; its stage would write one"
    path.write_text("\n".join(lines[:-1]), encoding="utf-8")
    assert failure("report").startswith(f"{path} should have a row for each of conv1, pool1, ")


@needs_chromium
@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_the_window(browser, path, width):
    with opened(browser, path, width) as page:
        section = page.locator("#patches")
        section.scroll_into_view_if_needed()
        expect(section.locator("figure")).to_have_count(8)
        for box in (element.bounding_box() for element in section.locator("img, svg").all()):
            assert box["width"] > 200 and box["x"] >= 0 and box["x"] + box["width"] <= width
