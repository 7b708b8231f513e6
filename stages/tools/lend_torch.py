"""Make an environment that uses the PyTorch of the Python which runs this; that one is not changed.

`make TORCH=mine` runs it. A path file in the environment leads to where torch and torchvision are;
the file `torch` says what they are.
"""

import sys
import venv
from importlib.util import find_spec
from pathlib import Path

OLDEST = (2, 8)  # torch


def lend(environment):
    """Ends the process if this Python has no torch and torchvision, or an old one, or no venv."""
    mine = sys.executable
    if find_spec("ensurepip") is None:
        sys.exit(f"error: {mine} has no venv: on Debian and Ubuntu, install python3-venv")
    try:
        import torch
        import torchvision
    except Exception as error:  # of any kind: a build for other processors, or for another torch
        reason = " ".join(str(error).split())
        sys.exit(f"error: {mine} cannot import torch and torchvision: {reason}")
    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        sys.exit(f"error: {mine} has torch {torch.__version__}: it should be {oldest} or newer")
    places = {str(Path(str(module.__file__)).parents[1]) for module in (torch, torchvision)}
    venv.create(environment, with_pip=True, symlinks=True)
    [packages] = Path(environment).glob("lib/python*/site-packages")
    (packages / "torch-of-another.pth").write_text("\n".join(sorted(places)) + "\n", "utf-8")
    found = f"torch {torch.__version__} and torchvision {torchvision.__version__} of {mine}"
    Path(environment, "torch").write_text(found + "\n", "utf-8")
    print(f"Using {found}")


if __name__ == "__main__":
    lend(*sys.argv[1:])
