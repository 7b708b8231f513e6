"""Features of a folder of images: what the rows say, and what cannot be read."""

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dvc.repo import Repo
from dvc_data.hashfile.build import build
from PIL import Image

from stages import embed_images
from stages.core.alexnet import embedding
from stages.core.data.folder import digested_files
from stages.core.parallel import cluster

from common import parameters, paths
from common.artifacts import rows_of
from common.stages import run_stage

RED, GREEN = (200, 30, 40), (20, 160, 60)


@pytest.fixture
def folder(downloads, tmp_path, monkeypatch):
    """A folder with the real weights, and parameters that name the folder `own`, of two images."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/alexnet").symlink_to(downloads / "data/alexnet")
    Path("own/red").mkdir(parents=True)
    Image.new("RGB", (80, 70), RED).save("own/red/one.png")
    Image.new("RGB", (70, 70), GREEN).save("own/two.jpg")
    write_params()
    return Path("own")


def write_params(**changes):
    params = parameters.read()
    params["images"] |= {"path": "own", "size": 63} | changes
    parameters.write(params)


def rows():
    files = sorted(paths.EMBEDDED_IMAGES.glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def skipped():
    return {row["path"]: row["reason"] for row in rows_of(paths.SKIPPED_IMAGES)}


def test_not_pooled_they_are_256_maps(folder):
    write_params(pool=False, size=224)
    run_stage("embed_images")
    table = pq.read_table(paths.EMBEDDED_IMAGES / "part-000000.parquet")
    assert str(table.schema.field("features").type) == "fixed_size_list<element: float>[9216]"
    maps = np.stack(table["features"].to_numpy()).reshape(2, 256, 6, 6)
    write_params(pool=True, size=224)
    run_stage("embed_images")
    means = np.stack([row["features"] for row in rows()])
    assert np.allclose(maps.mean((2, 3)), means, atol=1e-5)


def test_images_beside_folders_have_no_label(folder):
    run_stage("embed_images")
    assert [(row["path"], row["label"]) for row in rows()] == [
        ("two.jpg", None),
        ("red/one.png", "red"),
    ]


def test_files_are_of_bounded_size_and_in_order(folder, monkeypatch):
    """Whatever else they and its batch hold, an image's row is the same."""
    run_stage("embed_images")
    [_, red] = rows()
    for index in range(6):
        shutil.copy("own/red/one.png", f"own/red/copy{index}.png")
    Path("own/red/notes.txt").write_text("not an image, and not taken for one", encoding="utf-8")
    monkeypatch.setattr(embed_images, "ROWS", 3)
    monkeypatch.setattr(embedding, "BATCH", 5)
    run_stage("embed_images")
    files = sorted(paths.EMBEDDED_IMAGES.glob("*.parquet"))
    assert [pq.read_metadata(file).num_rows for file in files] == [3, 3, 2]
    names = [row["path"] for row in rows()]
    assert names == ["two.jpg", *(f"red/copy{index}.png" for index in range(6)), "red/one.png"]
    assert all(row["features"] == red["features"] for row in rows()[1:])
    shutil.rmtree("own/red")
    run_stage("embed_images")
    left = [file.name for file in paths.EMBEDDED_IMAGES.iterdir()]
    assert left == ["part-000000.parquet"]  # and none of a larger folder's


def test_what_pillow_reads_is_read_whatever_its_name(folder):
    shutil.copy("own/red/one.png", "own/red/nameless")
    shutil.copy("own/red/one.png", "own/red/wrong.txt")
    image = Image.open("own/red/one.png")
    names = ["i.avif", "i.gif", "i.ico", "i.jfif", "i.jp2", "i.jpe", "i.tga", "i.webp", "i.JPG"]
    for name in names:
        image.save(folder / name)
    run_stage("embed_images")
    assert [row["path"] for row in rows()] == [
        *sorted([*names, "two.jpg"]),
        "red/nameless",
        "red/one.png",
        "red/wrong.txt",
    ]
    assert skipped() == {}


def test_what_is_no_image_is_named_but_tolerated(folder, capfd):
    """With max_skipped 0. Hidden and foreign images are not read, and not called unreadable."""
    reasons = {
        ".DS_Store": "is a hidden file",
        "Thumbs.db": "is not an image",
        "README.txt": "is not an image",
        "no_suffix": "is not an image",
        "red/labels.csv": "is not an image",
        "red/.hidden.png": "is a hidden file",
        ".thumbnails/one.png": "is in a hidden folder",
        "red/.ipynb_checkpoints/one-checkpoint.png": "is in a folder of notebook checkpoints",
        "__MACOSX/red/._one.png": "is in a folder of macOS's metadata",
        "@eaDir/one.jpg/SYNOPHOTO_THUMB_M.png": "is in a folder of a file server's thumbnails",
    }
    for name in reasons:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("png"):
            shutil.copy("own/red/one.png", folder / name)
        else:
            (folder / name).write_text(
                "path,label\n" if name != "Thumbs.db" else "\0\1\2", encoding="utf-8"
            )
    run_stage("embed_images")
    assert skipped() == reasons
    assert [row["path"] for row in rows()] == ["two.jpg", "red/one.png"]
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == (
        "2 images read, 10 files skipped (unreadable images: 0): see artifacts/skipped_images.csv"
    )


def broken(folder):
    """Images that cannot be read, by the beginning of the reason that is given."""
    whole = (folder / "two.jpg").read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "half").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no image", encoding="utf-8")
    (folder / "photo.heic").write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0mif1heic")
    (folder / "drawing.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "link.png").symlink_to("nowhere.png")
    Image.new("1", (20000, 10001)).save(folder / "bomb.png")
    (Path(os.fsdecode(bytes(folder) + b"/\xff.png"))).write_bytes(whole)
    return {
        "bomb.png": "has too many pixels; 200,000,000 are allowed",
        "drawing.svg": "is not an image of a kind that can be read: ",
        "empty.png": "is empty",
        "half": "cannot be read as an image: ",
        "half.jpg": "cannot be read as an image: ",
        "link.png": "cannot be read as an image: No such file or directory",
        "photo.heic": "is a HEIC image, which Pillow does not read; convert it to JPEG or PNG",
        "text.jpg": "is not an image of a kind that can be read: ",
        "\ufffd.png": "has a name that is not UTF-8",
    }


def assert_reasons(found, expected):
    assert found.keys() == expected.keys()
    assert all(found[name].startswith(reason) for name, reason in expected.items())


def test_what_cannot_be_read_is_a_row_with_the_reason_and_the_rest_goes_on(folder, capfd):
    run_stage("embed_images")
    assert capfd.readouterr().err.endswith("\n2 images read, 0 files skipped\n")
    before = rows()
    reasons = broken(folder)
    (folder / "README").write_text("no image", encoding="utf-8")
    write_params(max_skipped=len(reasons))
    run_stage("embed_images")
    assert rows() == before
    assert_reasons(skipped(), reasons | {"README": "is not an image"})
    assert "\n2 images read, 10 files skipped (unreadable images: 9): " in capfd.readouterr().err


@pytest.mark.fault("more unreadable images than are tolerated")
def test_more_of_them_fail_the_stage_which_lists_them_all(folder, failure, monkeypatch):
    """Also those that it had not come to when there were too many."""
    reasons = broken(folder)
    (folder / "README").write_text("no image", encoding="utf-8")
    monkeypatch.setattr(embedding, "BATCH", 2)
    write_params(max_skipped=2)
    message = failure("embed_images")
    assert message.startswith(
        "own: 9 images cannot be read, but images.max_skipped is 2: bomb.png "
    )
    assert "; and 6 more (list: artifacts/unreadable_images.csv)" in message
    assert not paths.EMBEDDED_IMAGES.exists() and not paths.SKIPPED_IMAGES.exists()
    unreadable = paths.SKIPPED_IMAGES.with_name("unreadable_images.csv")
    assert_reasons({row["path"]: row["reason"] for row in rows_of(unreadable)}, reasons)
    write_params(max_skipped=9)
    run_stage("embed_images")
    assert not unreadable.exists()


def test_only_unreadable_images_are_refused(folder, failure):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "text.jpg").write_text("no image", encoding="utf-8")
    write_params(max_skipped=1)
    (folder / "README").write_text("no image", encoding="utf-8")
    message = failure("embed_images")
    assert "a folder with images in it: README is not an image; text.jpg is not an image" in message


@pytest.mark.parametrize("name", [".dvcignore", "own/red/.dvcignore"])
def test_what_dvc_ignores_is_not_read_but_named(folder, name, capfd):
    Path(name).write_text("one.png\n*.tmp\n", encoding="utf-8")
    Path("own/red/x.tmp").write_text("", encoding="utf-8")
    Path("own/.git/objects").mkdir(parents=True)
    shutil.copy("own/red/one.png", "own/.git/objects")
    run_stage("embed_images")
    assert [row["path"] for row in rows()] == ["two.jpg"]
    assert "own: not read, because DVC leaves it out: .git/; red/one.png; red/x.tmp\n" in (
        capfd.readouterr().err
    )


@pytest.mark.fault("a DVC project in the folder of images")
@pytest.mark.parametrize("where", ["own", "own/red", "own/red/deep"])
def test_a_dvc_project_in_the_folder_is_refused(folder, failure, where):
    """For DVC does not digest what is in it."""
    Path(where, ".dvc").mkdir(parents=True)
    message = failure("embed_images")
    assert message.startswith(where) and "DVC project of its own" in message
    if where != "own":
        Path(".dvcignore").write_text(f"/{where}\n", encoding="utf-8")  # as the message says
        run_stage("embed_images")
        assert rows()[0]["path"] == "two.jpg"


@pytest.mark.fault("a folder of images that DVC ignores")
@pytest.mark.parametrize("ignored", ["own", "o*", "/own/"])
def test_a_folder_that_dvc_ignores_as_a_whole_is_refused(folder, failure, ignored):
    Path(".dvcignore").write_text(ignored, encoding="utf-8")
    assert failure("embed_images").startswith("own is left out by DVC, which would not notice ")
    Path("own/own").mkdir()
    write_params(path="own/own")
    assert failure("embed_images").startswith("own/own is left out by DVC")


@pytest.mark.fault("a link to a folder in the folder of images")
def test_a_link_to_a_folder_is_refused_one_to_a_file_is_followed(folder, failure):
    """For DVC digests the file, but nothing in the folder."""
    Path("other").mkdir()
    shutil.copy("own/two.jpg", "other")
    (folder / "linked.jpg").symlink_to("../other/two.jpg")
    run_stage("embed_images")
    assert [row["path"] for row in rows()] == ["linked.jpg", "two.jpg", "red/one.png"]
    (folder / "linked").symlink_to("../other")
    assert failure("embed_images") == (
        "own/linked is a link to a folder, in which DVC does not notice changes: put the files "
        "themselves there, or name it in .dvcignore to leave it out"
    )
    write_params(path="own/linked")  # the folder itself may be one
    run_stage("embed_images")
    assert [row["path"] for row in rows()] == ["two.jpg"]


def test_it_reads_what_dvc_digests(tmp_path, monkeypatch):
    """DVC's own list, of a folder with all sorts of things, inside and outside of the project."""
    monkeypatch.chdir(tmp_path)
    names = [
        "a.png",
        ".b.png",
        "c/d.tmp",
        "c/.git/e",
        "c/f.dvc",
        ".hg/g",
        "h/i/j",
        "k l/ö",
        "keep/m",
    ]
    for root in ("project/own/deep", "outside"):
        for name in names:
            Path(root, name).parent.mkdir(parents=True, exist_ok=True)
            Path(root, name).write_text("", encoding="utf-8")
        Path(root, "link.png").symlink_to("a.png")
    monkeypatch.chdir("project")
    Repo.init(no_scm=True)
    Path(".dvcignore").write_text("*.tmp\n/own/deep/h\nkeep/*\n", encoding="utf-8")
    Path("own/.dvcignore").write_text("!keep/m\n", encoding="utf-8")
    inside, outside = Path("own/deep"), Path("../outside")
    for folder in (inside, inside.absolute(), outside, outside.absolute(), Path("own/../own/deep")):
        repo = Repo()
        _, _, tree = build(
            repo.cache.local,
            repo.fs.abspath(str(folder)),
            repo.fs,
            "md5",
            dry_run=True,
            ignore=repo.dvcignore,
        )
        digested = sorted("/".join(key) for key, _, _ in tree)
        assert sorted(digested_files(folder).paths) == digested
        assert "a.png" in digested


@pytest.mark.parametrize("what", ["missing", "empty", "a file"])
def test_a_folder_without_images_is_refused(folder, failure, what):
    shutil.rmtree(folder)
    if what == "empty":
        folder.mkdir()
    elif what == "a file":
        folder.write_text("", encoding="utf-8")
    message = failure("embed_images")
    assert message.startswith("params.yaml: images.path: own should be a folder with images in it")


def test_a_large_jpeg_is_the_same_image_decoded_small(folder):
    """Decoded at an eighth it differs by less than it would from another image."""
    y, x = np.mgrid[:1600, :1600] / 1600
    pixels = np.stack((x, y, (x + y) / 2), axis=2) * 255
    Image.fromarray(pixels.astype(np.uint8)).save("own/large.jpg", quality=95)
    Image.fromarray(pixels.astype(np.uint8)).save("own/large.png")
    run_stage("embed_images")
    found = {row["path"]: row for row in rows()}
    assert found["large.jpg"]["width"] == found["large.jpg"]["height"] == 1600
    jpg, png, other = (
        np.array(found[f"{n}"]["features"]) for n in ("large.jpg", "large.png", "two.jpg")
    )
    assert np.abs(jpg - png).max() < 0.1 * np.abs(other - png).max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 62}, "size is 62; it should be greater than or equal to 63"),
        ({"pool": 1}, "pool is 1; it should be a valid boolean"),
        ({"max_skipped": -1}, "max_skipped is -1; it should be greater than or equal to 0"),
    ],
)
def test_parameters_out_of_range_are_refused(folder, failure, change, message):
    write_params(**change)
    assert failure("embed_images") == f"params.yaml: images.{message}"


@pytest.mark.fault("the address of a cluster that is gone")
def test_an_address_where_no_cluster_is_is_one_line_that_names_the_variable(
    folder, failure, monkeypatch
):
    """Nobody listens; or something does, but never answers, and nobody waits for it for ever."""
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv(cluster.ADDRESS, address)
        end = "; unset DASK_SCHEDULER_ADDRESS to do without a cluster"
        message = failure("embed_images")
        assert message == f"no Dask scheduler answers at {address}: no answer{end}"
    message = failure("embed_images")
    assert message.startswith(f"no Dask scheduler answers at {address}: ")
    assert "Connection refused" in message and message.endswith(end)
    monkeypatch.setenv(cluster.ADDRESS, "")
    run_stage("embed_images")
    assert len(rows()) == 2
