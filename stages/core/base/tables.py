"""Tables that other stages wrote."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stages.core.base.errors import InputError

Row = TypeVar("Row")


def read_table(path: Path, row_of: Callable[[dict[str, str]], Row]) -> list[Row]:
    """What `row_of` makes of each row of a CSV file, by the names of its columns.

    Raises InputError if it cannot make it of one.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row_of(row) for row in csv.DictReader(file, strict=True)]
    except KeyError as error:
        raise InputError(f"{path} has no column {error}; its stage would write one") from None
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is not as its stage writes it: {error}") from None
