"""Reproduce the committed pipeline from its sources, and compare every output with dvc.lock.

`make verify` runs the stages of HEAD in a clean copy with an empty cache, so that nothing which was
computed before is used. Sources that were downloaded before are, unless --fresh is given; they are
checked against their digests either way. Exit status 1 means that something differs.
"""

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from dvc.repo import Repo
from PIL import Image
from safetensors.numpy import load
from tabulate import tabulate

ROOT = Path(__file__).parents[2]
SHOWN = 5  # differences of a file that are listed


def git(*arguments: str) -> str:
    return subprocess.run(
        ("git", *arguments), cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    ).stdout


def reproduce(folder: Path, fresh: bool) -> None:
    """Run every stage of HEAD in a clone, without a cache or the user's settings of DVC."""
    git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path}
    environment |= {"DVC_GLOBAL_CONFIG_DIR": str(folder), "DVC_SYSTEM_CONFIG_DIR": str(folder)}
    if fresh:
        environment["XDG_CACHE_HOME"] = str(folder.parent / "downloads")
    subprocess.run(("dvc", "repro", "--no-run-cache"), cwd=folder, env=environment, check=True)


class Cache:
    """The files in a project's DVC cache, by their digests."""

    def __init__(self, project: Path) -> None:
        self.cache = Repo(str(project)).cache.local

    def read(self, md5: str) -> bytes | None:
        path = Path(self.cache.oid_to_path(md5))
        return path.read_bytes() if path.exists() else None

    def files(self, path: str, md5: str | None) -> dict[str, str]:
        """The digest of each file of an output; none of a folder that is not in the cache."""
        if md5 is None:
            return {}
        if not md5.endswith(".dir"):
            return {path: md5}
        entries = json.loads(self.read(md5) or "[]")
        return {f"{path}/{entry['relpath']}": entry["md5"] for entry in entries}


def differences(name: str, committed: bytes | None, made: bytes | None) -> Iterator[str]:
    """How two versions of a file differ: which tensors, pixels or fields, and by how much."""
    if made is None:
        yield "was not made"
    elif committed is None:
        yield "the committed file is not in the cache, so how it differs is unknown"
    elif name.endswith(".safetensors"):
        found = list(tensor_differences(load(committed), load(made)))
        yield from found or ["the same tensors, with other metadata or in another order"]
    elif name.endswith(".png"):
        yield from pixel_differences(
            *(np.asarray(Image.open(io.BytesIO(b))) for b in (committed, made))
        )
    elif name.endswith(".parquet"):
        a, b = (pq.read_table(io.BytesIO(content)) for content in (committed, made))
        yield from field_differences(*map(cells, (a, b)))
        yield from tensor_differences(
            *({"features": np.stack(table["features"].to_numpy())} for table in (a, b))
        )
    else:
        yield from field_differences(fields(name, committed), fields(name, made))


def tensor_differences(
    committed: dict[str, np.ndarray], made: dict[str, np.ndarray]
) -> Iterator[str]:
    for name in sorted(committed.keys() | made.keys()):
        a, b = committed.get(name), made.get(name)
        if a is None or b is None:
            yield f"{name} is in {'the committed' if b is None else 'the reproduced'} file alone"
        elif a.shape != b.shape or a.dtype != b.dtype:
            yield f"{name} is {b.dtype} {b.shape}, committed {a.dtype} {a.shape}"
        elif a.tobytes() != b.tobytes():
            gap = np.abs(a.astype(float) - b.astype(float))
            count, largest = np.count_nonzero(gap), gap.max()
            yield f"{name}: {count:,} of {gap.size:,} elements, by at most {largest:.3g}"


def pixel_differences(committed: np.ndarray, made: np.ndarray) -> Iterator[str]:
    if committed.shape != made.shape:
        yield f"{made.shape} pixels and channels, committed {committed.shape}"
        return
    gap = np.abs(committed.astype(int) - made)
    rows, columns = np.nonzero(gap.max(axis=-1))
    if len(rows) == 0:
        yield "the same pixels, compressed or described otherwise"
        return
    yield (
        f"{len(rows):,} pixels in rows {rows.min()} to {rows.max()}, "
        f"columns {columns.min()} to {columns.max()}, by at most {gap.max()} of 255"
    )


def fields(name: str, content: bytes) -> dict[str, str]:
    """The fields of a file of text by their names, or its lines by their numbers."""
    text = content.decode()
    if name.endswith(".json"):
        return {key: str(value) for key, value in json.loads(text).items()}
    if name.endswith(".csv"):
        return {
            f"row {number}, {key}": value
            for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=1)
            for key, value in row.items()
        }
    return {f"line {number}": line for number, line in enumerate(text.splitlines(), start=1)}


def cells(table: pa.Table) -> dict[str, str]:
    """What the rows of a table of features say beside them."""
    return {
        f"row {number}, {key}": str(value)
        for number, row in enumerate(table.drop_columns("features").to_pylist(), start=1)
        for key, value in row.items()
    }


def field_differences(committed: dict[str, str], made: dict[str, str]) -> Iterator[str]:
    for key in committed | made:
        a, b = committed.get(key, "nothing"), made.get(key, "nothing")
        if a != b:
            yield f"{key} is {b}, committed {a}"


def outputs(lock: str) -> dict[tuple[str, str], str]:
    """The digest of each output of a dvc.lock, by its stage and path."""
    return {
        (stage, output["path"]): output["md5"]
        for stage, entry in yaml.safe_load(lock)["stages"].items()
        for output in entry["outs"]
    }


def compare_output(
    path: str, digests: tuple[str | None, str | None], caches: tuple[Cache, Cache]
) -> Iterator[str]:
    """How the files of an output differ, committed against made."""
    if digests[0] == digests[1]:
        return
    committed, made = (cache.files(path, md5) for cache, md5 in zip(caches, digests, strict=True))
    for name in committed | made:
        if committed.get(name) != made.get(name):
            contents = (
                cache.read(files[name]) if name in files else None
                for cache, files in zip(caches, (committed, made), strict=True)
            )
            found = list(differences(name, *contents))
            rest = [f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
            yield from (f"{name}: {how}" for how in found[:SHOWN] + rest)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fresh", action="store_true", help="download the sources anew")
    arguments = parser.parse_args()
    changes = git("status", "--porcelain")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        try:
            reproduce(copy, arguments.fresh)
        except subprocess.CalledProcessError as error:
            sys.exit(f"error: {' '.join(error.cmd)} failed in a clean copy of HEAD")
        committed = outputs(git("show", "HEAD:dvc.lock"))
        made = outputs((copy / "dvc.lock").read_text(encoding="utf-8"))
        caches = Cache(ROOT), Cache(copy)
        rows, problems = [], []
        for stage, path in committed | made:
            digests = committed.get((stage, path)), made.get((stage, path))
            rows.append(
                (stage, path, *digests, "same" if digests[0] == digests[1] else "DIFFERENT")
            )
            problems += compare_output(path, digests, caches)
    print(tabulate(rows, headers=("stage", "output", "in dvc.lock", "reproduced", "")))
    print(*problems, sep="\n")
    if changes:
        print(f"Not committed, so not verified:\n{changes}", end="")
    sys.exit(any(verdict == "DIFFERENT" for *_, verdict in rows))


if __name__ == "__main__":
    main()
