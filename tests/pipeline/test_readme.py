"""What the README shows is what the pipeline makes; what was tried to break it is in a table."""

import re

from common.artifacts import rows_of
from common.project import ROOT, execute

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_is_printed_by_the_command_beside_it(pipeline):
    [show] = re.findall(r"`(dvc metrics show --md .*?)`", README)
    table = execute(pipeline, *show.split()).stdout.splitlines()
    assert len(table) > 2 and set(table) <= set(README.splitlines())


def test_what_features_teach_is_what_was_measured(pipeline):
    """And what the page says of it."""
    found = rows_of(pipeline / "artifacts/data_efficiency/accuracy.csv")
    all_pixels = float(found[-1]["pixels"])
    enough, most = (
        f"{int(row['images']):,}"
        for row in (next(row for row in found if float(row["features"]) >= all_pixels), found[-1])
    )
    assert f"{enough} digits seen as features teach more than {most} seen as pixels" in README
    page = " ".join((pipeline / "artifacts/report/index.html").read_text(encoding="utf-8").split())
    assert f"With features, {enough} images are enough to do as well as {most} with pixels." in page


def test_the_pictures_are_the_pipeline_s(pipeline):
    for picture, figure in {
        "docs/logistic-weights.png": "artifacts/figures/logistic/weights.png",
        "docs/alexnet-filters.png": "artifacts/alexnet/filters.png",
        "docs/data-efficiency.png": "artifacts/data_efficiency/accuracy.png",
    }.items():
        assert f"({picture})" in README
        assert (ROOT / picture).read_bytes() == (pipeline / figure).read_bytes()


def test_the_graph_is_drawn_by_the_command_beside_it():
    [draw] = re.findall(r"`(dvc dag .*?) > docs/graph.md`", README)
    assert execute(ROOT, *draw.split()).stdout == (ROOT / "docs/graph.md").read_text(
        encoding="utf-8"
    )


def test_every_fault_that_is_tried_is_a_row_and_nothing_was_lost():
    """`make faults` writes the table."""
    table = re.findall(
        r"^\| ([^|]*) \| \d+ \| ([^|]*) \|$",
        (ROOT / "docs/failures.md").read_text(encoding="utf-8"),
        re.M,
    )
    marks = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    tried = re.findall(r'mark\.fault\(\s*"(.*)"', marks)
    assert {fault for fault, _ in table} == set(tried)
    assert {lost for _, lost in table} == {"nothing"}
