"""Rehash everything in DVC's cache and every output; remove wrong files and leftover outputs.

DVC does not rehash read-only cache files, so damage spreads unnoticed: a file that a failing disk
or a person has changed is checked out and pushed. Nor does DVC remove the outputs of stages that
are no longer in dvc.yaml, such as a removed model's. After this command, `dvc repro` or `dvc pull`
restores what was wrong; leftover outputs stay in the cache. It does nothing while DVC is running.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stages.core.base.command import Parser

from dvc.output import Output
from dvc.repo import Repo
from dvc.rwlock import rwlock

from stages.core.base.errors import InputError, explained, say
from stages.tools.project import explained_by_dvc, open_project

DIGEST = r"[0-9a-f]{30}(\.dir)?"  # of a file in the cache; the folder has the first two digits


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


@contextmanager
def locked(repo: Repo) -> Iterator[None]:
    """Hold DVC's locks of the project and of all outputs: while a stage runs, DVC has released the
    first, but not those of the stage's outputs. Raises LockError if another process holds one.
    """
    outputs = [out.fs_path for out in repo.index.outs]
    with repo.lock, rwlock(repo.tmp_dir, repo.fs, "make check", [], outputs, hardlink=False):
        yield


def cached(digest: str, cache: Path) -> Path:
    return cache / digest[:2] / digest[2:]


def wrong_in(cache: Path) -> Iterator[Path]:
    """The files of a cache whose digests differ from their names. Those with other names are being
    written, by an experiment in DVC's queue perhaps, or by another clone that shares the cache."""
    for path in sorted(cache.glob("??/*")):
        if not re.fullmatch(DIGEST, path.name):
            continue
        if f"{path.parent.name}{path.name}".removesuffix(".dir") != md5(path):
            yield path


def is_cached(path: Path, digest: str, cache: Path) -> bool:
    """Whether the file or folder at `path` has this digest, and is in the cache, too."""
    files = {path: digest}
    if digest.endswith(".dir"):
        if not cached(digest, cache).exists():
            return False
        entries = json.loads(cached(digest, cache).read_text(encoding="utf-8"))
        files = {path / entry["relpath"]: entry["md5"] for entry in entries}
    return all(
        cached(digest, cache).exists() and file.exists() and md5(file) == digest
        for file, digest in files.items()
    )


def is_wrong(out: Output, cache: Path) -> bool:
    """Whether an output's files differ from dvc.lock, or one of them is missing from the cache.

    An output that does not exist is not wrong: DVC knows that it has to be made.
    """
    digest, path = out.hash_info.value, Path(out.fs_path)
    if not out.use_cache or not digest or not path.exists():
        return False
    return not is_cached(path, digest, cache)


def left_over(repo: Repo, cache: Path) -> Iterator[Path]:
    """Files that no stage makes, in folders that a stage reads as a whole and others write to. Only
    those that are in the cache: others may be somebody's own."""
    made = [Path(out.fs_path) for out in repo.index.outs]
    read = {Path(dep.fs_path) for dep in repo.index.deps}
    for folder in sorted(folder for folder in read if any(folder in out.parents for out in made)):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            is_made = any(out == path or out in path.parents for out in made)
            if not is_made and cached(md5(path), cache).exists():
                yield path


def remove_wrong(repo: Repo) -> tuple[list[Path], list[Path]]:
    """Remove wrong files and leftover outputs; returns the paths of both."""
    cache = Path(repo.cache.local.path)
    wrong = [*wrong_in(cache)]
    for path in wrong:
        path.unlink()
    for out in [out for out in repo.index.outs if is_wrong(out, cache)]:
        out.remove()
        wrong.append(Path(out.fs_path))
    leftovers = [*left_over(repo, cache)]
    for path in leftovers:
        path.unlink()
        with suppress(OSError):  # a model's folder of figures, once it is empty
            path.parent.rmdir()
    return wrong, leftovers


def main() -> None:
    Parser("stages.tools.check", __doc__).parse_args()
    with explained():
        repo = open_project()
        with explained_by_dvc(), locked(repo):
            wrong, leftovers = remove_wrong(repo)
        for path in leftovers:
            say(f"removed a leftover output: {path.relative_to(repo.root_dir)}")
        for path in wrong:
            say(f"removed: {path.relative_to(repo.root_dir)}")
        if wrong:
            advice = "`dvc repro` or `dvc pull` brings them back"
            raise InputError(f"the files above were wrong; {advice}")
        say("Every file has the right digest.")


if __name__ == "__main__":
    main()
