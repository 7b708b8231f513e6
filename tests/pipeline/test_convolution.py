"""The lesson's convolutions over the photograph."""

from common.artifacts import rows_of


def test_the_lesson_s_shapes(pipeline):
    rows = [list(row.values()) for row in rows_of(pipeline / "artifacts/convolution/shapes.csv")]
    first = "1x3x631x631"
    assert rows == [
        ["no_padding", "10x3x3x3", "10", first, "1x10x629x629", "1x10x314x314", "280", "0"],
        ["padding", "10x3x3x3", "10", first, "1x10x631x631", "1x10x315x315", "280", "0"],
        ["padding_and_stride", "10x3x3x3", "10", first, "1x10x316x316", "1x10x158x158", "280", "0"],
        [
            "five_channels",
            "10x5x3x3",
            "10",
            "1x5x631x631",
            "1x10x631x631",
            "1x10x315x315",
            "460",
            "0",
        ],
    ]


def test_only_what_runs_over_the_photograph_has_a_figure(pipeline):
    figures = {path.name for path in (pipeline / "artifacts/convolution").iterdir()}
    assert figures == {"shapes.csv", "no_padding.png", "padding.png", "padding_and_stride.png"}
