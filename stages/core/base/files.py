"""Writing files and folders that are either whole or not there."""

import csv
import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


def _partial(path: Path) -> Path:
    """A name of its own beside `path`, where a process that should have ended long ago does no
    harm. What a killed process left there is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{escape(path.name)}.*.partial"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
    return path.with_name(f"{path.name}.{uuid4().hex}.partial")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for binary writing; it takes its name `path` only once it is whole.

    A failure, a full disk among them, leaves what was there before. So does writing: an old file
    that DVC linked to its cache is replaced, not written through.
    """
    try:
        partial = _partial(path)
        try:
            with partial.open("wb") as file:
                yield file
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        error.filename = path
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a new folder; it takes its name `path`, in place of an older one, only once whole."""
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a table; floats with as many digits as it takes to read the same number back."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    with new_file(path) as file:
        file.write(text.getvalue().encode())
