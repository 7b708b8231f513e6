"""Downloads: sources are tried in order, and every file is checked against a digest."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from os import W_OK, access
from pathlib import Path
from typing import Any, TypeVar

import pooch
import requests
from requests.exceptions import ChunkedEncodingError, InvalidURL, ProxyError, SSLError
from urllib3.exceptions import LocationParseError

from stages.core.base.errors import InputError

TIMEOUT = (10, 30)  # seconds to connect, and to wait for more data
T = TypeVar("T")


def redacted(text: str) -> str:
    """The text without the passwords and tokens in its addresses, as pip shows them:
    https://user:****@host, or https://****@host for a user alone, which may be a token.

    It rather takes away too much: addresses may lack their scheme, and passwords contain / or @.
    """
    text = re.sub(r"(//|(?<![^\s'\"]))([^\s:]*):(?!//)\S+@", r"\1\2:****@", text)
    return re.sub(r"(//(?=[^\s:]+:?@)|(?<![^\s'\"])(?=[^\s:/]+:?@))[^\s:]+:?@", r"\1****@", text)


class SourceError(Exception):
    """A source does not have what is wanted; another may. The message is redacted."""

    def __init__(self, message: str) -> None:
        super().__init__(redacted(message))


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Turn what goes wrong with requests to `url`, or with the answer, into a SourceError."""
    try:
        yield
    except requests.HTTPError as error:
        raise SourceError(f"{url}: answered {error.response.status_code}") from None
    except SSLError:
        raise SourceError(f"{url}: no secure connection: its certificate is refused") from None
    except ProxyError:
        raise SourceError(f"{url}: the proxy does not answer, or refuses") from None
    except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
        reason = "timed out" if "timed out" in str(error) else "no connection, or it was lost"
        raise SourceError(f"{url}: {reason}") from None
    except (SourceError, InputError):
        raise
    except (
        Exception
    ) as error:  # addresses, proxies and pages that are wrong raise errors of any kind
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this machine: a full disk, say
        reason = " ".join(str(error).split()) or repr(error)
        if isinstance(error, InvalidURL | LocationParseError) or reason.startswith("Port "):
            # The text has what could not be read as host and port: a part of the password, perhaps.
            reason = "not a valid address; in user and password, / is written %2F, # %23, ? %3F"
        raise SourceError(f"{url}: {reason}") from None


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


def download(url: str, digest: str | None, fetch: Callable[[str], None] | None = None) -> Path:
    """The file at `url`, fetched unless it is in the download folder with this digest.

    `digest` is "sha256:…" or "md5:…"; None accepts any file, which the caller must check. `fetch`
    puts the file at a path, if that takes more than a request to `url`.
    Raises SourceError if the file cannot be fetched or has another digest.
    """
    fetch = fetch or partial(over_http, url)
    try:
        with asking(url):
            path = pooch.retrieve(
                redacted(url),  # which pooch prints
                known_hash=digest,
                fname=url.rsplit("/", 1)[-1],
                path=folder(),
                downloader=lambda _url, output, _registry: fetch(output),
            )
    except OSError as error:
        error.filename = error.filename or folder()
        raise
    return Path(path)


def over_http(url: str, output: str, **options: Any) -> None:
    """Put the file at `url` at the path `output`. `options` are those of requests.get."""
    http = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=2**16, timeout=TIMEOUT, **options
    )
    http(url, output, None)
