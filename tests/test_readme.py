"""What the README shows is what the pipeline makes."""

from conftest import ROOT, execute

README = (ROOT / "README.md").read_text()


def test_the_table_is_printed_by_the_command_beside_it(pipeline):
    table = execute(pipeline, "dvc", "metrics", "show", "--md").stdout.strip()
    assert table in README


def test_the_pictures_are_the_pipeline_s(pipeline):
    for picture, figure in {
        "docs/logistic-weights.png": "artifacts/figures/logistic/weights.png",
        "docs/alexnet-filters.png": "artifacts/alexnet/filters.png",
        "docs/data-efficiency.png": "artifacts/data_efficiency/accuracy.png",
    }.items():
        assert f"({picture})" in README
        assert (ROOT / picture).read_bytes() == (pipeline / figure).read_bytes()
