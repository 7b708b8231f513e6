"""What makes a module a command: its arguments, and errors that end it in one line.

Stages import it first. Importing torch and matplotlib makes objects that live as long as the
process: they never become garbage, so scanning them is wasted. It takes a third of the imports'
time, and as much again when the process ends. So the collector is off until `run`, and then leaves
alone what is there by then.
"""

import argparse
import gc
import inspect
import sys
from collections.abc import Callable
from typing import NoReturn

from stages.core.base.errors import explained

gc.disable()


class Parser(argparse.ArgumentParser):
    """A parser of the command line that describes a module by its docstring, and ends the process
    with one line and exit status 1 when an argument is wrong."""

    def __init__(self, module: str, doc: str | None) -> None:
        super().__init__(
            prog=f"python -m {module}",
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        sys.exit(f"error: {message}; see {self.prog} --help")


def run(stage: Callable[..., None]) -> None:
    """Call `stage` with the arguments of the command line, one for each of its parameters.

    Errors that a user can fix end the process, as `errors.explained` does it.
    """
    gc.freeze()
    gc.enable()
    module = inspect.getmodule(stage)
    assert module is not None and module.__spec__ is not None  # it was run as `python -m`
    parser = Parser(module.__spec__.name, module.__doc__)
    for name, parameter in inspect.signature(stage).parameters.items():
        parser.add_argument(name, type=parameter.annotation)
    try:
        with explained():
            stage(**vars(parser.parse_args()))
    finally:
        gc.freeze()
