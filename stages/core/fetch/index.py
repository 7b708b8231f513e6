"""Files on the Python package index, or wherever pip is set to look instead.

pip is asked for its settings, so its files count as much as its environment variables, as they do
for `pip install`. Followed are: index-url, extra-index-url, no-index, find-links, cert,
client-cert, trusted-host and proxy. requests follows ~/.netrc, HTTPS_PROXY and the like. Not
followed: keyring, timeout, retries, and the settings of tools other than pip.

The user and password of an address go to its own host alone, and are not shown.
"""

import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from os import environ
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

import pooch
import requests
import urllib3
from pypi_simple import ACCEPT_ANY, PYPI_SIMPLE_ENDPOINT, ProjectPage
from requests.auth import HTTPBasicAuth

from stages.core.base.addresses import shown
from stages.core.fetch import download
from stages.core.fetch.download import SourceError, asking, over_http


def from_index(project: str, filename: str, digest: str) -> Path:
    """A project's file, by its sha256 ("sha256:…").

    It is read as an archive only: nothing in it is installed or run. Raises SourceError as
    `download` does, and if no place has the file.
    """

    def fetch(output: str) -> None:
        pip, reasons = settings(), []
        for place in places(pip, project):
            try:
                with asking(place):
                    fetch_from(place, project, filename, pip, output)
                    if f"sha256:{pooch.file_hash(output)}" == digest:
                        return
                    raise ValueError(f"{filename} does not match the known hash")
            except SourceError as error:
                reasons.append(str(error))
        raise SourceError("; ".join(reasons) or "pip is set to no-index, without find-links")

    return download.download(f"the Python package index: {project}/{filename}", digest, fetch)


def settings() -> dict[str, str]:
    """pip's settings for `pip install`, by name; without pip, those in environment variables."""
    command = (sys.executable, "-Im", "pip", "config", "list")
    listed = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    lines = listed.stdout.splitlines()
    if "No module named pip" in listed.stderr:
        names = [name for name in environ if name.startswith("PIP_")]
        lines = [f":env:.{n[4:].lower().replace('_', '-')}={environ[n]!r}" for n in names]
    elif listed.returncode != 0:
        raise SourceError("pip cannot read its settings: `pip config list` says why")
    found = {}
    for section in ("global.", "install.", ":env:."):  # the last one counts
        for line in lines:
            name, _, value = line.partition("=")
            if name.startswith(section) and literal_eval(value):  # pip ignores what is empty
                found[name.removeprefix(section)] = literal_eval(value)
    return found


def places(pip: dict[str, str], project: str) -> Iterator[str]:
    """Where to look for a project's files: addresses of pages of links, and folders."""
    yield from listed(pip, "find-links")
    if pip.get("no-index", "").lower() not in ("y", "yes", "t", "true", "on", "1"):
        first = pip.get("index-url", PYPI_SIMPLE_ENDPOINT)
        for index in (first, *listed(pip, "extra-index-url")):
            yield f"{index.rstrip('/')}/{project}/"


def listed(pip: dict[str, str], name: str) -> Iterator[str]:
    """The addresses in one of pip's lists. Raises SourceError if one was cut at a space: what looks
    like a host may be a part of its password."""
    words = pip.get(name, "").split()
    if any("@" in word and "://" not in word and word[0] not in "./~" for word in words):
        raise SourceError(f"{name} of pip: a space in a user or password is written %20")
    yield from words


def fetch_from(place: str, project: str, filename: str, pip: dict[str, str], output: str) -> None:
    """Put the file from one of the `places` at the path `output`. Raises ValueError, or what
    requests raises, if it is not there."""
    address, auth = parted(place)
    folder = local(address)
    if folder is not None and (folder / filename).is_file():
        return copy(folder / filename, output)
    how = options(address, pip)
    with asking(place, **how):
        page = page_at(address, auth, project, how)
    for package in page.packages:
        if package.filename == filename:
            link, own = parted(package.url)
            file = local(link)
            if file is not None and folder is not None:  # a page elsewhere names none of our files
                return copy(file, output)
            if not requests.Session().should_strip_auth(address, link):
                own = own or auth
            how = options(link, pip)
            with asking(link, **how):
                return over_http(link, output, auth=own, **how)
    raise ValueError(f"it has no file {filename}")


def page_at(
    address: str, auth: HTTPBasicAuth | None, project: str, how: dict[str, Any]
) -> ProjectPage:
    """The page of links at an address, or in a folder; `how`: options of requests.get."""
    if (path := local(address)) is not None:
        file = path / "index.html" if path.is_dir() else path
        try:
            return ProjectPage.from_html(project, file.read_bytes(), file.absolute().as_uri())
        except OSError as error:
            raise SourceError(f"{shown(str(file))}: {error.strerror}") from None
    answer = requests.get(
        address,
        auth=auth,
        headers={"Accept": ACCEPT_ANY},
        timeout=download.TIMEOUT,
        **how,
    )
    answer.raise_for_status()
    try:
        return ProjectPage.from_response(answer, project)
    except Exception as error:  # broken pages raise errors of any kind
        [reason, *_] = str(error).splitlines() or [repr(error)]
        raise ValueError(f"not a page of a package index: {reason}") from None


def parted(address: str) -> tuple[str, HTTPBasicAuth | None]:
    """The address without user and password, and those."""
    parts = urlsplit(address)
    userinfo, at, host = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    auth = HTTPBasicAuth(unquote(user).encode(), unquote(password).encode()) if at else None
    return urlunsplit(parts._replace(netloc=host)), auth


def local(address: str) -> Path | None:
    """The path that an address is, or names by file:."""
    if address.startswith("file:"):
        return Path(url2pathname(urlsplit(address).path))
    return None if "://" in address else Path(address).expanduser()


def copy(file: Path, output: str) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{shown(str(file))}: {error.strerror}") from None
    Path(output).write_bytes(content)


def options(url: str, pip: dict[str, str]) -> dict[str, Any]:
    """How requests is to ask for `url`, by pip's settings."""
    host = urlsplit(url)
    found: dict[str, Any] = {"verify": pip.get("cert", True), "cert": pip.get("client-cert")}
    if {host.hostname, host.netloc} & set(pip.get("trusted-host", "").split()):
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        found["verify"] = False
    if "proxy" in pip:
        found["proxies"] = dict.fromkeys(("http", "https"), pip["proxy"])
    return found
