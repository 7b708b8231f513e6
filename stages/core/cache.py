"""Take the digest of everything in DVC's cache and of every output; remove what is wrong.

DVC looks no more into a file of its cache once that is read-only: what a disk or a hand changes
there is checked out, pushed and taken for right. After this command, `dvc repro` or `dvc pull`
brings back what was removed.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo


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


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.core.cache",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    try:
        repo = Repo()
        cache = Path(repo.cache.local.path)
        removed = []
        for path in wrong_in(cache):
            path.unlink()
            removed.append(path)
        for out in repo.index.outs:
            if is_wrong(out, cache):
                out.remove()
                removed.append(Path(out.fs_path))
        for path in removed:
            print(f"removed: {path.relative_to(repo.root_dir)}")
    except (DvcException, OSError) as error:
        sys.exit(f"error: {error}")
    if removed:
        sys.exit("error: what is named above was wrong; `dvc repro` or `dvc pull` brings it back")
    print("Everything has the digest that it should have.")


if __name__ == "__main__":
    main()
