"""Reading members of archives into memory.

Nothing is extracted, so a name such as `../x` cannot escape; nothing is unpacked beyond a limit.
Each reader raises SourceError if the archive is broken, if the member is missing or a link, or if
it unpacks to more than `limit` bytes.
"""

import gzip
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from stages.core.fetch.download import SourceError


class Limited:
    """A file that raises SourceError once more than `limit` bytes are read from it."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.file, self.left, self.limit = file, limit, limit

    def read(self, size: int) -> bytes:
        content = self.file.read(min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise SourceError(f"it unpacks to more than {self.limit:,} bytes")
        return content


@contextmanager
def refusing(path: Path, what: str) -> Iterator[None]:
    """Turn any error into a SourceError that names the archive and `what` cannot be read."""
    try:
        yield
    except Exception as error:  # broken archives raise errors of any kind
        reason = " ".join(str(error).split()) or repr(error)
        raise SourceError(f"{path.name}: {what} cannot be read: {reason}") from None


def read_gzip(path: Path, limit: int) -> bytes:
    """The whole content of a gzip file."""
    with refusing(path, "its content"), gzip.open(path) as file:
        return Limited(cast(BinaryIO, file), limit).read(limit + 1)


def read_zip(path: Path, member: str, limit: int) -> bytes:
    """A member of a zip archive."""
    with refusing(path, member), zipfile.ZipFile(path) as archive:
        if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SourceError("it is neither stored nor deflated")  # others may ignore the limit
        with archive.open(member) as file:
            return Limited(cast(BinaryIO, file), limit).read(limit + 1)


def read_tar(path: Path, member: str, limit: int) -> bytes:
    """A member of a tar.gz archive; everything before it counts towards the limit, too."""
    with refusing(path, member), gzip.open(path) as file:
        stream = Limited(cast(BinaryIO, file), limit)
        with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|") as archive:
            for info in archive:
                if info.name == member:
                    if not info.isreg() or info.issparse():
                        raise SourceError("it is not a regular file")
                    content = cast(BinaryIO, archive.extractfile(info)).read()
                    if len(content) != info.size:
                        raise SourceError("it is truncated")
                    return content
        raise SourceError("there is no such member")
