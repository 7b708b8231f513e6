"""What makes a stage a command: its arguments, and errors that say what to mend.

Stages import it first. What importing torch and matplotlib makes lives as long as the process, so
the garbage collector only loses time with it: a third of the time that the imports take, and as
much again when the process ends. It is off until `run`, and leaves alone what is there by then.
"""

import argparse
import gc
import inspect
from collections.abc import Callable, Collection
from pathlib import Path

from stages.core.errors import explained

gc.disable()


def run(stage: Callable[..., None], models: Collection[str] = ()) -> None:
    """Call `stage`, with the model named on the command line where there is a choice of `models`.

    Errors that a user can mend end the process, as errors.explained does it.
    """
    gc.freeze()
    gc.enable()
    module = inspect.getmodule(stage)
    assert module is not None and module.__file__ is not None  # it was run as a file
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{Path(module.__file__).stem}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if models:
        parser.add_argument("model", choices=models)
    try:
        with explained():
            stage(**vars(parser.parse_args()))
    finally:
        gc.freeze()
