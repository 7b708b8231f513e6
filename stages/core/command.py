"""What makes a stage a command: its arguments, and errors that say what to mend."""

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


class InputError(Exception):
    """Something that the user can mend: the message says what, where, and what would be right."""


def run(stage: Callable[..., None], models: Sequence[str] = ()) -> None:
    """Call `stage`, with the model named on the command line where there is a choice of `models`.

    An InputError, and an error of the operating system (no such file, no space left, no
    permission), ends the process with one line on standard error and exit status 1.
    """
    module = inspect.getmodule(stage)
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{Path(module.__file__).stem}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if models:
        parser.add_argument("model", choices=models)
    try:
        stage(**vars(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports an interrupted command
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror}")
