"""`python -m stages.tools.export`: the classifier in ONNX says what the pipeline says."""

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from stages.core.alexnet.network import alexnet, features
from stages.core.classifier.model import About, Classifier
from stages.core.data.squares import read_image
from stages.core.exact.integers import means_of_maps
from stages.tools import export, predict

from common import paths
from common.artifacts import rows_of
from common.project import execute

MODEL = paths.IMAGE_CLASSIFIER / "model.safetensors"
EXPORT = ("python", "-m", "stages.tools.export", str(MODEL))


@pytest.fixture(scope="module")
def exported(pipeline, tmp_path_factory):
    """The classifier of the pipeline's images."""
    path = tmp_path_factory.mktemp("exported") / "new folder/classifier.onnx"
    result = execute(pipeline, *EXPORT, str(path))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [*path.parent.iterdir()] == [path]
    return path


def test_it_is_valid_and_says_what_goes_in_and_out(exported):
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(exported)
    [image], [probabilities] = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["N", 224, 224, 3])
    assert (probabilities.name, probabilities.shape) == ("probabilities", ["N", 10])
    about = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(text) for key, text in about.items()} == {
        "labels": [str(digit) for digit in range(10)],
        "size": 224,
    }
    assert "probabilities: of each label" in session.get_modelmeta().description


def test_its_answers_are_those_of_the_pipeline(pipeline, exported):
    """Labels are the same, and probabilities to 0.0001, for every image."""
    session = onnxruntime.InferenceSession(exported)
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    rows = rows_of(pipeline / paths.IMAGE_CLASSIFIER / "predictions.csv")
    assert len(rows) == 400
    for start in range(0, len(rows), 32):
        batch = rows[start : start + 32]
        squares = [read_image(pipeline / paths.SAMPLE_IMAGES, row["path"], 224)[1] for row in batch]
        [probabilities] = session.run(None, {"image": np.stack(squares)})
        assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
        for row, found in zip(batch, probabilities, strict=True):
            assert labels[found.argmax()] == row["predicted"], row["path"]
            assert abs(found.max() - float(row["probability"])) < 1e-4, row["path"]


def test_the_bytes_are_the_same_from_every_implementation_of_protobuf(pipeline, exported, tmp_path):
    environment = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "PYTHONHASHSEED": "1"}
    result = execute(pipeline, *EXPORT, str(tmp_path / "again.onnx"), **environment)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


def test_the_lines_of_the_docs_answer_like_predict(
    pipeline, exported, tmp_path, monkeypatch, capsys
):
    """For a photograph that lies on its side, is scaled down as it is decoded, and is hard."""
    text = (pipeline / "docs/features.md").read_text(encoding="utf-8")
    lines = text.split("    import json, numpy, onnxruntime\n")[1].split("\n\n`")[0]
    monkeypatch.chdir(tmp_path)
    Path("classifier.onnx").symlink_to(exported)
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation: to be turned to the right
    rows = rows_of(pipeline / paths.IMAGE_CLASSIFIER / "predictions.csv")
    hard = min(rows, key=lambda row: float(row["probability"]))
    with Image.open(pipeline / paths.SAMPLE_IMAGES / hard["path"]) as image:
        image.convert("RGB").resize((1000, 1200)).rotate(90).save("photo.jpg", exif=exif)
    exec("import json, numpy, onnxruntime\n" + textwrap.dedent(lines), {})
    label, probability = capsys.readouterr().out.split()
    predict.predict(pipeline / MODEL, pipeline / paths.ALEXNET, [Path("photo.jpg")])
    _, row = capsys.readouterr().out.split()
    assert row.split(",")[1] == label
    assert abs(float(row.split(",")[2]) - float(probability)) < 1e-4


@pytest.mark.parametrize("size", [63, 100])
def test_labels_and_sizes_may_be_others(pipeline, size):
    random = np.random.default_rng(0)
    numbers = [random.standard_normal(shape, np.float32) for shape in (256, 256, (3, 256), 3)]
    mean, std, weight, bias = map(torch.from_numpy, numbers)
    model = Classifier(mean, std.abs() + 0.1, weight / 16, bias)
    about = About(labels=["röt, lich", '"', "猫"], size=size, alexnet="")
    network = alexnet(pipeline / paths.ALEXNET)
    made = export.exported(model, about, network.features)
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == about.labels

    squares = random.integers(0, 256, (4, size, size, 3), np.uint8)
    [found] = session.run(None, {"image": squares})
    maps = features(network, torch.from_numpy(squares).permute(0, 3, 1, 2) / 255)
    assert np.abs(found - model.probabilities(means_of_maps(maps))).max() < 1e-4


@pytest.fixture
def run(pipeline, monkeypatch):
    """Runs the command in the pipeline's folder; its message."""
    monkeypatch.chdir(pipeline)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            export.main()
        assert "\n" not in caught.value.code
        return caught.value.code

    return command


def test_what_is_wrong_is_one_line_and_the_old_file_stays(run, tmp_path):
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    for arguments, problem in (
        ((MODEL,), "the following arguments are required: out"),
        (("nowhere", out), "there is no nowhere; `dvc repro classify_images` writes"),
        (("params.yaml", out), "params.yaml is not a valid safetensors file: "),
        ((paths.ALEXNET, out), f"{paths.ALEXNET} is no classifier: it has no labels"),
        ((MODEL, out, "--alexnet", MODEL), f"{MODEL} was trained on the features of another"),
        ((MODEL, out, "--alexnet", "x"), "there is no x; `dvc repro download_alexnet` fetches"),
        ((MODEL, tmp_path), f"{tmp_path}: Is a directory"),
    ):
        assert run(*arguments).startswith(f"error: {problem}")
    assert out.read_bytes() == b"old" and [*tmp_path.iterdir()] == [out]


def test_without_the_package_it_says_how_to_get_it(pipeline, tmp_path):
    code = "import runpy, sys; sys.modules['onnx'] = None; runpy.run_module('stages.tools.export')"
    result = execute(pipeline, sys.executable, "-c", code)
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("error: this needs the package onnx: `pip install ")
