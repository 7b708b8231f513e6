"""Running a module as a command: arguments from the command line, errors in one line.

Stages import it first, because it hides a user's settings from the libraries that they import, and
turns the garbage collector off until `run`. Objects made by importing torch and matplotlib never
become garbage, so scanning them is wasted: it takes a third of the import time, and as much again
at exit. `run` exempts them before it turns the collector on.
"""

import argparse
import gc
import inspect
import io
import os
import sys
from collections.abc import Callable
from itertools import takewhile
from typing import NoReturn

from stages.core.base.errors import explain, explained
from stages.core.base.versions import other_versions

gc.disable()
sys.excepthook = explain

# Settings that a user made for other programs. Libraries read them when they are imported: some
# would stop a stage, and some would change what it draws or computes.
for name in [*os.environ]:
    if name == "TQDM_DISABLE":  # for silence, which changes nothing
        continue
    if name.startswith(("MPLBACKEND", "NPY_", "NUMPY_", "PYTORCH_", "TORCH_", "TQDM_")):
        del os.environ[name]
os.environ["MATPLOTLIBRC"] = os.devnull
# Stages have a thread of their own for each core; a library's would only compete with them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may lack a letter, such as ×
    sys.stdout.reconfigure(errors="backslashreplace")


class Parser(argparse.ArgumentParser):
    """A command-line parser for a module: its docstring is the help, and a wrong argument ends the
    process with one line on standard error and exit status 1."""

    def __init__(self, module: str, doc: str | None) -> None:
        super().__init__(
            prog=f"python -m {module}",
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        sys.exit(f"error: {message}; see {self.prog} --help")


def run(stage: Callable[..., None]) -> None:
    """Call `stage` with the command line's arguments, one per parameter, as its annotation's type.

    A word # starts a comment, as in a shell: on Windows, where there is none, commands have theirs.
    Errors that a user can fix end the process, as in `errors.explained`.
    """
    gc.freeze()
    gc.enable()
    module = inspect.getmodule(stage)
    assert module is not None and module.__spec__ is not None  # run with `python -m`
    parser = Parser(module.__spec__.name, module.__doc__)
    for name, parameter in inspect.signature(stage).parameters.items():
        parser.add_argument(name, type=parameter.annotation)
    try:
        with explained():
            words = takewhile(lambda word: word != "#", sys.argv[1:])
            arguments = vars(parser.parse_args([*words]))
            for warning in other_versions():
                print(warning, file=sys.stderr)
            stage(**arguments)
    finally:
        gc.freeze()
