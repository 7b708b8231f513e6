"""The labels of images, by their names, which files have in their metadata."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter

from stages.core.base.errors import InputError
from stages.core.base.tensors import open_tensors

DIGITS = [*"0123456789"]


def one_of(labels: Sequence[str]) -> str:
    """What to call one of the labels in a sentence: MNIST's are digits."""
    return "digit" if [*labels] == DIGITS else "label"


def _label_name(name: str) -> str:
    if not name.isprintable() or not 0 < len(name) <= 30 or name.strip(" .") != name:
        raise ValueError("it should be 1 to 30 characters, with no space or dot at an end")
    if found := set(name) & set('/\\:*?"<>|'):
        raise ValueError(f"it should do without {min(found)}, which no folder can have everywhere")
    return name


def _different(names: list[str]) -> list[str]:
    if len({name.casefold() for name in names}) < len(names):  # or two folders may be the same
        raise ValueError("no two names should be the same")
    return names


LabelNames = Annotated[
    list[Annotated[str, AfterValidator(_label_name)]], AfterValidator(_different)
]
NAMES = TypeAdapter(LabelNames)


def in_metadata(labels: Sequence[str]) -> dict[str, str]:
    """The names of the labels, for a file's metadata."""
    return {"labels": json.dumps([*labels], ensure_ascii=False)}


def read_labels(path: Path) -> list[str]:
    """The names of the labels. Raises InputError if the file has none."""
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
    try:
        return NAMES.validate_json(metadata["labels"], strict=True)
    except (KeyError, ValueError):
        raise InputError(
            f"{path} has no labels in its metadata; `dvc repro split_digits` writes them"
        ) from None
