"""All of params.yaml is checked before DVC starts, and what is wrong is one line."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from PIL import Image

from stages.core.base.errors import InputError
from stages.tools import params as tools
from stages.tools.params import KINDS, check_params, check_sections

from common import parameters
from common.graph import commands
from common.project import REPRO, ROOT, execute

PHOTO = parameters.read()["photo"]["path"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project, as far as its parameters go."""
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    Path(PHOTO).parent.mkdir(parents=True)
    for path in (PHOTO, parameters.read()["images"]["groups"]):
        shutil.copy(ROOT / path, path)
    return tmp_path


def check():
    check_params(there=True)
    check_sections()


def test_the_project_s_own_parameters_are_right_and_take_no_module(monkeypatch):
    """Those that dvc.lock has: their stages have read them."""
    monkeypatch.setattr(tools, "resolve_name", None)
    check()
    parameters.write(parameters.read() | {"train": {}}, Path())
    with pytest.raises(TypeError):
        check()


def test_every_section_that_stages_read_is_checked():
    sections = {name.removesuffix(".*") for name in KINDS}
    assert sections == parameters.read().keys()
    modules = {words[2] for words in commands().values()}
    assert {kind.partition(":")[0] for kind in KINDS.values()} <= modules


def every_section(values, name=""):
    """The full names of sections within sections, to any depth."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{name}{key}"
            yield from every_section(value, f"{name}{key}.")


# Whose entries have names of the user's own choice.
NAMED_BY_THE_USER = {"models", "convolve.convolutions"}
SECTIONS = [
    name
    for name in every_section(parameters.read())
    if name not in NAMED_BY_THE_USER and not name.endswith(".layers")
]


@pytest.mark.fault("a key of params.yaml that is misspelt or missing")
@pytest.mark.parametrize("name", SECTIONS)
def test_a_misspelt_or_missing_key_anywhere_is_named(name):
    params = parameters.read()
    section = parameters.value(params, name)
    section["misspelt"] = 1
    parameters.write(params)
    with pytest.raises(InputError, match=rf"{name}\.misspelt is not a parameter; is it misspelt"):
        check()
    del section["misspelt"]
    for key in [*section]:
        without = {other: value for other, value in section.items() if other != key}
        changed = parameters.read()
        parameters.set_value(changed, name, without)
        parameters.write(changed)
        with pytest.raises(InputError, match=rf"^params.yaml: {name}\.{key} is missing"):
            check()


@pytest.mark.fault("a key of params.yaml that is misspelt or missing")
@pytest.mark.parametrize("name", parameters.read())
def test_a_misspelt_or_missing_section_is_named(name):
    values = parameters.read()
    parameters.write(values | {f"{name}s": values[name]})  # for a stage of one's own, say
    check()
    del values[name]
    parameters.write(values | {f"{name}s": 1})
    with pytest.raises(InputError, match=rf"^params.yaml: {name}(\.path)? is missing$"):
        check()


@pytest.mark.parametrize("text", ["", "stages: [", None])
def test_a_broken_graph_is_not_blamed_on_the_parameters(text):
    """DVC says what is wrong with it."""
    if text is None:
        Path("dvc.yaml").unlink()
    else:
        Path("dvc.yaml").write_text(text, encoding="utf-8")
    check()


def test_a_section_of_a_stage_that_is_gone_may_be_gone_too():
    graph = Path("dvc.yaml").read_text(encoding="utf-8")
    start, end = graph.index("  alexnet_maps:\n"), graph.index("  data_efficiency:\n")
    graph = graph[:start] + graph[end:]
    Path("dvc.yaml").write_text(graph.replace(", alexnet_maps", ""), encoding="utf-8")
    values = parameters.read()
    del values["alexnet_maps"]
    parameters.write(values)
    check()


def test_values_of_two_runs_are_not_taken_for_right():
    """A stage has read the one, and another stage failed over it."""
    lock = Path("dvc.lock").read_text(encoding="utf-8")
    assert lock.count("snapshots: 16") > 1
    Path("dvc.lock").write_text(
        lock.replace("snapshots: 16", "snapshots: 160", 1), encoding="utf-8"
    )
    parameters.change(Path(), "train", snapshots=160)
    with pytest.raises(InputError, match="train.snapshots is 160; it should be less than or equal"):
        check()


@pytest.mark.fault("a model's input that no stage makes")
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("pixels", "is 'pixels'; it should be digits or embedded_digits"),
        ("../data/digits", "is '../data/digits'; it should be digits or embedded_digits"),
        ("", "is ''; it should be digits or embedded_digits"),
        (3, "is 3; it should be a valid string"),
        (None, "is None; it should be a valid string"),
    ],
)
def test_an_input_that_no_stage_makes_is_named_with_the_choices(value, problem):
    parameters.change_model(Path(), "mlp", input=value)
    with pytest.raises(InputError, match=f"^params.yaml: models.mlp.input {problem}$"):
        check()
    if value == "pixels":
        Path("data/pixels.safetensors").touch()  # somebody's own
        check()


@pytest.mark.fault("params.yaml with two documents, or without models")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\nmodels: {}\n", "line [0-9]+: expected a single document in the stream, but found"),
        (None, "models is None; it should be a section"),
        ({}, "models is empty; it should have one entry or more"),
        ({7: {}}, "models.7 is 7; it should be a valid string"),
        ({"a;b": {}}, "models.a;b is 'a;b'; it should be 1 to 50 letters"),
    ],
)
def test_no_models_or_two_documents_are_one_line(text, problem):
    if isinstance(text, str):
        with Path("params.yaml").open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        parameters.write(parameters.read() | {"models": text})
    with pytest.raises(InputError, match=f"^params.yaml[:,] {problem}"):
        check()


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.fault("a pipe, a socket, a device or a broken link among the images")
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (os.mkfifo, "is neither a file nor a folder"),
        (a_socket, "is neither a file nor a folder"),
        (lambda path: path.symlink_to(os.devnull), "is neither a file nor a folder"),
        (lambda path: path.symlink_to("gone"), "is a link that leads nowhere"),
    ],
)
def test_what_dvc_could_read_for_ever_is_refused(make, problem):
    Path("own/a").mkdir(parents=True)
    Image.new("L", (90, 90)).save("own/a/b.png")
    parameters.change(Path(), "images", path="own")
    check()
    make(Path("own/a/it"))
    message = f"params.yaml: images.path: own/a/it {problem}; remove it, or name it in .dvcignore"
    with pytest.raises(InputError, match=f"^{message}$"):
        check()
    Path(".dvcignore").write_text("own/a/it\n", encoding="utf-8")
    check()


@pytest.mark.fault("a file name that is not UTF-8 among the images")
def test_a_name_that_is_not_utf_8_is_refused():
    Path("own").mkdir()
    Path(os.fsdecode(b"own/\xff.png")).touch()
    parameters.change(Path(), "images", path="own")
    with pytest.raises(InputError, match="has a name that is not UTF-8; remove it"):
        check()


@pytest.mark.fault("a key of params.yaml that is misspelt or missing")
def test_repro_says_it_before_dvc_starts(folder):
    (folder / ".dvc").mkdir()
    parameters.change(folder, "images", pol=True)
    result = execute(folder, *REPRO, "--jobs", "1", PYTHONPATH=str(ROOT))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: params.yaml: images.pol is not a parameter; is it misspelt?\n"
