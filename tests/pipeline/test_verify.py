"""`make verify` finds every output that a dvc.lock claims and the sources do not give."""

import json
import shutil
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stages.core.learning.trained import load_model, save_model

from commands.verify import outputs
from common import paths
from common.graph import outs, stages
from common.project import copy_pipeline, execute


def verify(folder):
    return execute(folder, sys.executable, "tests/commands/verify.py")


def made_up(project):
    """Change outputs of every kind by a little, and commit a dvc.lock that claims them. Returns the
    MLP's true test accuracy."""
    model = load_model(project / "artifacts/models/cnn.safetensors")
    model.weights["conv1.bias"][2] += 0.5
    save_model(model, project / "artifacts/models/cnn.safetensors")
    path = project / paths.metrics("mlp")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps(metrics | {"test_accuracy": 0.333}, indent=2) + "\n", encoding="utf-8"
    )
    curve = project / "artifacts/curves/mlp.csv"
    curve.write_text(curve.read_text(encoding="utf-8").replace("\n6,", "\n7,"), encoding="utf-8")
    parquet = project / "artifacts/embedded_images/part-000000.parquet"
    rows = pq.read_table(parquet).to_pandas()
    rows.loc[3, "width"] += 1
    rows.at[3, "features"] = rows.at[3, "features"] + np.float32(0.5)
    rows.to_parquet(parquet)
    picture = project / "artifacts/alexnet/filters.png"
    pixels = np.array(Image.open(picture))
    pixels[7, 11, 0] = 155
    Image.fromarray(pixels).save(picture)
    for command in ("dvc commit --force --quiet", "git add -A", "git commit -qm made-up"):
        execute(project, *command.split()).check_returncode()
    return metrics["test_accuracy"]


@pytest.mark.slow
def test_what_is_committed_is_reproduced_and_what_is_made_up_is_found(small_pipeline, tmp_path):
    project = copy_pipeline(small_pipeline, tmp_path / "project")
    (project / "params.yaml").open("a", encoding="utf-8").write("# a note\n")  # not committed
    result = verify(project)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line for line in result.stdout.splitlines() if line.endswith("  same")]
    assert len(rows) == len(outputs((project / "dvc.lock").read_text(encoding="utf-8")))
    assert len(rows) == len(outs(*stages()))
    assert "DIFFERENT" not in result.stdout
    assert "Not committed, so not verified:\n M params.yaml\n" in result.stdout

    execute(project, "git", "checkout", "params.yaml")
    accuracy = made_up(project)
    result = verify(project)
    assert result.returncode == 1
    different = [line for line in result.stdout.splitlines() if line.endswith("  DIFFERENT")]
    assert [line.split()[:2] for line in different] == [
        ["train@mlp", "artifacts/curves/mlp.csv"],
        ["train@mlp", "artifacts/metrics/mlp.json"],
        ["train@cnn", "artifacts/models/cnn.safetensors"],
        ["alexnet_maps", "artifacts/alexnet"],
        ["embed_images", "artifacts/embedded_images"],
    ]
    for line in (
        "artifacts/curves/mlp.csv: row 6, iteration is 6, committed 7",
        f"artifacts/metrics/mlp.json: test_accuracy is {accuracy}, committed 0.333",
        "artifacts/models/cnn.safetensors: conv1.bias: 1 of 4 elements, by at most 0.5",
        "artifacts/embedded_images/part-000000.parquet: row 4, width is 28, committed 29",
        "artifacts/embedded_images/part-000000.parquet: features: 256 of 102,400 elements, "
        "by at most 0.5",
        "artifacts/alexnet/filters.png: 1 pixels in rows 7 to 7, columns 11 to 11, "
        "by at most 100 of 255",
    ):
        assert line in result.stdout.splitlines()
    assert "Not committed" not in result.stdout

    shutil.rmtree(project / ".dvc/cache")
    project.joinpath("dvc.lock").write_text("", encoding="utf-8")  # nor is what is there any use
    result = verify(project)
    assert result.returncode == 1
    assert (
        "artifacts/models/cnn.safetensors: the committed file is not in the cache, "
        "so how it differs is unknown" in result.stdout
    )
