"""The project as DVC sees it, for commands beside the pipeline; errors of DVC in one line."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.lock import LockError
from dvc.repo import Repo

from stages.core.base.addresses import shown
from stages.core.base.errors import InputError
from stages.core.base.params import PARAMS
from stages.tools.params import GRAPH, check_params

# What to do, by words in the message of a library.
ADVICE = {
    "not owned by current user": "`git config --global --add safe.directory {folder}` trusts it",
    "is not a git repository": "clone the project with git",
    "Empty git repo": "commit something first",
}


def in_one_line(error: BaseException) -> str:
    """What an error and its causes say, and what helps, where we know it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = " ".join(str(cause).split()).rstrip(".")
        if text and not any(text in part for part in parts):
            parts.append(text)
        cause = cause.__cause__
    if not parts:
        parts.append(f"DVC ends with {type(error).__name__} over {GRAPH}, {PARAMS} or dvc.lock")
    message = re.sub(r"\w+://[^\s'\"]+", lambda found: shown(found[0]), ": ".join(parts))
    folder = shlex.quote(str(Path.cwd()))
    advice = [text.format(folder=folder) for words, text in ADVICE.items() if words in message]
    return "; ".join([message, *advice])


@contextmanager
def explained_by_dvc(where: str = "") -> Iterator[None]:
    """Turn whatever DVC raises into an InputError that starts with `where`.

    DVC reads what people edit (dvc.yaml, dvc.lock, its configuration) and git's and its own
    databases through a dozen libraries, each with exceptions of its own; there is no class for all
    of them. So keep to calls of DVC in the block.
    """
    try:
        yield
    except InputError:
        raise
    except LockError as error:
        reason, *_ = str(error).split("\n\n")
        raise InputError(f"wait until DVC has finished: {' '.join(reason.split())}") from None
    except Exception as error:
        raise InputError(where + in_one_line(error)) from None


def check_folder() -> None:
    """Raises InputError unless the current folder is that of a project: all paths start there."""
    with explained_by_dvc():
        root = Path(Repo.find_root())
    if root != Path.cwd():
        raise InputError(f"run this in the project's folder: cd {shlex.quote(str(root))}")


def open_project() -> Repo:
    """The project in this folder, its stages read. Raises InputError if that is impossible, or if
    there are none."""
    check_folder()
    check_params()
    with explained_by_dvc():
        repo = Repo()
        stages = repo.index.stages
        _ = repo.index.graph  # checks that outputs do not overlap, and that there is no cycle
    if not stages:
        raise InputError(f"{repo.root_dir} has no {GRAPH} with stages")
    return repo
