"""The versions of the packages that the outputs' bytes depend on.

`versions.txt` has them, beside this module: every stage depends on this folder, so `dvc repro` runs
all stages anew after `make lock` has changed one. Other packages may change without.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

LOCKED = Path(__file__).with_name("versions.txt")
MODULES = {"pillow": "PIL"}  # where a package's module has another name


def other_versions() -> Iterator[str]:
    """A warning for every package that this process has imported in another version."""
    for line in LOCKED.read_text(encoding="utf-8").splitlines():
        package, _, locked = line.partition("==")
        module = sys.modules.get(MODULES.get(package, package))
        if module is None:
            continue
        version = module.__version__.partition("+")[0]  # of 2.1.0+cpu, for example
        if version != locked:
            yield (
                f"warning: {package} {version} is installed, but {locked} is locked: outputs may "
                "differ from dvc.lock; `make` installs what is locked"
            )
