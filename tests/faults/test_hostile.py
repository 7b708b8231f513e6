"""What nobody should believe: files made to mislead, to fill the memory, or just to be wrong."""

import gzip
import io
import json
import shutil
import struct
import tarfile
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from stages.core.base.errors import InputError
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.data.idx import read_idx
from stages.core.fetch.archives import read_gzip, read_tar, read_zip
from stages.core.fetch.download import SourceError
from stages.core.learning.trained import load_model, save_model

from commands.fuzz import is_read, readers
from common import paths
from common.parameters import MODELS
from common.project import ROOT

READERS = readers()
TERABYTE = 2**40


@contextmanager
def refused(error: type[Exception], match: str):
    """What is done in here raises the error, before Python and numpy take 1 MB."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match):
            yield
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def header(**tensors):
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


def tensor(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.fault("safetensors with bad headers")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", TERABYTE) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        header(a=tensor("F32", [2**40], 0, TERABYTE * 4)),
        header(a=tensor("F32", [2**40, 2**40], 0, 4)) + bytes(4),
        header(a=tensor("F32", [1], 4, 0)) + bytes(4),
        header(a=tensor("F32", [1], 0, 4), b=tensor("F32", [1], 2, 6)) + bytes(6),
        header(a=tensor("F32", [1], 0, 4)),
        header(a=tensor("F99", [1], 0, 4)) + bytes(4),
        header(a=tensor("F32", [-1], 0, 4)) + bytes(4),
    ],
)
def test_bad_headers_of_safetensors_are_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with refused(InputError, match="is not a valid safetensors file: "):
        load_tensors(path, {"a": ("float32", (1,))})


@pytest.mark.fault("files and headers of terabytes")
def test_a_terabyte_that_is_really_there_is_refused_unread(tmp_path):
    """Files with holes, which take no space."""
    path = tmp_path / "file"
    start = header(a=tensor("U8", [TERABYTE], 0, TERABYTE))
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + TERABYTE)
    with refused(InputError, match="a is U8 1099511627776; it should be F32 1"):
        load_tensors(path, {"a": ("float32", (1,))})
    with path.open("wb") as file:
        file.write(struct.pack(">2I", 0x0801, 9))
        file.truncate(TERABYTE)
    with refused(InputError, match="asks for 17"):
        read_idx(path, ndim=1)


@pytest.mark.fault("files and headers of terabytes")
@pytest.mark.parametrize(
    "shape", [(2**32 - 1, 2**32 - 1, 256), (0, 28, 28), (0, 2**32 - 1, 2**32 - 1)]
)
def test_an_idx_header_that_asks_for_too_much_or_nothing_is_refused(tmp_path, shape):
    path = tmp_path / "file"
    path.write_bytes(struct.pack(">4I", 0x0803, *shape))
    with refused(InputError, match="its header, 4294967295|none at all"):
        read_idx(path, ndim=3)


def tar_with(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.fault("archives with links, `../` or bombs")
@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_a_link_in_place_of_a_member_is_refused(tmp_path, kind):
    path = tar_with(tmp_path / "a.tar.gz", ("member", kind, b""))
    with refused(SourceError, match=r"a.tar.gz: member cannot be read: it is not a regular file"):
        read_tar(path, "member", 20_000)


@pytest.mark.fault("archives with links, `../` or bombs")
def test_members_that_lead_out_of_the_folder_write_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    plain = tarfile.REGTYPE
    tar = tar_with(folder / "a.tar.gz", ("../out", plain, b"evil"), ("member", plain, b"good"))
    assert read_tar(tar, "member", 20_000) == b"good"
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("../out", b"evil")
        archive.writestr("member", b"good")
    assert read_zip(Path("a.zip"), "member", 100) == b"good"
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "a.tar.gz", "a.zip"}


@pytest.mark.fault("archives with links, `../` or bombs")
def test_archives_that_unpack_to_too_much_are_refused(tmp_path):
    """Each is 100 kB and would unpack to 100 MB."""
    bomb = tmp_path / "bomb"
    with gzip.open(bomb, "wb") as file:
        for _ in range(100):
            file.write(bytes(10**6))
    with refused(SourceError, match="it unpacks to more than 1,000 bytes"):
        read_gzip(bomb, 1000)
    with refused(SourceError, match="member cannot be read"):
        read_tar(bomb, "member", 100_000)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", bytes(10**8))
    with refused(SourceError, match="it unpacks to more than 1,000 bytes"):
        read_zip(bomb, "member", 1000)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("member", b"1")
    with refused(SourceError, match="it is neither stored nor deflated"):
        read_zip(bomb, "member", 1000)


def test_a_missing_member_is_named(tmp_path):
    with refused(SourceError, match="other cannot be read: there is no such member"):
        read_tar(tar_with(tmp_path / "a.tar.gz", ("member", tarfile.REGTYPE, b"")), "other", 20_000)


@pytest.fixture
def folder(pipeline, tmp_path, monkeypatch):
    """A folder with copies of what the stages read."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    shutil.copytree(pipeline / "data", "data", ignore=shutil.ignore_patterns("mnist", "embedded*"))
    for name in ("models", "curves"):
        shutil.copytree(pipeline / "artifacts" / name, Path("artifacts", name))
    return tmp_path


TENSORS = ["test_images", "test_labels", "train_images", "train_labels", "val_images", "val_labels"]


@pytest.mark.fault("other tensors than a stage needs")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_images": None}, f"has the tensors {TENSORS[:4] + TENSORS[5:]}"),
        ({"other": np.zeros(1)}, "has the tensors ['other', "),
        (
            {"val_images": np.zeros((500, 28, 28))},
            ": val_images is F64 500 × 28 × 28; it should be",
        ),
        ({"val_images": np.zeros((500, 784), np.uint8)}, ": val_images is U8 500 × 784; it should"),
        ({"val_labels": np.zeros(499, np.int64)}, "it should be U8 val × side × side"),
        (
            {"val_labels": np.zeros(0, np.int64), "val_images": np.zeros((0, 28, 28), np.uint8)},
            ": val_labels is I64 0; it should be I64 val",
        ),
        (
            {"val_labels": np.array(3)},
            ": val_labels is I64 without dimensions; it should be I64 val",
        ),
    ],
)
@pytest.mark.parametrize("stage", ["train@cnn", "embed_digits", "data_efficiency"])
def test_digits_of_another_kind_are_one_line(folder, failure, change, message, stage):
    tensors = load_file(paths.DIGITS) | change
    save_tensors(
        {name: array for name, array in tensors.items() if array is not None},
        paths.DIGITS,
        in_metadata(DIGITS),
    )
    found = failure(stage)
    assert found.startswith(str(paths.DIGITS)) and message in found and "\n" not in found


@pytest.mark.fault("other tensors than a stage needs")
@pytest.mark.parametrize("label", [-1, 10])
def test_labels_that_are_no_digits_are_one_line(folder, failure, label):
    tensors = load_file(paths.DIGITS)
    tensors["val_labels"][7] = label
    save_tensors(tensors, paths.DIGITS, in_metadata(DIGITS))
    found = failure("train@logistic")
    assert found.startswith(f"{paths.DIGITS}: val_labels are from ") and str(label) in found


@pytest.mark.fault("other tensors than a stage needs")
@pytest.mark.parametrize("model", MODELS)
def test_weights_of_another_model_are_one_line(folder, failure, model):
    other = load_model(paths.weights("cnn" if model != "cnn" else "mlp"))
    trained = load_model(paths.weights(model))
    save_model(trained._replace(weights=other.weights), paths.weights(model))
    assert failure(f"weight_grid@{model}").startswith(f"{paths.weights(model)} has the tensors [")


@pytest.mark.fault("other tensors than a stage needs")
def test_weights_that_are_not_finite_are_one_line(folder, failure):
    trained = load_model(paths.weights("mlp"))
    trained.weights["layer1.weight"][0, 0] = np.nan
    save_model(trained, paths.weights("mlp"))
    message = f"{paths.weights('mlp')}: layer1.weight has numbers that are not finite"
    assert failure("weight_grid@mlp") == message


def test_features_of_no_square_maps_are_one_line(folder, failure):
    tensors = {}
    for split in ("train", "val", "test"):
        tensors[f"{split}_labels"] = np.arange(9)
        tensors[f"{split}_features"] = np.zeros((9, 512), np.float32)
    save_tensors(tensors, paths.EMBEDDED_DIGITS, in_metadata(DIGITS))
    assert "512 features do not make 256 square feature maps" in failure("train@probe")


@pytest.mark.fault("other tensors than a stage needs")
def test_other_weights_of_alexnet_are_one_line(folder, failure):
    tensors = load_file(paths.ALEXNET)
    tensors["features.0.weight"] = tensors["features.0.weight"][:, :, :5].copy()
    save_tensors(tensors, paths.ALEXNET)
    assert failure("alexnet_maps") == (
        f"{paths.ALEXNET}: features.0.weight is F32 64 × 3 × 5 × 11; "
        "it should be F32 64 × 3 × 11 × 11"
    )


@pytest.mark.fault("a photograph that is none")
@pytest.mark.parametrize("stage", ["convolve", "alexnet_maps"])
def test_a_photograph_that_is_none_is_one_line(folder, failure, stage):
    paths.PHOTO.write_bytes(b"<html>")
    message = failure(stage)
    assert message.startswith(f"{paths.PHOTO} is not an image of a kind that can be read: JPEG, ")
    Image.new("RGB", (80, 70)).save(paths.PHOTO)
    assert failure(stage) == f"{paths.PHOTO} has 80 × 70 pixels; it should be square"


def test_a_photograph_too_small_for_alexnet_is_one_line(folder, failure):
    Image.new("RGB", (62, 62)).save(paths.PHOTO)
    assert failure("alexnet_maps") == (
        f"{paths.PHOTO} has 62 × 62 pixels; AlexNet needs 63 × 63 or more"
    )


HEAD = b"iteration,loss,train_accuracy,val_accuracy\n"


@pytest.mark.fault("a learning curve that is none")
@pytest.mark.parametrize(
    "content",
    [b"", b"\n", HEAD, HEAD + b"1,2,3\n", HEAD + b"1,a,3,4\n", HEAD + b"1,nan,3,4\n", b"\xff\xfe"]
    + [b"iteration,loss\n1,2\n", b"<html>", HEAD + b'1,2,3,"', HEAD + b"1,2,3,4,5\n"],
)
def test_a_curve_that_is_none_is_one_line(folder, failure, content):
    paths.curves("cnn").write_bytes(content)
    found = failure("learning_curves@cnn")
    assert found.startswith(str(paths.curves("cnn"))) and "\n" not in found


@pytest.mark.parametrize("name", READERS)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path, name):
    """Hypothesis changes, cuts and repeats pieces of a whole file; `make fuzz` does more of it."""
    reader, path = READERS[name], tmp_path / "file"
    assert is_read(reader, reader.whole, path)
    assert not is_read(reader, reader.whole[:20], path)
    places = st.integers(0, len(reader.whole))
    piece = st.one_of(st.binary(max_size=8), st.sampled_from([b"\0" * 8, b"\xff" * 8]))

    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.lists(st.tuples(places, places, piece), max_size=4), places)
    def check(changes, end):
        content = reader.whole
        for start, stop, new in changes:
            content = content[:start] + new + content[stop:]
        is_read(reader, content[:end] if not changes else content, path)

    check()


def test_a_fuzzed_reader_that_breaks_is_noticed(tmp_path):
    """Else the tests above would find nothing."""
    broken = READERS["IDX"]._replace(read=lambda path: path.read_bytes()[5])
    with pytest.raises(IndexError):
        is_read(broken, b"", tmp_path / "file")

    def in_two_lines(path):
        raise InputError("a\nb")

    with pytest.raises(AssertionError):
        is_read(broken._replace(read=in_two_lines), b"", tmp_path / "file")


def test_yaml_is_loaded_safely():
    """By the safe loader alone: the others make Python objects of tags."""
    for path in (ROOT / "stages").rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        assert "import yaml" not in code
        assert code.count("YAML(") == code.count('YAML(typ="safe", pure=True)')
