"""Feed the readers of files with broken ones, and count what becomes of them.

For each reader a fuzzer that watches which code they reach makes as many inputs as are asked for,
out of a whole file. Each must be read or refused in one line; anything else ends the run, and shows
the input. `make fuzz` writes the table of docs/failures.md.
"""

import argparse
import gzip
import io
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from safetensors.numpy import save

from commands.faults import PAGE, write_table
from common.project import ROOT

SLOWEST = 10  # seconds of a processor
HEADER = ("reader", "inputs", "read", "refused in one line")
LIMIT = 20_000  # bytes that archives may unpack to


class Reader(NamedTuple):
    """Takes a file; for one that it should not take it raises `refusal`."""

    read: Callable[[Path], object]
    refusal: type[Exception]
    whole: bytes


def idx() -> bytes:
    return struct.pack(">4I", 0x0803, 2, 3, 4) + bytes(24)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../other", b"1")
        archive.writestr("member", b"content" * 9)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../member"
        archive.addfile(link)
        member = tarfile.TarInfo("member")
        member.size, member.pax_headers = 9, {"comment": "a"}
        archive.addfile(member, io.BytesIO(b"123456789"))
    return file.getvalue()


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(file, kind)
    return file.getvalue()


def readers() -> dict[str, Reader]:
    from stages.core.base.errors import InputError
    from stages.core.base.tensors import load_tensors, save_tensors
    from stages.core.data.idx import read_idx
    from stages.core.data.images import UnreadableImage, open_rgb
    from stages.core.fetch import archives
    from stages.core.fetch.download import SourceError
    from stages.core.fetch.unpickle import unpickle_arrays
    from stages.core.learning.trained import load_model

    def read_compressed_tar(path: Path) -> bytes:
        """Compressed here, so that the fuzzer's changes are to what is inside."""
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
        return archives.read_tar(path, "member", LIMIT)

    def read_metadata(path: Path) -> object:
        """In a file that is right but for them, so that the fuzzer's changes are to them."""
        save_tensors(weights, path, {"model": path.read_bytes().decode(errors="replace")})
        return load_model(path)

    layers = b'{"a": {"kind": "linear", "units": 2}}'
    about = b'{"input_shape": [3], "layers": ' + layers + b', "labels": ["a", "b"]}'
    weights = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.ones(2, np.float32)}
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    pickled = pickle.dumps({"a": array}, 3).replace(b"numpy._core", b"numpy.core")
    shapes = {"a": ("float32", ("rows", 3)), "b": ("int64", ("rows",))}
    tensors = save({"a": array, "b": np.arange(2)})
    return {
        "IDX": Reader(lambda path: read_idx(path, ndim=3), InputError, idx()),
        "zip": Reader(lambda p: archives.read_zip(p, "member", LIMIT), SourceError, zipped()),
        "tar": Reader(read_compressed_tar, SourceError, tarred()),
        "tar.gz": Reader(
            lambda path: archives.read_tar(path, "member", LIMIT),
            SourceError,
            gzip.compress(tarred(), mtime=0),
        ),
        "gzip": Reader(
            lambda path: archives.read_gzip(path, LIMIT), SourceError, gzip.compress(b"1" * 99)
        ),
        "pickle": Reader(
            lambda path: unpickle_arrays(path.read_bytes()), pickle.UnpicklingError, pickled
        ),
        "safetensors": Reader(lambda path: load_tensors(path, shapes), InputError, tensors),
        "layers": Reader(read_metadata, InputError, about),
        "PNG": Reader(open_rgb, UnreadableImage, picture("png")),
        "JPEG": Reader(open_rgb, UnreadableImage, picture("jpeg")),
    }


def is_read(reader: Reader, content: bytes, path: Path) -> bool:
    """Whether the content is read, or else refused in one line."""
    path.write_bytes(content)
    started = time.process_time()
    try:
        reader.read(path)
    except reader.refusal as error:
        assert str(error) and "\n" not in str(error), repr(str(error))
        return False
    finally:
        assert time.process_time() - started < SLOWEST
    return True


def fuzz(name: str, runs: int, folder: Path) -> None:
    """Let atheris make the inputs; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["stages", "zipfile", "tarfile", "gzip", "pickle"]):
        reader = readers()[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "whole").write_bytes(reader.whole)
    count, were_read = 0, 0

    def once(content: bytes) -> None:
        nonlocal count, were_read
        were_read += is_read(reader, content, folder / "file")
        count += 1
        if count == runs:
            print(f"counted: {count:,} {were_read:,} {count - were_read:,}", flush=True)

    options = [f"-runs={runs}", "-seed=1", "-max_len=4096", f"-timeout={SLOWEST}"]
    options += ["-rss_limit_mb=2048", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="for each reader")
    parser.add_argument("--reader", nargs=2, help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    if arguments.reader:
        name, folder = arguments.reader
        fuzz(name, arguments.inputs, Path(folder))
    rows = []
    for name in readers():
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # in memory: a file an input
            reader = ["--reader", name, folder, "--inputs", str(arguments.inputs)]
            command = [sys.executable, __file__, *reader]
            result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        counts = [line for line in result.stdout.splitlines() if line.startswith("counted: ")]
        if result.returncode != 0 or not counts:
            sys.exit(f"{result.stdout}{result.stderr}\nerror: {name} did neither")
        rows.append((name, *counts[0].removeprefix("counted: ").split()))
        print(*rows[-1], flush=True)
    write_table(PAGE, HEADER, rows)


if __name__ == "__main__":
    main()
