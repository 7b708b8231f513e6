"""`python -m stages.tools.predict` says of images what the stage `classify_images` says."""

import csv
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.alexnet import embedding
from stages.tools import predict

from common import parameters, paths
from common.artifacts import rows_of
from common.stages import run_stage

pytestmark = pytest.mark.usefixtures("one_thread")
MODEL = paths.IMAGE_CLASSIFIER / "model.safetensors"
HEADER = "path,label,probability\n"


@pytest.fixture(scope="module")
def trained(downloads, tmp_path_factory):
    """A folder where the stages made a classifier of noisy images, red and green."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("data").mkdir()
        Path("data/alexnet").symlink_to(downloads / "data/alexnet")
        Path("data/image_groups.csv").write_text("path,group\n", encoding="utf-8")
        random = np.random.default_rng(0)
        for label, channel in (("röt, lich", 0), ("green", 1)):
            Path("own", label).mkdir(parents=True)
            for index in range(18):
                pixels = random.integers(0, 200, (70, 80, 3), np.uint8)
                pixels[..., channel] //= 2
                Image.fromarray(pixels).save(f"own/{label}/{index} x.png")
        shutil.copy("own/green/0 x.png", "own/unknown.png")
        Path("own/notes.txt").write_text("no image", encoding="utf-8")
        params = parameters.read()
        params["images"] |= {"path": "own", "size": 63}
        parameters.write(params)
        run_stage("embed_images")
        run_stage("classify_images")
    return folder


@pytest.fixture
def run(trained, monkeypatch, capsys):
    """Runs the command in that folder; what it printed, and its message if it failed."""
    monkeypatch.chdir(trained)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
        message = ""
        try:
            predict.main()
        except SystemExit as error:
            message = error.code
        return capsys.readouterr().out, message

    return command


def test_it_says_what_the_stage_said_to_the_last_bit(run, monkeypatch):
    monkeypatch.setattr(embedding, "BATCH", 5)
    out, message = run(MODEL, "own")
    assert not message and out.startswith(HEADER)
    rows = [*csv.DictReader(io.StringIO(out))]
    assert [(row["path"], row["label"], row["probability"]) for row in rows] == [
        (f"own/{row['path']}", row["predicted"], row["probability"])
        for row in rows_of(paths.IMAGE_CLASSIFIER / "predictions.csv")
    ]
    assert len(rows) == 37 and len({row["label"] for row in rows}) == 2


def test_it_takes_files_and_folders_in_their_order_wherever_they_are(run, tmp_path):
    shutil.copy("own/green/1 x.png", tmp_path / "elsewhere.png")
    shutil.copy(MODEL, tmp_path / "copied.safetensors")
    link = Path("data/alexnet").resolve() / "features.safetensors"
    out, message = run(
        tmp_path / "copied.safetensors",
        "own/green/1 x.png",
        tmp_path / "elsewhere.png",
        "--alexnet",
        link,
    )
    first, second = csv.reader(io.StringIO(out.removeprefix(HEADER)))
    assert not message and first[1:] == second[1:] and second[0] == str(tmp_path / "elsewhere.png")


@pytest.mark.fault("images to predict that cannot be read, or a file that is no classifier")
def test_what_is_wrong_is_one_line_and_the_other_images_are_answered(run, tmp_path):
    (tmp_path / "broken.png").write_bytes(Path("own/unknown.png").read_bytes()[:200])
    out, message = run(MODEL, "own/unknown.png", "own/notes.txt", tmp_path)
    assert len(out.splitlines()) == 2
    assert message == (
        "error: not every image can be read: own/notes.txt is not an image (and 1 more, above)"
    )
    for arguments, problem in (
        ((MODEL, "nowhere"), "nowhere: No such file or directory"),
        ((MODEL, "data/image_groups.csv"), "not every image can be read: data/image_groups.csv is"),
        (("x", "own"), "there is no x; `dvc repro classify_images` writes a classifier"),
        (("params.yaml", "own"), "params.yaml is not a valid safetensors file: "),
        ((paths.ALEXNET, "own"), f"{paths.ALEXNET} is no classifier: it has no labels"),
        ((MODEL, "own", "--alexnet", MODEL), f"{MODEL} was trained on the features of another"),
        ((MODEL, "own", "--alexnet", "x"), "there is no x; `dvc repro download_alexnet` fetches"),
        ((MODEL,), "the following arguments are required: images"),
    ):
        _, message = run(*arguments)
        assert message.startswith(f"error: {problem}") and "\n" not in message
    (tmp_path / "empty").mkdir()
    assert run(MODEL, tmp_path / "empty")[1].endswith("empty: there is no image in it")
