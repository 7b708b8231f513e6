"""Reading params.yaml: one section of it into a pydantic model, with errors that name the key."""

import re
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.core.command import InputError


class Params(BaseModel):
    """Parameters of a stage: no unknown keys, no conversions, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Seed = Annotated[int, Field(ge=0, lt=2**63)]
P = TypeVar("P", bound=Params)


class Loader(yaml.SafeLoader):
    """YAML as DVC reads it: `1e-3` is a number (PyYAML's own loader takes it for text)."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_params(path: Path, section: str, model: type[P]) -> P:
    """The `section` of a params file (dots lead downwards: "train.mlp") as a `model`.

    Raises InputError naming each wrong key, its value and what is allowed.
    """
    try:
        values = yaml.load(path.read_bytes(), Loader)
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}, line {error.problem_mark.line + 1}: {error.problem}") from None
    except yaml.YAMLError as error:
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


def _problem(details: dict, section: str) -> str:
    """One of pydantic's errors in words: "train.mlp.epochs is 0; it should be …"."""
    key = ".".join([section, *map(str, details["loc"])])
    match details["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a parameter; is it misspelt?"
        case "value_error":
            return f"{key} is {details['input']!r}; {details['ctx']['error']}"
    return f"{key} is {details['input']!r}; {details['msg'].replace('Input', 'it', 1)}"
