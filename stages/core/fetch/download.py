"""Downloads: sources are tried in order, and every file is checked against a digest."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from os import W_OK, access, environ
from pathlib import Path
from typing import Any, TypeVar

import pooch
import requests
from requests.exceptions import ChunkedEncodingError, InvalidURL, ProxyError, SSLError
from urllib3.exceptions import LocationParseError

from stages.core.base.addresses import redacted, secrets, shown
from stages.core.base.errors import InputError

TIMEOUT = (10, 30)  # seconds to connect, and to wait for more data
T = TypeVar("T")


class SourceError(Exception):
    """A source does not have what is wanted; another may. The message is redacted."""

    def __init__(self, message: str) -> None:
        super().__init__(redacted(message))


# Settings in the environment that requests and pip follow.
SETTINGS = r"PIP_(CERT|CLIENT_CERT|PROXY)|(REQUESTS|CURL)_CA_BUNDLE|(?i:\w+_PROXY)"


def setting(value: str) -> str:
    """A setting, and where the user has it."""
    names = [name for name in environ if environ[name] == value and re.fullmatch(SETTINGS, name)]
    return f"{shown(value)} ({', '.join(names) or 'a setting of pip'})"


@contextmanager
def asking(url: str, **options: Any) -> Iterator[None]:
    """Turn what goes wrong with requests to `url`, or with the answer, into a SourceError.
    `options` are those of requests.get."""
    try:
        yield
    except (SourceError, InputError):
        raise
    except Exception as error:  # wrong addresses, proxies and pages raise errors of any kind
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this machine: a full disk, say
        raise SourceError(f"{shown(url)}: {reason(error, url, options)}") from None


def reason(error: Exception, url: str, options: dict[str, Any]) -> str:
    """What went wrong with a request, and the user's settings that it followed."""
    proxy, files = "", list[str]()
    with suppress(ValueError):  # it may not even be an address
        followed = requests.Session().merge_environment_settings(
            url, options.get("proxies", {}), None, options.get("verify", True), options.get("cert")
        )
        proxy = requests.utils.select_proxy(url, followed["proxies"]) or ""
        files = [file for file in (followed["verify"], followed["cert"]) if isinstance(file, str)]
    through = f", through the proxy {setting(proxy)}" if proxy else ""
    text = " ".join(str(error).split()) or repr(error)
    if isinstance(error, requests.HTTPError):
        return f"answered {error.response.status_code}{through}"
    if isinstance(error, SSLError):
        trusted = "".join(f" by {setting(file)}" for file in files[:1])
        return f"no secure connection: its certificate is refused{trusted}{through}"
    if isinstance(error, ProxyError):
        return f"the proxy {setting(proxy)} does not answer, or refuses"
    if isinstance(error, requests.ConnectionError | requests.Timeout | ChunkedEncodingError):
        how = "timed out" if "timed out" in text else "no connection, or it was lost"
        return how + through
    is_invalid = isinstance(error, InvalidURL | LocationParseError) or text.startswith("Port ")
    if is_invalid or any(secret in text for secret in secrets(url) | secrets(proxy)):
        # The text has what could not be read as host and port: a part of the password, perhaps.
        text = "not a valid address; in user and password, / is written %2F, # %23, ? %3F"
    for file in files:
        text = text.replace(file, setting(file))
    return text + (through if isinstance(error, requests.RequestException) or is_invalid else "")


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
                shown(url),  # which pooch prints
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
        progressbar=sys.stderr is not None and sys.stderr.isatty(),
        chunk_size=2**16,
        timeout=TIMEOUT,
        **options,
    )
    http(url, output, None)
