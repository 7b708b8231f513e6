"""Photographs of every kind become an RGB square, or are refused in one line."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from common.stages import run_stage

RED, BLUE = (200, 30, 40), (20, 60, 220)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params("photo.png")


def write_params(path, size=100):
    Path("params.yaml").write_text(
        yaml.safe_dump({"photo": {"path": path, "size": size}}), encoding="utf-8"
    )


def two_halves(width=200, height=200):
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def prepared():
    run_stage("prepare_photo")
    image = Image.open("data/photo.png")
    assert (image.size, image.mode, image.format) == ((100, 100), "RGB", "PNG")
    return np.asarray(image)


def is_close(pixel, colour, tolerance=12):
    return np.abs(pixel.astype(int) - colour).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
def test_colours_stay(suffix):
    two_halves().save(f"photo.{suffix}")
    write_params(f"photo.{suffix}")
    pixels = prepared()
    assert is_close(pixels[50, 10], RED) and is_close(pixels[50, 90], BLUE)


def test_a_wide_photograph_loses_its_sides_not_its_shape():
    image = Image.new("RGB", (400, 200), "white")
    image.paste(RED, (100, 0, 300, 200))
    image.save("photo.png")
    assert is_close(prepared()[:, 5:-5], RED, tolerance=0)


def test_grey_becomes_rgb():
    two_halves().convert("L").save("photo.png")
    pixels = prepared()
    assert (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    assert is_close(pixels[50, 10], two_halves().convert("L").getpixel((0, 0)))


def test_sixteen_bits_keep_their_upper_eight():
    Image.fromarray(np.full((100, 100), 200 * 256 + 17, np.uint16)).save("photo.png")
    assert (prepared() == 200).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode):
    image = two_halves().convert("RGBA")
    image.paste((0, 0, 0, 0), (100, 0, 200, 200))
    image.convert(mode).save("photo.png")
    pixels = prepared()
    assert is_close(pixels[50, 90], (255, 255, 255), tolerance=0)
    assert not is_close(pixels[50, 10], (255, 255, 255), tolerance=60)


def test_cmyk_becomes_rgb():
    two_halves().convert("CMYK").save("photo.jpg")
    write_params("photo.jpg")
    pixels = prepared()
    assert is_close(pixels[50, 10], RED) and is_close(pixels[50, 90], BLUE)


def test_exif_sets_it_upright():
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down, so left and right change places
    two_halves().save("photo.jpg", exif=exif)
    write_params("photo.jpg")
    pixels = prepared()
    assert is_close(pixels[50, 10], BLUE) and is_close(pixels[50, 90], RED)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff", "avif"])
def test_an_animation_gives_its_first_frame(suffix):
    first = Image.new("RGB", (100, 100), RED)
    rest = [Image.new("RGB", (100, 100), BLUE)]
    first.save(f"photo.{suffix}", save_all=True, append_images=rest, duration=100)
    write_params(f"photo.{suffix}")
    assert is_close(prepared()[50, 50], RED)


def jpeg():
    data = io.BytesIO()
    two_halves().save(data, "jpeg")
    return data.getvalue()


def png():
    data = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(data, "png")
    return data.getvalue()


@pytest.mark.fault("a photograph that is none")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not an image of a kind that can be read"),
        (b"<!DOCTYPE html><p>Not found", "is not an image of a kind that can be read"),
        (jpeg()[:900], "image file is truncated"),
        (png()[:9000], "image file is truncated"),
        (png()[:9000] + b"\xff" * 4000 + png()[13000:], "broken"),
    ],
    ids=["empty", "page", "half a JPEG", "half a PNG", "broken PNG"],
)
def test_what_is_no_whole_image_is_refused(failure, content, reason):
    Path("photo.png").write_bytes(content)
    message = failure("prepare_photo")
    assert message.startswith("params.yaml: photo.path: photo.png ")
    assert reason in message and "\n" not in message
    assert not Path("data/photo.png").exists()


def test_what_is_no_file_is_named(failure):
    write_params("nothing.png")
    assert failure("prepare_photo") == (
        "params.yaml: photo.path: nothing.png cannot be read as an image: No such file or directory"
    )
    os.mkfifo("pipe.png")
    for path in (".", "pipe.png"):
        write_params(path)
        assert failure("prepare_photo") == f"params.yaml: photo.path: {path} is not a file"


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_of_no_known_range_are_refused(failure, dtype):
    Image.fromarray(np.ones((100, 100), dtype)).save("photo.tiff")
    write_params("photo.tiff")
    assert failure("prepare_photo") == (
        "params.yaml: photo.path: photo.tiff has 32 bits per channel, of no known range; "
        "it should have 8 or 16"
    )


def test_too_few_pixels_are_refused(failure):
    two_halves(62, 300).save("photo.png")
    assert failure("prepare_photo") == (
        "params.yaml: photo.path: photo.png has 62 × 300 pixels; AlexNet needs 63 × 63 or more"
    )


def test_63_pixels_are_enough():
    two_halves(63, 63).save("photo.png")
    prepared()


@pytest.mark.fault("an image that is a bomb")
def test_a_decompression_bomb_is_refused(failure):
    Image.new("1", (20_000, 10_001)).save("photo.png")
    assert Path("photo.png").stat().st_size < 200_000
    assert failure("prepare_photo") == (
        "params.yaml: photo.path: photo.png has too many pixels; 200,000,000 are allowed"
    )


@pytest.mark.parametrize("size", [62, 2049])
def test_the_size_has_a_range(failure, size):
    write_params("photo.png", size)
    assert f"photo.size is {size}; it should be" in failure("prepare_photo")
