"""Errors that a user can fix."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """The message says what is wrong, where, and what would be right."""


@contextmanager
def explained() -> Iterator[None]:
    """End the process with one line on standard error and exit status 1 at an InputError, or at an
    error of the operating system: no such file, no space left, no permission."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports an interrupted command
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror}")
