"""Reading sections of params.yaml into pydantic models, with errors that name the key."""

import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stages.core.base.errors import InputError

PARAMS = Path("params.yaml")  # DVC's name for it


class Params(BaseModel):
    """A section of parameters: no unknown keys, no type conversions, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _name(name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]{0,49}", name):
        raise ValueError("it should be 1 to 50 letters, digits, _ or -, and not start with -")
    if name in ("size", "nfiles"):  # DVC overlooks them when it looks for a run with equal params
        raise ValueError("DVC reserves this name; choose another")
    return name


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # torch's CPU generator takes no more bits
Name = Annotated[str, AfterValidator(_name)]
P = TypeVar("P")


def read_params(section: str, kind: type[P]) -> P:
    """The section of params.yaml with a dotted name ("models.mlp"), validated as `kind`.

    Raises InputError naming each wrong key, its value and what is allowed.
    """
    return validated(read_all(), section, kind)


def read_all() -> Any:
    """Whatever params.yaml holds.

    The file is parsed as YAML 1.2, as DVC does: `1e-3` is a number (to PyYAML it is a string).
    Raises InputError naming the line if it is not YAML.
    """
    try:
        text = PARAMS.read_bytes().decode("utf-8-sig")
        return YAML(typ="safe", pure=True).load(text)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{PARAMS}, line {line}: it is not UTF-8; save it as UTF-8") from None
    except MarkedYAMLError as error:
        if mark := re.search("^<{7} .*$", text, re.MULTILINE):
            line = text.count("\n", 0, mark.start()) + 1
            raise InputError(
                f"{PARAMS}, line {line}: git could not merge two versions, and left its marks; "
                "keep one of them, and remove the marks"
            ) from None
        words = error.problem
        if words.startswith("but "):
            words = f"{error.context}, {words}"
        raise InputError(f"{PARAMS}, line {error.problem_mark.line + 1}: {words}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{PARAMS} is not YAML: {' '.join(str(error).split())}") from None


def validated(values: Any, section: str, kind: type[P]) -> P:
    """The section with a dotted name in the `values` of params.yaml; raises as `read_params`."""
    for key in section.split("."):
        if not isinstance(values, dict) or key not in values:
            raise InputError(f"{PARAMS}: {section} is missing")
        values = values[key]
    try:
        return TypeAdapter(kind).validate_python(values, strict=True)
    except ValidationError as error:
        problems = "; ".join(_problem(details, section, values) for details in error.errors())
        raise InputError(f"{PARAMS}: {problems}") from None


def _problem(details: Mapping[str, Any], section: str, values: Any) -> str:
    """One of pydantic's errors as a sentence: "models.mlp.epochs is 0; it should be …"."""
    path = [section]
    for index, key in enumerate(details["loc"]):
        # pydantic's path also names the union member that it chose, which is not a key.
        found = isinstance(values, dict) and key in values
        if found or (index == len(details["loc"]) - 1 and key != "[key]"):
            path.append(str(key))
            values = values[key] if found else None
    key, value = ".".join(path), reprlib.repr(details["input"])
    match details["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a parameter; is it misspelt?"
        case "union_tag_not_found":
            return f"{key}.kind is missing"
        case "union_tag_invalid":
            context = details["ctx"]
            tags = context["expected_tags"].replace(", ", " or ")
            return f"{key}.kind is {context['tag']!r}; it should be {tags}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{key} is {value}; it should be a section with keys of its own"
        case "value_error":
            return f"{key} is {value}; {details['ctx']['error']}"
    return f"{key} is {value}; {re.sub('^(Input|String|Dictionary)', 'it', details['msg'])}"
