"""Charts and pictures of the page: ticks, lines, greys."""

import base64
import io
import re

import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from stages.core.page import chart as frame
from stages.core.page.chart import Chart, Line, ticks
from stages.core.page.page import TEMPLATES, picture


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (93, [0, 20, 40, 60, 80]),
        (2.35, [0, 0.5, 1, 1.5, 2]),
        (0.003, [0, 0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003]),
        (7e9, [0, 2e9, 4e9, 6e9]),
    ],
)
def test_ticks_are_round(largest, expected):
    assert ticks(largest) == pytest.approx(expected)


def test_a_long_line_is_thinned_and_keeps_its_ends():
    line = Line("loss", [(x, 1.0) for x in range(1, 12_346)])
    chart = Chart([line], "x", "y")
    places = chart.path(line).removeprefix("M").split("L")
    assert len(places) <= 502
    assert places[0] == f"{chart.place(1, 1)[0]},34.0" and places[-1] == "546.0,34.0"


def test_places_on_the_x_axis_can_have_names_and_lines_a_band():
    line = Line("accuracy", [(0, 0.5), (1, 0.75), (2, 1)])
    band = [(0, 0.25, 0.75), (1, 0.5, 1), (2, 1, 1)]
    chart = Chart([line], "x", "y", top=1, x_names=("1", "2", "5"), band=band)
    assert [name for _, name in chart.x_ticks] == ["1", "2", "5"]
    assert [place for place, _ in chart.x_ticks] == [chart.place(x, 0)[0] for x in range(3)]
    places = chart.area.removeprefix("M").removesuffix("Z").split("L")
    around = [(0, 0.25), (1, 0.5), (2, 1), (2, 1), (1, 1), (0, 0.75)]
    assert places == [",".join(map(str, chart.place(x, y))) for x, y in around]
    many = chart._replace(x_names=[str(number) for number in range(21)])
    assert [name for _, name in many.x_ticks] == [str(number) for number in range(0, 21, 3)]


def test_lines_have_all_styles_in_turn_and_then_again():
    """And each style has a colour and, but for the first, dashes of its own."""
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    styles = dict(re.findall(r"\.line-(\d) \{ stroke: (.*?;?) \}", style))
    assert sorted(styles) == [str(index) for index in range(8)]
    colours = [each.split(";")[0] for each in styles.values()]
    assert colours == [f"var(--line-{index})" for index in styles]
    assert len({each.partition("dasharray")[2] for each in styles.values()}) == 8
    for scheme in style.split("prefers-color-scheme: dark")[:2]:
        assert len(set(re.findall(r"--line-\d: (#\w+);", scheme))) == 8

    environment = Environment(loader=FileSystemLoader(TEMPLATES))
    environment.globals["frame"] = frame
    svg = environment.get_template("chart.html.j2").module.svg
    names = [f"model {index}" for index in range(11)]
    chart = Chart([Line(name, [(0, 0), (1, 1)]) for name in names], "x", "y")
    drawn = svg("id", "title", chart, {})
    expected = [str(index % 8) for index in range(11)]
    picture, legend = drawn.split("</svg>", 1)
    assert re.findall(r'class="line line-(\d+)"', picture) == expected
    shown = re.findall(r'class="line line-(\d+)".*?</svg>\s*(model \d+)', legend)
    assert shown == list(zip(expected, names, strict=True))
    assert 'aria-labelledby="title-id"' in picture and '<title id="title-id">title<' in picture


def pixels(found):
    content = base64.b64decode(found.uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def test_grey_pictures_keep_black_white_and_the_order():
    greys = np.arange(256, dtype=np.uint8)[None]
    found = picture(greys)
    kept = pixels(found)[0].astype(int)
    assert (found.width, found.height) == (256, 1)
    assert (kept[0], kept[-1]) == (0, 255)
    assert np.abs(kept - greys[0]).max() <= 4 and (np.diff(kept) >= 0).all()
    assert len(np.unique(kept)) == 64


def test_pictures_in_colour_keep_every_colour():
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    found = picture(colours)
    assert (found.width, found.height) == (7, 5)
    assert np.array_equal(pixels(found), colours)
