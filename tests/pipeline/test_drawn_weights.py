"""The figures of the weights and curves: each in its place, whatever the user's settings."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.base.tensors import load_tensors

from common.artifacts import GAP, LABEL, LEFT, TOP, diverging, drawn
from common.graph import commands
from common.project import execute


@pytest.mark.parametrize(
    ("model", "weights", "columns", "zoom"),
    [("logistic", "layer.weight", 5, 5), ("mlp", "layer1.weight", 5, 5)],
)
def test_every_weight_is_drawn_in_its_place(pipeline, model, weights, columns, zoom):
    tiles = load_tensors(pipeline / f"artifacts/models/{model}.safetensors")[weights]
    tiles = tiles.reshape(-1, 28, 28)
    picture = drawn(pipeline / f"artifacts/figures/{model}/weights.png")
    largest = np.abs(tiles).max()
    for index, tile in enumerate(tiles):
        top = TOP + index // columns * (28 * zoom + GAP + LABEL)
        left = LEFT + index % columns * (28 * zoom + GAP)
        centres = picture[top + zoom // 2 :, left + zoom // 2 :][
            : 28 * zoom : zoom, : 28 * zoom : zoom
        ]
        assert np.abs(centres - diverging(tile, largest)).max() <= 1, index
        if (index + 1) % columns:  # grey to the next tile
            gap = picture[top : top + 28 * zoom, left + 28 * zoom]
            assert (gap == gap[0, 0]).all() and 225 < gap[0, 0] < 235


def test_the_kernels_of_both_convolutions_are_drawn(pipeline):
    weights = load_tensors(pipeline / "artifacts/models/cnn.safetensors")
    picture = drawn(pipeline / "artifacts/figures/cnn/weights.png")
    first, second = weights["conv1.weight"], weights["conv2.weight"]
    largest = max(np.abs(first).max(), np.abs(second).max())
    for output in range(4):
        centre = picture[TOP + 48, LEFT + output * 100 + 48]
        assert np.abs(centre - diverging(first[output, 0, 1, 1], largest)).max() <= 1
    top = TOP + 96 + 24 + 26 + 15
    for output in range(8):
        for channel in range(4):
            centre = picture[top + channel * 109 + 45, LEFT + output * 94 + 45]
            assert np.abs(centre - diverging(second[output, channel, 1, 1], largest)).max() <= 1


def test_a_matplotlibrc_of_the_user_changes_nothing(pipeline, tmp_path):
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 30\nsavefig.facecolor: pink\n", encoding="utf-8"
    )
    (tmp_path / "stages").symlink_to(pipeline / "stages")
    (tmp_path / "artifacts/curves").mkdir(parents=True)
    (tmp_path / "artifacts/curves/cnn.csv").symlink_to(pipeline / "artifacts/curves/cnn.csv")
    (tmp_path / "params.yaml").symlink_to(pipeline / "params.yaml")
    execute(tmp_path, *commands()["learning_curves@cnn"]).check_returncode()
    for name in ("loss.png", "accuracy.png"):
        figure = Path("artifacts/figures/cnn", name)
        assert (tmp_path / figure).read_bytes() == (pipeline / figure).read_bytes()
