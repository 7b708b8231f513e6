"""params.yaml is read strictly, and says what is wrong with it."""

from pathlib import Path

import pytest
import yaml
from stages.core.classifiers import MLPParams

from stages import split_digits
from stages.core.base.params import read_params

from common import parameters
from common.parameters import of_model, section
from common.project import ROOT

GOOD = {"digits": {"train": 2000, "val": 500, "test": 10000}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(digits, text=None):
    Path("params.yaml").write_text(text or yaml.safe_dump({"digits": digits}))


def test_the_project_s_own_parameters_are_good():
    params = read_params(ROOT / "params.yaml", "digits", split_digits.SplitParams)
    assert params.model_dump() == GOOD["digits"]
    mlp = read_params(ROOT / "params.yaml", section("mlp"), MLPParams)
    assert (mlp.num_hidden, mlp.learning_rate, mlp.batch_size, mlp.epochs) == (30, 0.005, 64, 3)


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
    write({"train": 2000, "val": 500})
    assert failure("split_digits") == "params.yaml: digits.test is missing"


def test_all_that_is_wrong_is_named_in_one_line(failure):
    write({"train": -1, "val": 500, "tests": 7})
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
        ("digits: 2020-99-99", "params.yaml is not YAML: month must be in 1..12"),
        ("[" * 3000, "params.yaml is not YAML: maximum recursion depth"),
        ("\x00", "params.yaml is not YAML: unacceptable character"),
        ("digits: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_what_is_not_such_a_mapping_is_refused(failure, text, message):
    write(None, text)
    assert message in failure("split_digits")


def test_a_missing_file_is_named(failure):
    assert failure("split_digits") == "params.yaml: No such file or directory"


def test_an_exponent_makes_a_number(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("learning_rate: 0.005", "learning_rate: 5e-3"))
    assert of_model(parameters.read(tmp_path), "mlp")["learning_rate"] == "5e-3"
    assert read_params(path, section("mlp"), MLPParams).learning_rate == 0.005


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("learning_rate: 0", "learning_rate is 0; it should be greater than 0"),
        ("learning_rate: .nan", "learning_rate is nan; it should be a finite number"),
        ("learning_rate: .inf", "learning_rate is inf; it should be a finite number"),
        ("learning_rate: fast", "learning_rate is 'fast'; it should be a valid number"),
        ("optimizer: adamw", "optimizer is 'adamw'; it should be 'adam' or 'sgd'"),
        ("momentum: 1", "momentum is 1; it should be less than 1"),
        ("weight_decay: -1", "weight_decay is -1; it should be greater than or equal to 0"),
        ("seed: 4294967296", "seed is 4294967296; it should be less than 4294967296"),
        ("seed: -1", "seed is -1; it should be greater than or equal to 0"),
        ("num_hidden: 0", "num_hidden is 0; it should be greater than or equal to 1"),
        ("epochs: 0", "epochs is 0; it should be greater than or equal to 1"),
        ("eval_every: 0", "eval_every is 0; it should be greater than or equal to 1"),
    ],
)
def test_hyperparameters_have_ranges(failure, change, message):
    params = parameters.read()
    of_model(params, "mlp").update(yaml.safe_load(change))
    parameters.write(params)
    assert failure("train@mlp") == f"params.yaml: {section('mlp')}.{message}"


def test_a_colour_map_must_exist(failure):
    Path("params.yaml").write_text("weight_grid: {cmap: grey_and_pink}")
    assert failure("weight_grid@mlp") == (
        "params.yaml: weight_grid.cmap is 'grey_and_pink'; "
        "it should be one of matplotlib's colour maps: gray, viridis, cividis, …"
    )
