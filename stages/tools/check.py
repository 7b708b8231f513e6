"""Take the digest of everything in DVC's cache and of every output; remove what is wrong.

DVC looks no more into a file of its cache once that is read-only: what a disk or a hand changes
there is checked out, pushed and taken for right. After this command, `dvc repro` or `dvc pull`
brings back what was removed.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stages.core.base.command import Parser

from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo

from stages.core.base.errors import InputError, explained


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def wrong_in(cache: Path) -> Iterator[Path]:
    """The files of a cache that do not have the digest which their names say."""
    for path in sorted(cache.glob("??/*")):
        if f"{path.parent.name}{path.name}".removesuffix(".dir") != md5(path):
            yield path


def is_wrong(out: Output, cache: Path) -> bool:
    """Whether an output's files differ from dvc.lock, or one of them is not in the cache.

    One that does not exist is not wrong: DVC knows that it is to be made.
    """
    digest = out.hash_info.value
    path = Path(out.fs_path)
    if not out.use_cache or not digest or not path.exists():
        return False
    files = {path: digest}
    if out.hash_info.isdir:
        if not (cache / digest[:2] / digest[2:]).exists():
            return True
        files = {path.joinpath(*key): found.value for key, _, found in out.get_obj()}
    return any(
        not (cache / digest[:2] / digest[2:]).exists() or not file.exists() or md5(file) != digest
        for file, digest in files.items()
    )


def remove_wrong() -> list[Path]:
    """What was removed, cache and outputs. Raises InputError where DVC finds no project."""
    try:
        repo = Repo()
        cache = Path(repo.cache.local.path)
        files = [*wrong_in(cache)]
        for path in files:
            path.unlink()
        outs = [out for out in repo.index.outs if is_wrong(out, cache)]
        for out in outs:
            out.remove()
    except DvcException as error:
        raise InputError(str(error)) from None
    removed = [*files, *(Path(out.fs_path) for out in outs)]
    return [path.relative_to(repo.root_dir) for path in removed]


def main() -> None:
    parser = Parser("stages.tools.check", __doc__)
    parser.parse_args()
    with explained():
        removed = remove_wrong()
        for path in removed:
            print(f"removed: {path}")
        if removed:
            advice = "`dvc repro` or `dvc pull` brings it back"
            raise InputError(f"what is named above was wrong; {advice}")
    print("Everything has the digest that it should have.")


if __name__ == "__main__":
    main()
