"""Features of a folder of images: what the rows say, and what cannot be read."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stages import embed_images

from common import parameters, paths
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
    with (paths.EMBEDDED_IMAGES / "skipped.csv").open() as file:
        return list(csv.reader(file))[1:]


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
    """Whatever else they hold, an image's row is the same."""
    run_stage("embed_images")
    [_, red] = rows()
    for index in range(6):
        shutil.copy("own/red/one.png", f"own/red/copy{index}.png")
    Path("own/red/notes.txt").write_text("not an image, and not taken for one")
    monkeypatch.setattr(embed_images, "ROWS", 3)
    run_stage("embed_images")
    files = sorted(paths.EMBEDDED_IMAGES.glob("*.parquet"))
    assert [pq.read_metadata(file).num_rows for file in files] == [3, 3, 2]
    names = [row["path"] for row in rows()]
    assert names == ["two.jpg", *(f"red/copy{index}.png" for index in range(6)), "red/one.png"]
    assert all(row["features"] == red["features"] for row in rows()[1:])
    shutil.rmtree("own/red")
    run_stage("embed_images")
    assert [file.name for file in paths.EMBEDDED_IMAGES.iterdir() if "part" in file.name] == [
        "part-000000.parquet"  # no file of a larger folder is left
    ]


def test_links_are_followed_but_not_in_circles(folder):
    (folder / "linked").symlink_to("red")
    (folder / "red/back").symlink_to("..")
    Path("other").mkdir()
    (folder / "red/other").symlink_to(Path("other").resolve())
    Path("other/back").symlink_to(folder.resolve() / "red")
    shutil.copy("own/two.jpg", "other")
    run_stage("embed_images")
    assert [row["path"] for row in rows()] == [
        "two.jpg",
        "linked/one.png",
        "linked/other/two.jpg",
        "red/one.png",
        "red/other/two.jpg",
    ]


def broken(folder):
    """Files that are no images, by the beginning of the reason that is given."""
    whole = (folder / "two.jpg").read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no image")
    (folder / "link.png").symlink_to("nowhere.png")
    Image.new("1", (20000, 10001)).save(folder / "bomb.png")
    (Path(os.fsdecode(bytes(folder) + b"/\xff.png"))).write_bytes(whole)
    return {
        "bomb.png": "has too many pixels; 200,000,000 are allowed",
        "empty.png": "is not an image of a kind that can be read: ",
        "half.jpg": "cannot be read as an image: ",
        "link.png": "cannot be read as an image: No such file or directory",
        "text.jpg": "is not an image of a kind that can be read: ",
        "\ufffd.png": "has a name that is not UTF-8",
    }


def test_what_cannot_be_read_is_a_row_with_the_reason_and_the_rest_goes_on(folder):
    run_stage("embed_images")
    before = rows()
    reasons = broken(folder)
    write_params(max_skipped=len(reasons))
    run_stage("embed_images")
    assert rows() == before
    found = dict(skipped())
    assert found.keys() == reasons.keys()
    assert all(found[name].startswith(reason) for name, reason in reasons.items())


def test_more_of_them_fail_the_stage(folder, failure):
    reasons = broken(folder)
    write_params(max_skipped=len(reasons) - 1)
    assert failure("embed_images") == (
        "own: 6 images cannot be read, but images.max_skipped is 5; "
        "the first: bomb.png has too many pixels; 200,000,000 are allowed"
    )


def test_no_readable_image_leaves_no_rows(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "text.jpg").write_text("no image")
    write_params(max_skipped=1)
    run_stage("embed_images")
    assert rows() == [] and len(skipped()) == 1


@pytest.mark.parametrize("what", ["missing", "empty", "a file"])
def test_a_folder_without_images_is_refused(folder, failure, what):
    shutil.rmtree(folder)
    if what == "empty":
        folder.mkdir()
    elif what == "a file":
        folder.write_text("")
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
