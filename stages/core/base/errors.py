"""Errors that a user can fix."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

NO_MEMORY = ("allocate memory", "bad_alloc", "failed to map segment")


class InputError(Exception):
    """Its message says what is wrong, where, and what would be right."""


def say(*lines: str) -> None:
    """Print lines, and write all that was printed. Raises OSError that names standard output if
    that is impossible."""
    try:
        for line in lines:
            print(line)
        if sys.stdout is not None:  # it may be closed
            sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


@contextmanager
def explained() -> Iterator[None]:
    """Turn an InputError, or an error of the operating system (no such file, no space left, no
    permission), into one line on standard error and exit status 1."""
    try:
        yield
        say()
    except KeyboardInterrupt:
        sys.exit(130)  # a shell's status for an interrupted command
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno in (None, errno.ENOMEM, errno.EPIPE):
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror}")
    finally:
        try:
            say()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would complain at exit


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For sys.excepthook: what the machine or the environment lacks in one line, also while modules
    are imported; a traceback for the rest, which are faults of ours."""
    if isinstance(error, KeyboardInterrupt):
        return
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would complain at exit
        return
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in NO_MEMORY):
        allowed = ""
        if sys.platform != "win32":
            import resource

            limit, _ = resource.getrlimit(resource.RLIMIT_AS)
            allowed = f": `ulimit -v` allows {limit // 1024} KiB" if limit > 0 else ""
        print(f"error: not enough memory{allowed}", file=sys.stderr)
    elif "can't start new thread" in str(error):
        print("error: no more threads: `ulimit -u`, or the memory, is used up", file=sys.stderr)
    elif isinstance(error, ModuleNotFoundError):
        frames = [f for f in traceback.extract_tb(trace) if not f.filename.startswith("<frozen")]
        where = f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
        if (error.name or "").partition(".")[0] == "stages":
            remedy = "does git know its file, and dvc.yaml its folder as a dependency of the stage?"
        else:
            remedy = (
                f"it is not installed for {sys.executable}: activate .venv, or run `make`; a new "
                "package belongs in pyproject.toml, and then `make lock`"
            )
        print(f"error: {where}no module {error.name}: {remedy}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
