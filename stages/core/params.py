"""Reading params.yaml: one section of it into a pydantic model, with errors that name the key."""

import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stages.core.errors import InputError


class Params(BaseModel):
    """Parameters of a stage: no unknown keys, no conversions, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # torch's generator on the CPU takes no more bits
P = TypeVar("P", bound=BaseModel)


def read_params(path: Path, section: str, model: type[P]) -> P:
    """The `section` of a params file (dots lead downwards: "train.mlp") as a `model`.

    A RootModel takes a single value. The file is read as DVC reads it: YAML 1.2, in which `1e-3` is
    a number (to PyYAML it is text).
    Raises InputError naming each wrong key, its value and what is allowed.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_bytes())
    except MarkedYAMLError as error:
        raise InputError(f"{path}, line {error.problem_mark.line + 1}: {error.problem}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    for key in section.split("."):
        if not isinstance(values, dict) or key not in values:
            raise InputError(f"{path}: {section} is missing")
        values = values[key]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(details, section) for details in error.errors())
        raise InputError(f"{path}: {problems}") from None


def _problem(details: Mapping[str, Any], section: str) -> str:
    """One of pydantic's errors in words: "train.mlp.epochs is 0; it should be …"."""
    key = ".".join([section, *map(str, details["loc"])])
    value = reprlib.repr(details["input"])
    match details["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a parameter; is it misspelt?"
        case "model_type" | "dict_type":
            return f"{key} is {value}; it should be a section with keys of its own"
        case "value_error":
            return f"{key} is {value}; {details['ctx']['error']}"
    return f"{key} is {value}; {re.sub('^(Input|String|Dictionary)', 'it', details['msg'])}"
