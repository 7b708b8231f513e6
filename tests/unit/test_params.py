"""params.yaml is read strictly, and says what is wrong with it."""

from pathlib import Path

import pytest
import yaml

from stages.core.base.errors import InputError
from stages.core.base.params import read_params
from stages.core.learning.settings import TrainParams
from stages.split_digits import SplitParams
from stages.train import ModelParams, SnapshotParams

from common import parameters
from common.parameters import MODELS, of_model, section
from common.project import ROOT

GOOD = {
    "digits": {"path": "data/mnist", "labels": [], "train": 2000, "val": 500, "test": 10000},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(digits, text=None):
    Path("params.yaml").write_text(text or yaml.safe_dump({"digits": digits}), encoding="utf-8")


def test_the_project_s_own_parameters_are_good(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert read_params("digits", SplitParams).model_dump() == parameters.read()["digits"]
    assert parameters.read()["digits"] == GOOD["digits"]
    for model in MODELS:
        params = read_params(section(model), ModelParams)
        assert params.model_dump() == of_model(parameters.read(), model)
        assert list(params.layers) == list(of_model(parameters.read(), model)["layers"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tran": 5}, "params.yaml: digits.tran is not a parameter; is it misspelt?"),
        ({"val": None}, "params.yaml: digits.val is None; it should be a valid integer"),
        ({"val": "five"}, "params.yaml: digits.val is 'five'; it should be a valid integer"),
        ({"val": 2.5}, "params.yaml: digits.val is 2.5; it should be a valid integer"),
        ({"val": True}, "params.yaml: digits.val is True; it should be a valid integer"),
        ({"val": 0}, "params.yaml: digits.val is 0; it should be greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_named(failure, change, message):
    write(GOOD["digits"] | change)
    assert failure("split_digits") == message


def test_a_missing_key_is_named(failure):
    write({key: value for key, value in GOOD["digits"].items() if key != "test"})
    assert failure("split_digits") == "params.yaml: digits.test is missing"


def test_all_that_is_wrong_is_named_in_one_line(failure):
    write({"path": "data/mnist", "labels": [], "train": -1, "val": 500, "tests": 7})
    assert failure("split_digits") == (
        "params.yaml: digits.train is -1; it should be greater than or equal to 1; "
        "digits.test is missing; digits.tests is not a parameter; is it misspelt?"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "params.yaml: digits is missing"),
        ("[1, 2]", "params.yaml: digits is missing"),
        ("digits:", "params.yaml: digits is None; it should be a section with keys of its own"),
        ("digits: {train: 1", "params.yaml, line 1: expected ',' or '}'"),
        ("digits: {train: 1, train: 2}", "params.yaml, line 1: found duplicate key"),
        (
            "digits:\n<<<<<<< HEAD\n  train: 1\n=======\n  train: 2\n>>>>>>> b\n",
            "params.yaml, line 2: git could not merge two versions, and left its marks; keep one",
        ),
        ("digits: 1\n---\n", "line 2: expected a single document in the stream, but found another"),
        ("digits: 2020-99-99", "params.yaml is not YAML: month must be in 1..12"),
        ("[" * 3000, "params.yaml is not YAML: maximum recursion depth"),
        ("\x00", "params.yaml is not YAML: unacceptable character"),
        ("digits: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_what_is_not_such_a_mapping_is_refused(failure, text, message):
    write(None, text)
    assert message in failure("split_digits")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_named(failure, encoding):
    Path("params.yaml").write_bytes("digits:\n  train: 1 # é".encode(encoding))
    line = 1 if encoding == "utf-16" else 2
    assert failure("split_digits") == (
        f"params.yaml, line {line}: it is not UTF-8; save it as UTF-8"
    )


def test_a_missing_file_is_named(failure):
    assert failure("split_digits") == "params.yaml: No such file or directory"


def test_an_exponent_makes_a_number():
    """As it does for DVC; to PyYAML it is a text."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(
        text.replace("learning_rate: 0.005", "learning_rate: 5e-3"), encoding="utf-8"
    )
    optimizer = of_model(parameters.read(Path()), "mlp")["optimizer"]
    assert optimizer["learning_rate"] == "5e-3"
    assert read_params(section("mlp"), ModelParams).optimizer.learning_rate == 0.005


def test_a_value_deep_inside_is_read_by_its_full_name():
    parameters.write(parameters.read())
    assert read_params(f"{section('cnn')}.title", str) == "CNN"
    assert read_params(f"{section('cnn')}.layers.conv1.channels", int) == 4


@pytest.mark.parametrize("name", ["models.cnn.titel", "models.cnn.title.more", "model.cnn.title"])
def test_a_name_that_leads_nowhere_is_missing(name):
    parameters.write(parameters.read())
    with pytest.raises(InputError, match=f"^params.yaml: {name} is missing$"):
        read_params(name, str)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("optimizer.learning_rate", 0, "it should be greater than 0"),
        ("optimizer.learning_rate", float("nan"), "it should be a finite number"),
        ("optimizer.learning_rate", float("inf"), "it should be a finite number"),
        ("optimizer.learning_rate", "fast", "it should be a valid number"),
        ("optimizer.momentum", 1, "it should be less than 1"),
        ("optimizer.momentum", -0.1, "it should be greater than or equal to 0"),
        ("optimizer.weight_decay", -1, "it should be greater than or equal to 0"),
        ("seed", 4294967296, "it should be less than 4294967296"),
        ("seed", -1, "it should be greater than or equal to 0"),
        ("layers.layer1.units", 0, "it should be greater than or equal to 1"),
        ("layers.layer1.units", 1025, "it should be less than or equal to 1024"),
        ("layers.layer1.units", 30.0, "it should be a valid integer"),
        ("batch_size", 0, "it should be greater than or equal to 1"),
        ("epochs", 0, "it should be greater than or equal to 1"),
        ("eval_every", 0, "it should be greater than or equal to 1"),
        ("title", 3, "it should be a valid string"),
    ],
)
def test_hyperparameters_have_ranges(failure, name, value, problem):
    params = parameters.read()
    of_model(params, "mlp")["optimizer"] |= {"kind": "sgd", "momentum": 0.9}
    parameters.set_value(params, f"{section('mlp')}.{name}", value)
    parameters.write(params)
    assert failure("train@mlp") == f"params.yaml: {section('mlp')}.{name} is {value!r}; {problem}"


@pytest.mark.parametrize("name", ["digits", "train", section("mlp"), "data_efficiency.pixels"])
def test_every_key_of_a_section_must_be_there(name):
    """Whichever is missing is named, and no section has a default."""
    kinds = {"digits": SplitParams, "train": SnapshotParams, "data_efficiency.pixels": TrainParams}
    for key in parameters.value(parameters.read(), name):
        params = parameters.read()
        del parameters.value(params, name)[key]
        parameters.write(params)
        with pytest.raises(InputError, match=f"^params.yaml: {name}.{key} is missing$"):
            read_params(name, kinds.get(name, ModelParams))


def test_a_colour_map_must_exist(failure):
    Path("params.yaml").write_text("weight_grid: {cmap: grey_and_pink}", encoding="utf-8")
    assert failure("weight_grid@mlp") == (
        "params.yaml: weight_grid.cmap is 'grey_and_pink'; "
        "it should be one of matplotlib's colour maps: gray, viridis, cividis, …"
    )
