"""What makes a stage a command: its arguments, and errors that say what to mend.

Stages import it first. What importing torch and matplotlib makes lives as long as the process, so
the garbage collector only loses time with it: a third of the time that the imports take, and as
much again when the process ends. It is off until `run`, and leaves alone what is there by then.
"""

import argparse
import gc
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stages.core.errors import InputError

gc.disable()


def run(stage: Callable[..., None], models: Sequence[str] = ()) -> None:
    """Call `stage`, with the model named on the command line where there is a choice of `models`.

    An InputError, and an error of the operating system (no such file, no space left, no
    permission), ends the process with one line on standard error and exit status 1.
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
    finally:
        gc.freeze()
