"""The classifier of one's own images on the page: its numbers, its table that opens, its pictures;
and folders of any kind."""

import io
import json
import re
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from stages.core.base.values import percent
from stages.core.classifier.pictures import thumbnail
from stages.core.classifier.results import Suspect
from stages.core.page.images import PICTURES, SIDE, as_jpeg, first_pictures, shortened

from common import parameters, paths
from common.artifacts import rows_of
from common.own_images import FOLDER, photo, write_own_images
from common.pages import Reader, copy_inputs, needs_chromium, opened, serious_faults
from common.project import ROOT
from common.stages import run_stage

CELLS = "Answers to the test images of each label"
TILES = (
    "all => all.map(li => [li.querySelector('bdi').textContent, li.lastChild.textContent.trim()])"
)
ODD = [
    "القطط",
    "<b>&\"'",
    "猫",
    "a label that is much longer than what fits into a table of labels",
]


def made(pipeline, folder, labels, each, **options):
    """The page of a folder of images that is made up."""
    copy_inputs(pipeline, folder)
    write_own_images(folder, labels, each, **options)
    with chdir(folder):
        run_stage("report")
    return folder / paths.REPORT


def section_of(path):
    page = path.read_text(encoding="utf-8").replace("\xa0", " ").replace("&nbsp;", " ")
    found = page[page.index('<section id="images"') :]
    return " ".join(re.sub("<[^>]*>", "", found[: found.index("</section>")]).split())


def answers_in(folder):
    rows = rows_of(folder / paths.IMAGE_CLASSIFIER / "predictions.csv")
    return [row for row in rows if row["split"] == "test"]


def scripts_data(path):
    page = path.read_text(encoding="utf-8")
    return json.loads(page.split('id="data">')[1].split("</script>")[0])["images"]


def test_the_numbers_are_those_of_the_files(pipeline, path):
    results = pipeline / paths.IMAGE_CLASSIFIER
    read, said = Reader(path.read_text(encoding="utf-8")), section_of(path)
    counts = Counter(
        (row["actual"], row["predicted"]) for row in rows_of(results / "confusion.csv")
    )
    labels = [row["label"] for row in rows_of(results / "per_label.csv")]
    assert read.tables[CELLS] == [
        ["Label", *labels],
        *([label, *(str(counts[label, answer]) for answer in labels)] for label in labels),
    ]
    metrics = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
    right = sum(counts[label, label] for label in labels)
    share, low, high, baseline, balanced = (
        percent(metrics[name]).replace("\xa0", " ")
        for name in (
            *(f"test_accuracy{end}" for end in ("", "_low", "_high")),
            *("baseline_accuracy", "balanced_accuracy"),
        )
    )
    assert f"It recognises {right} of {metrics['num_test']} test images: {share}." in said
    assert f"probably is: from {low} to {high} (95 % interval, Wilson)" in said
    assert f"would be right for {baseline}. All of the light bar is above that" in said
    assert f"however many images it has, the accuracy is {balanced}." in said
    _, *rows = read.tables["Test accuracy by the training images of each label"]
    assert [[row[0], row[1].replace(" %", "")] for row in rows] == [
        [point["images"], percent(float(point["accuracy"])).removesuffix("\xa0%")]
        for point in rows_of(results / "accuracy.csv")
    ]


def test_every_mistake_stands_beside_its_neighbours_and_every_suspect_is_there(pipeline, path):
    """Each picture is what the network sees of the image that is named below."""
    page, data = path.read_text(encoding="utf-8"), scripts_data(path)
    results = pipeline / paths.IMAGE_CLASSIFIER
    rows = rows_of(results / "neighbours.csv")
    expected = []
    for place, row in enumerate(rows):
        expected += [row["path"]] * (place == 0 or rows[place - 1]["path"] != row["path"])
        expected.append(row["neighbour"])
    for row in rows_of(results / "suspects.csv"):
        expected += [each for each in (row["path"], row["same_as"]) if each]
    found = re.findall(r'<img data-picture="(\d+)" [^>]* alt="[^"]*: (.*), (.*)">', page)
    assert [f"{label}/{name}" for _, label, name in found] == expected
    params = parameters.read(pipeline)["images"]
    for number, label, name in found:
        seen = thumbnail(pipeline / params["path"], f"{label}/{name}", params["size"], SIDE)
        assert data["head"] + data["pictures"][int(number)] == (
            f"data:image/jpeg;base64,{as_jpeg(seen)}"
        )


@needs_chromium
def test_a_count_opens_into_its_images(page, pipeline):
    """By mouse and by keyboard; another one closes it, and so does Escape."""
    rows = answers_in(pipeline)
    counts = Counter((row["label"], row["predicted"]) for row in rows)
    buttons = page.locator("#cells button")
    assert buttons.count() == len(counts)

    def images_of(label, answer):
        mine = [row for row in rows if (row["label"], row["predicted"]) == (label, answer)]
        mine.sort(key=lambda row: -float(row["probability"]))
        return [[row["path"].partition("/")[2], percent(float(row["probability"]))] for row in mine]

    wrong = [pair for pair in sorted(counts) if pair[0] != pair[1]]
    for label, answer in [*wrong, ("3", "3")]:
        row = page.locator("#cells tbody tr").filter(has=page.locator(f"bdi:text-is('{label}')"))
        button = row.locator("td").nth(int(answer)).locator("button")
        button.click()
        expect(page.locator("#opened")).to_have_count(1)
        assert page.locator("#opened .tiles li").evaluate_all(TILES) == images_of(label, answer)
        expect(page.locator("#cells [aria-expanded=true]")).to_have_count(1)
        expect(button).to_have_attribute("aria-expanded", "true")
        loaded = "all => Promise.all(all.map(image => image.decode())).then(() => true)"
        assert page.locator("#images img").evaluate_all(loaded)
    button.click()
    expect(page.locator("#opened")).to_have_count(0)

    page.locator("#cells button[tabindex='0']").focus()
    seen = {page.evaluate("document.activeElement.ariaLabel")}
    for arrow in ("ArrowUp", "ArrowLeft", "ArrowDown", "ArrowRight"):
        page.keyboard.press(arrow)
        seen.add(page.evaluate("document.activeElement.ariaLabel"))
    assert len(seen) > 1 and None not in seen
    page.keyboard.press("Enter")
    expect(page.locator("#cells [aria-expanded=true]")).to_have_count(1)
    said = page.locator("#cells-said").inner_text()
    place = page.evaluate("""() => {
        const cell = document.activeElement.closest("td");
        return [cell.parentElement.cells[0].innerText, String(cell.cellIndex - 1)];
    }""")
    assert page.locator("#opened .tiles li").evaluate_all(TILES) == images_of(*place)
    assert said.startswith(f"{counts[tuple(place)]} test image")
    page.keyboard.press("Tab")  # one stop for the whole table
    assert not page.evaluate("document.activeElement.closest('#cells')")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Escape")
    expect(page.locator("#opened")).to_have_count(0)
    assert page.evaluate("document.activeElement.closest('td').cellIndex - 1") == int(place[1])


@pytest.fixture(scope="module")
def odd(pipeline, tmp_path_factory):
    """Labels of other alphabets, long ones, and names that would be HTML."""
    name = "{number} </script><img src=x onerror=alert(1)> ✓ كلب " + 20 * "long" + ".jpg"
    suspects = [
        Suspect(f"{ODD[0]}/{name.format(number=3)}", ODD[0], "a new reason", ODD[1], None, ""),
        *(
            Suspect(f"{ODD[1]}/{name.format(number=n)}", ODD[1], "<i>", ODD[2], 0.01 * n, "")
            for n in range(20)
        ),
        Suspect("beside.jpg", "", "same image", "", None, f"{ODD[2]}/{name.format(number=5)}"),
    ]
    folder = tmp_path_factory.mktemp("odd")
    photo(np.random.default_rng(1)).save(folder / "beside.jpg")
    copied = folder / "project"
    copy_inputs(pipeline, copied)
    write_own_images(copied, ODD, 60, names=name, suspects=suspects)
    (copied / FOLDER / "beside.jpg").symlink_to(folder / "beside.jpg")
    with chdir(copied):
        run_stage("report")
    return copied


@needs_chromium
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_odd_names_are_shown_and_do_nothing_else(browser, odd, width, scheme):
    with opened(browser, odd / paths.REPORT, width, color_scheme=scheme) as page:
        heads = page.locator("#cells thead bdi").all_inner_texts()
        assert heads == [shortened(label, 40) for label in ODD]
        page.locator("#cells button").nth(1).click()
        names = page.locator("#opened bdi").all_inner_texts()
        assert names and all("</script><img src=x onerror=alert(1)>" in name for name in names)
        headings = page.locator("#images h4").all_inner_texts()
        assert headings == ["A new reason: 1", "<i>: 20", "Same image: 1"]
        assert "and 8 more, in suspects.csv" in page.locator("#images").inner_text()
        assert page.locator("#images img").evaluate_all("all => all.every(image => image.src)")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert serious_faults(page) == []
        page.emulate_media(media="print")
        assert page.locator("#cells button").filter(visible=True).count() == 0
        counts = page.locator("#cells .printed").filter(visible=True).all_inner_texts()
        assert sum(map(int, counts)) == len(answers_in(odd))


@needs_chromium
def test_the_page_of_many_images_names_those_that_it_leaves_out(browser, pipeline, tmp_path):
    """50,000 images of 200 labels."""
    labels = [f"label {number:03}" for number in range(200)]
    path = made(pipeline, tmp_path, labels, 250)
    assert 5_000_000 < path.stat().st_size < 5_900_000
    data, rows = scripts_data(path), answers_in(tmp_path)
    assert 300 < len(data["pictures"]) <= PICTURES
    confused = Counter()
    for row in rows:
        if row["label"] != row["predicted"]:
            confused.update((row["label"], row["predicted"]))
    most = sorted(labels, key=lambda label: (-confused[label], label))[:30]
    assert data["labels"] == sorted(most)
    said = section_of(path)
    assert "Shown are 30 of 200 labels: those with the most mistakes." in said
    assert f"The page has room for {len(data['pictures'])} small pictures;" in said
    assert f"The 12 most certain of {sum(confused.values()) // 2:,} mistakes" in said
    with opened(browser, path, 360) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        for cell in data["cells"]:
            left = cell["count"] - len(cell["images"])
            row, column = cell["place"]
            assert left == 0 or row == column  # of mistakes in the table there are all
        page.locator("#cells .right button").first.click()
        first = next(cell for cell in data["cells"] if cell["place"][0] == cell["place"][1])
        left = first["count"] - len(first["images"])
        assert f"and {left} more, for which" in page.locator("#opened").inner_text()
        width = page.locator("#opened").evaluate("e => e.getBoundingClientRect().width")
        assert width <= 360
        assert serious_faults(page) == []


def test_a_thousand_photographs_are_all_there(pipeline, tmp_path):
    path = made(pipeline, tmp_path, ["cat", "dog", "emu", "fox", "gnu"], 200)
    data = scripts_data(path)
    assert path.stat().st_size < 5_900_000
    assert sum(len(cell["images"]) for cell in data["cells"]) == 250
    assert all(len(cell["images"]) == cell["count"] for cell in data["cells"])
    assert "small pictures; where there are more" not in section_of(path)


@needs_chromium
def test_without_mistakes_and_suspects_it_says_so(browser, pipeline, tmp_path):
    path = made(pipeline, tmp_path, ["a", "b"], 8, wrong=0)
    said = section_of(path)
    assert "It recognises 4 of 4 test images: 100.0 %." in said
    assert "The light bar reaches down to that" not in said
    assert "None: it recognises all of the test images." in said
    assert "None: no label looks wrong, and no image is there more than once." in said
    with opened(browser, path) as page:
        assert serious_faults(page) == []


def test_it_says_when_nothing_was_learned(pipeline, tmp_path):
    for wrong, name, sentence in (
        (0.3, "maybe", "so with so few test images nobody can say whether it has learned"),
        (1, "nothing", "It does no better, so nothing shows that it has learned anything."),
    ):
        said = section_of(made(pipeline, tmp_path / name, ["a", "b"], 32, wrong=wrong))
        assert sentence in said


def test_a_file_of_something_else_or_an_image_that_is_gone_is_one_line(
    pipeline, tmp_path, monkeypatch, failure
):
    made(pipeline, tmp_path, ["a", "b"], 20)
    monkeypatch.chdir(tmp_path)
    before = paths.REPORT.read_bytes()
    row = answers_in(tmp_path)[0]
    image = FOLDER / row["path"]
    target = image.readlink()
    image.unlink()
    assert f"/{image.name} cannot be read as an image: No such file" in failure("report")
    image.symlink_to(target)
    for name, old, new, message in (
        ("predictions.csv", "path,", "file,", "has no column 'path'"),
        ("predictions.csv", "0.", "x.", "is not as its stage writes it: could not convert"),
        ("per_label.csv", "\na,", "\nc,", "has no label a"),
        ("accuracy.csv", "1,", "one,", "is not as its stage writes it: invalid literal"),
    ):
        file = paths.IMAGE_CLASSIFIER / name
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(old, new), encoding="utf-8")
        assert message in failure("report")
        file.write_text(text, encoding="utf-8")
    assert paths.REPORT.read_bytes() == before


def test_a_jpeg_has_the_same_bytes_whatever_the_processor_can_do():
    """libjpeg-turbo has code for each kind of processor, and can be told to use none of it."""
    pixels = np.asarray(photo(np.random.default_rng(0), SIDE))
    script = (
        "import sys, numpy as np; from stages.core.page.images import as_jpeg; "
        f"print(as_jpeg(np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape({pixels.shape})))"
    )
    found = {as_jpeg(pixels)}
    for switch in ("JSIMD_FORCENONE", "JSIMD_FORCESSE2", "JSIMD_FORCEAVX2"):
        result = subprocess.run(
            [sys.executable, "-c", script],
            input=pixels.tobytes(),
            capture_output=True,
            cwd=ROOT,
            env={switch: "1"},
            check=True,
        )
        found.add(result.stdout.decode().strip())
    [jpeg] = found
    image = Image.open(io.BytesIO(b64decode(jpeg)))
    assert image.size == (SIDE, SIDE)
    assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 20


def test_pictures_fit_into_the_room_that_there_is():
    jpeg = as_jpeg(np.zeros((SIDE, SIDE, 3), np.uint8))
    all_of_them = {f"a/{number}.jpg": jpeg for number in range(100)}
    assert first_pictures(all_of_them, 0) == {} and first_pictures({}, 10**6) == {}
    assert first_pictures(all_of_them, 10**6) == all_of_them
    some = first_pictures(all_of_them, 20_000)
    assert 10 < len(some) < 100 and [*some] == [*all_of_them][: len(some)]


def test_long_names_lose_their_middle():
    assert shortened("short.jpg", 20) == "short.jpg"
    found = shortened("a" * 20 + "b" * 20 + ".jpg", 20)
    assert len(found) == 20 and found[:10] == "a" * 10 and found.endswith("b.jpg") and "…" in found


def test_the_folder_is_the_one_of_params_yaml(path):
    assert f"Here it is {Path(parameters.read()['images']['path'])}, with" in section_of(path)
