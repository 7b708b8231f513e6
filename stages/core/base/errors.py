"""Errors that a user can fix."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Its message says what is wrong, where, and what would be right."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn an InputError, or an error of the operating system (no such file, no space left, no
    permission), into one line on standard error and exit status 1."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)  # a shell's status for an interrupted command
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror}")
