"""Images that are nearly the same: which are found, and which are not."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from stages.core.classifier import copies
from stages.core.classifier.copies import alike, bundles, first_of_copies
from stages.core.classifier.data import first_digests
from stages.core.data.idx import read_part
from stages.core.data.images import open_rgb
from stages.core.data.squares import read_image

from common import paths
from common.project import ROOT

PHOTOS = [ROOT / "data/grace_hopper.jpg", *sorted((ROOT / "docs").glob("*.png"))]


def thumbnail(path, size=224):
    row, _ = read_image(path.parent, path.name, size)
    return np.frombuffer(row.thumbnail, np.uint8)


def blurred(count, seed=0):
    """Thumbnails (uint8, count × 256) as smooth as photographs', all different."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 4, 4), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(x).resize((16, 16), Image.Resampling.BICUBIC)) for x in coarse]
    ).reshape(count, 256)


def noisy(thumbnails, seed=1):
    noise = np.random.default_rng(seed).integers(-2, 3, thumbnails.shape)
    return np.clip(thumbnails + noise, 0, 255).astype(np.uint8)


def scaled(image, factor):
    return image.resize([round(side * factor) for side in image.size], Image.Resampling.BICUBIC)


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("change", "kind", "settings"),
    [
        (lambda image: image, "png", {}),
        (lambda image: image, "jpg", {"quality": 75}),
        (lambda image: image, "jpg", {"quality": 50}),
        (lambda image: image, "webp", {"quality": 75}),
        (lambda image: scaled(image, 0.5), "png", {}),
        (lambda image: scaled(image, 0.5), "jpg", {"quality": 75}),
        (lambda image: scaled(image, 2), "jpg", {"quality": 90}),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.9), "png", {}),
    ],
)
def test_a_picture_that_is_scaled_or_saved_anew_is_found(tmp_path, path, change, kind, settings):
    copy = tmp_path / f"copy.{kind}"
    change(open_rgb(path)).save(copy, **settings)
    assert first_of_copies(np.stack([thumbnail(path), thumbnail(copy)])).tolist() == [0, 0]


def test_pictures_that_differ_are_not_found(downloads, tmp_path):
    """Not even MNIST's digits, of which those of a kind look much alike."""
    digits = read_part(downloads / paths.MNIST, "t10k")[0][:1000]
    for index, digit in enumerate(digits):
        Image.fromarray(digit).save(tmp_path / f"{index:04}.png")
    files = [*PHOTOS, *sorted(tmp_path.iterdir())]
    found = first_of_copies(np.stack([*map(thumbnail, files)]))
    assert found.tolist() == [*range(len(files))]


def test_they_are_found_by_way_of_others_and_the_first_is_named():
    """A series of pictures that change little by little is one, whatever their order."""
    start, end = blurred(2).astype(float)
    series = np.stack([start + (end - start) * t for t in np.linspace(0, 1, 60)]).astype(np.uint8)
    assert not alike(series[:1], series[-1:]).any() and alike(series[:1], series[1:2]).all()
    order = np.random.default_rng(0).permutation(60)
    others = blurred(50, seed=5)
    found = first_of_copies(np.concatenate([others, series[order]]))
    assert found.tolist() == [*range(50), *[50] * 60]


def test_it_is_exact_about_what_is_compared(monkeypatch):
    """Cut into small bundles, as when each is compared with each."""
    random = np.random.default_rng(3)
    thumbnails = blurred(400)
    thumbnails = random.permutation(
        np.concatenate([thumbnails, *(noisy(thumbnails[:90], seed) for seed in (1, 2, 3))])
    )
    whole = first_of_copies(thumbnails)
    assert (whole != np.arange(len(whole))).sum() == 270
    monkeypatch.setattr(copies, "BUNDLE", 8)
    monkeypatch.setattr(copies, "BLOCK", 20)
    assert max(map(len, bundles(copies.coarse_features(thumbnails, np.arange(670))))) < 100
    assert np.array_equal(first_of_copies(thumbnails), whole)


def test_flat_and_equal_ones_are_no_copies_and_no_work():
    """Ten thousand black images, and nearly black ones, of which rounding is all that one sees."""
    dark = np.random.default_rng(0).integers(0, 3, (3000, 256)).astype(np.uint8)
    black = np.zeros((10_000, 256), np.uint8)
    assert first_of_copies(np.concatenate([black, dark])).tolist() == [*range(13_000)]
    one = blurred(1)
    assert first_of_copies(np.concatenate([black, one, one])).tolist() == [*range(10_001), 10_000]


def test_another_contrast_is_another_picture():
    picture = blurred(1).astype(int)
    for factor, same in ((0.9, True), (0.75, True), (0.5, False), (-1, False)):
        other = (128 + factor * (picture - 128)).clip(0, 255).astype(np.uint8)
        assert alike(picture.astype(np.uint8), other).tolist() == [[same]]


def test_all_copies_have_one_digest():
    digests = np.array([b"d", b"c", b"b", b"a"])
    assert first_digests(digests, np.array([0, 1, 0, 1])).tolist() == [b"b", b"a", b"b", b"a"]
    assert first_digests(digests, np.arange(4)).tolist() == digests.tolist()
