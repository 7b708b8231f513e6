"""Atomic writes: a file or folder is either complete or not there."""

import csv
import errno
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, TextIO
from uuid import uuid4


def _partial(path: Path) -> Path:
    """A unique temporary name beside `path`, so that a leftover process cannot write into our file.

    Removes leftover files of killed processes. Raises FileExistsError if there is a device or a
    pipe, such as /dev/null: it must not be replaced. An empty path is the current folder.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileExistsError(errno.EEXIST, "It is neither a file nor a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{escape(path.name)}.*.partial"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
    return path.with_name(f"{path.name}.{uuid4().hex}.partial")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for binary writing; it gets its name, `path`, only once it is complete.

    A failure leaves the old file as it was. Success replaces it rather than writing into it, since
    it may be a link into DVC's cache. An OSError names `path`, not the temporary file.
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
    """Make a new folder; once complete, it gets its name, `path`, and replaces an older one.

    A failure leaves the old folder as it was. An OSError names what was to be in `path`.
    """
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        partial.replace(path)
    except OSError as error:
        failed = Path(error.filename or partial)
        if failed.is_relative_to(partial):
            error.filename = path / failed.relative_to(partial)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def unnamed_file(folder: Path) -> Iterator[IO[bytes]]:
    """Open a new file for what does not fit into memory. It has no name, so it disappears with the
    process, however that ends. An OSError that names no file names the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            yield file
    except OSError as error:
        error.filename = error.filename or folder
        raise


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class UnixLines:
    """Ends each line with a line feed alone."""

    def __init__(self, text: TextIO) -> None:
        self.text = text

    def write(self, line: str) -> None:
        self.text.write(line.removesuffix("\r\n") + "\n")


def csv_writer(text: TextIO) -> Any:
    """A writer of the module csv, which quotes a field that has a character of the line's end. Of a
    line feed alone, a carriage return would not be quoted, and readers would take it for an end."""
    return csv.writer(UnixLines(text), lineterminator="\r\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV file atomically; floats have enough digits to be read back exactly."""
    with new_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        table = csv_writer(text)
        table.writerow(header)
        table.writerows(rows)
        text.detach()
