"""Reading a page of HTML as a file, opening it in Debian's Chromium, and the lesson's page made of
other models."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from stages.core.base.files import write_csv
from stages.core.base.labels import DIGITS
from stages.core.base.tensors import save_tensors
from stages.core.learning.models import build, num_parameters, weights
from stages.core.learning.trained import LAYERS, TrainedModel, save_model

from common import parameters, paths
from common.artifacts import rows_of
from common.processes import PATIENCE

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: install Debian's package"
)
SWITCHES = (
    "--no-sandbox",  # it refuses to run as root with it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

expect.set_options(timeout=PATIENCE * 1000)

VOID = {"meta", "link", "img", "input", "path", "line", "circle", "br"}


class Reader(HTMLParser):
    """The elements of a page with their attributes, the rows of its tables, and its figures.

    Tables are kept by their captions, or by the headings of the columns where there is none. What
    is small in a cell is a line of its own. A cell of several rows is in the first of them alone.
    """

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.tables, self.figures = [], [], {}, []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.caption, self.rows, self.scopes = "", [], []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            if tag == "th":
                self.scopes.append(dict(attributes).get("scope"))
        elif tag == "small" and "table" in self.open:
            self.rows[-1][-1] += "\n"
        elif tag == "figure":
            self.figures.append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            assert self.scopes and set(self.scopes) <= {"col", "row", "rowgroup"}
            self.tables[self.caption or self.rows[0][0]] = self.rows

    def handle_data(self, text):
        text = text.replace("\xa0", " ")
        if "table" in self.open:
            if "caption" in self.open:
                self.caption += text
            elif {"td", "th"} & set(self.open):
                self.rows[-1][-1] += text
        if "figcaption" in self.open:
            self.figures[-1] += text


@contextmanager
def opened(browser: Browser, path: Path, width: int = 1400, **options: Any) -> Iterator[Page]:
    """A page from the disk in a window of that width, with options of Playwright's contexts.

    In the end nothing must have been requested but the page itself, and what it made itself (data:
    and blob:), and no error reported.
    """
    with browser.new_context(viewport={"width": width, "height": 900}, **options) as context:
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        yield page
        outside = [url for url in requests if not url.startswith(("data:", "blob:"))]
        assert outside == [path.as_uri()]
        assert errors == []


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds of the impact "serious" or "critical", each with the first place."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


def copy_inputs(pipeline: Path, folder: Path) -> None:
    """All that the stage `report` reads, to be changed but for what comes from `data`."""
    folder.mkdir(exist_ok=True)
    shutil.copy(pipeline / "params.yaml", folder)
    for name in (paths.DIGITS, paths.PHOTO, paths.ALEXNET):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(pipeline / name)
    (folder / paths.SAMPLE_IMAGES).symlink_to(pipeline / paths.SAMPLE_IMAGES)
    shutil.copytree(pipeline / "artifacts", folder / "artifacts")


def keep_models(folder: Path, *names: str) -> None:
    params = parameters.read(folder)
    params["models"] = {name: params["models"][name] for name in names}
    parameters.write(params, folder)


def add_model(
    folder: Path, name: str, layers: dict[str, dict[str, Any]], title: str, snapshots: int = 2
) -> None:
    """As if the stages had made one, or another of that name: it did not learn, and the rest is the
    MLP's."""
    like = parameters.of_model(parameters.read(), "mlp")
    params = parameters.read(folder)
    params["models"][name] = like | {"title": title, "layers": layers}
    parameters.write(params, folder)
    shape = (1, 28, 28)
    checked = LAYERS.validate_python(layers, strict=True)
    model = build(checked, shape, seed=len(name), where="")
    save_model(TrainedModel(shape, checked, weights(model), DIGITS), folder / paths.weights(name))
    first = next(weight for key, weight in weights(model).items() if key.endswith(".weight"))
    last = int(rows_of(folder / paths.curves("mlp"))[-1]["iteration"])
    iterations = np.linspace(1, last, snapshots).astype(np.int64)
    rising = iterations.astype(np.float32).reshape(-1, *[1] * first.ndim) / last
    save_tensors(
        {"iteration": iterations, "weight": first * rising}, folder / paths.snapshots(name)
    )
    metrics = json.loads((folder / paths.metrics("mlp")).read_text(encoding="utf-8"))
    metrics["num_parameters"] = num_parameters(model)
    (folder / paths.metrics(name)).write_text(json.dumps(metrics), encoding="utf-8")
    layers_with_weights = [key.removesuffix(".bias") for key in weights(model) if "bias" in key]
    patches = folder / paths.INTERPRETATION / "patches"
    write_csv(patches / f"{name}.csv", ("layer", "unit"), [(key, 0) for key in layers_with_weights])
    tiles = {key: np.zeros((2, 1, 3, 3), np.uint8) for key in layers_with_weights}
    save_tensors(tiles, patches / f"{name}.safetensors")
    *hidden, last = layers_with_weights
    black, sure = np.zeros((10, 28, 28), np.uint8), np.eye(10, dtype=np.float32)
    save_tensors(
        dict.fromkeys([*hidden, last, f"{last}.alone"], black)
        | dict.fromkeys([f"{last}.probabilities", f"{last}.alone.probabilities"], sure),
        folder / paths.ideal_inputs(name),
    )
    if name != "mlp":
        for path in (paths.curves, paths.predictions):
            shutil.copy(folder / path("mlp"), folder / path(name))
        shutil.copytree(folder / "artifacts/figures/mlp", folder / "artifacts/figures" / name)
        shutil.copy(folder / paths.attributions("mlp"), folder / paths.attributions(name))
