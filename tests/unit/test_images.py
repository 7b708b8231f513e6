"""Images of every kind have the pixels that other decoders find in them, or are refused."""

import os
import struct
import sys
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, PpmImagePlugin

from stages.core.data import images
from stages.core.data.images import UnreadableImage, open_rgb, open_with_size

from common.project import ROOT, execute

SIDE = 23

pyvips.cache_set_max(0)  # or it takes a file for an older one of that name


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(path):
    image = open_rgb(Path(path))
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def reason(path):
    with pytest.raises(UnreadableImage) as caught:
        open_rgb(Path(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def by_vips(path):
    """An image as libvips reads it, upright and on white."""
    image = pyvips.Image.new_from_file(str(path)).autorot()
    image = image.colourspace("srgb") if image.interpretation != "srgb" else image
    image = image.flatten(background=[255, 255, 255]) if image.hasalpha() else image
    pixels = image.numpy()
    return (pixels if pixels.ndim == 3 else np.stack([pixels] * 3, -1)).astype(int)


def noise(*shape, dtype=np.uint8):
    kind = np.iinfo(dtype)
    numbers = np.random.default_rng(7)
    return numbers.integers(kind.min, kind.max, (SIDE, SIDE + 7, *shape), dtype, endpoint=True)


def two_halves(width=64, height=48):
    """Red on the left, blue on the right; the upper half is darker."""
    image = Image.new("RGB", (width, height), (200, 30, 40))
    image.paste((20, 60, 220), (width // 2, 0, width, height))
    image.paste((10, 90, 20), (0, 0, width // 2, height // 2))
    return image


# PNG


def png(path, pixels, depth, colour, **chunks):
    """Write a PNG with any depth and type of colour, row × column × channel, unfiltered."""
    pixels = pixels.reshape(len(pixels), -1)
    if depth < 8:
        bits = np.unpackbits(pixels.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(len(pixels), -1), axis=1)
    else:
        rows = pixels.astype(f">u{depth // 8}").view(np.uint8)
    data = zlib.compress(np.insert(rows, 0, 0, axis=1).tobytes())
    width, height = Image.fromarray(pixels[:, :: {2: 3, 4: 2, 6: 4}.get(colour, 1)] > 0).size
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    with Path(path).open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, content in {"IHDR": header, **chunks, "IDAT": data, "IEND": b""}.items():
            body = name.encode() + content
            file.write(struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body)))


def few_values(depth, *shape):
    """Of which many are equal, or are so in their upper or lower byte or half."""
    values = np.array([100, 25600, 25700, 101, 0, 65535]) % 2**depth
    return np.random.default_rng(7).choice(values, (SIDE, SIDE + 7, *shape))


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(
    ("depth", "colour"),
    [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3)],
)
def test_a_png_of_any_depth_has_the_right_pixels_transparent(depth, colour, transparent):
    pixels = few_values(depth, *((3,) if colour == 2 else ()))
    chunks = {}
    if colour == 3:
        chunks["PLTE"] = noise(3).tobytes()[: 3 * 2**depth]
        alphas = bytes([0, 128, 255, 0, 7, 255])
        transparency = alphas[: 2**depth]
    elif colour == 2:
        transparency = pixels[3, 5].astype(">u2").tobytes()
    else:
        transparency = struct.pack(">H", 101 % 2**depth)
    if transparent:
        chunks["tRNS"] = transparency
    png("image.png", pixels, depth, colour, **chunks)
    expected = by_vips("image.png")
    assert np.abs(read("image.png") - expected).max() <= 1
    assert (expected == 255).all(-1).any() or not transparent


@pytest.mark.parametrize(("depth", "colour"), [(8, 4), (8, 6), (16, 4), (16, 6)])
def test_a_png_with_alpha_is_on_white(depth, colour):
    pixels = noise(2 if colour == 4 else 4, dtype=np.uint8 if depth == 8 else np.uint16)
    png("image.png", pixels, depth, colour)
    assert np.abs(read("image.png") - by_vips("image.png")).max() <= 1


def test_a_transparent_grey_of_16_bits_is_that_grey_alone():
    png("image.png", np.array([[100, 25600]]), 16, 0, tRNS=struct.pack(">H", 100))
    assert read("image.png").tolist() == [[[255] * 3, [100] * 3]]


def test_of_a_transparent_colour_only_the_bits_count_that_pixels_have():
    png("image.png", np.array([[[1, 2, 3], [255, 2, 3]]]), 8, 2, tRNS=struct.pack(">3H", 257, 2, 3))
    assert (read("image.png") == by_vips("image.png")).all()
    assert read("image.png").tolist() == [[[255] * 3, [255, 2, 3]]]


def test_a_transparent_colour_of_16_bits_is_that_colour_alone():
    pixels = np.array([[[100, 200, 300], [25600, 200, 300], [101, 200, 300]]])
    png("image.png", pixels, 16, 2, tRNS=struct.pack(">3H", 100, 200, 300))
    assert read("image.png").tolist() == [[[255] * 3, [100, 0, 1], [0, 0, 1]]]


# TIFF

LAYOUTS = [
    (photometric, extra, planar, order, compression)
    for photometric in ("minisblack", "miniswhite", "rgb", "separated")
    for extra in (None, "unspecified", "assocalpha", "unassalpha")
    for planar in ("contig", "separate")
    for order in "<>"
    for compression in (None, "zlib")
]


def write_tiff(pixels, photometric, extra, planar, order, compression):
    """In tiles if compressed."""
    if planar == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(
        "image.tif",
        pixels.squeeze(),
        photometric=photometric,
        extrasamples=extra and [extra],
        planarconfig=planar if pixels.squeeze().ndim == 3 else None,
        byteorder=order,
        compression=compression,
        tile=(16, 16) if compression else None,
    )


def tiff_by_tifffile(path):
    """8 bits of RGB, on white; of tifffile's stored numbers, of 8 or 16 bits."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        stored, photometric, extra = page.asarray(), page.photometric.name, page.extrasamples
        if stored.ndim == 2:
            stored = stored[..., None]
        elif page.planarconfig.name == "SEPARATE":
            stored = np.moveaxis(stored, 0, -1)
    values = stored / np.iinfo(stored.dtype).max
    count = {"RGB": 3, "SEPARATED": 4}.get(photometric, 1)
    colours = values[..., :count]
    if photometric == "MINISWHITE":
        colours = 1 - colours
    if photometric == "SEPARATED":
        colours = (1 - colours[..., :3]) * (1 - colours[..., 3:])
    kind = extra[0].name if extra else ""
    if kind in ("ASSOCALPHA", "UNASSALPHA"):
        alpha = values[..., count:]
        colours = colours * (alpha if kind == "UNASSALPHA" else 1) + 1 - alpha
    return np.broadcast_to(colours * 255, (*colours.shape[:2], 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiffs_of_any_layout_are_right_or_refused(dtype):
    """At least those layouts are read that people use."""
    were_read = set()
    for photometric, extra, planar, *rest in LAYOUTS:
        count = {"rgb": 3, "separated": 4}.get(photometric, 1) + bool(extra)
        pixels = noise(count, dtype=dtype)
        if extra == "assocalpha":
            pixels = np.minimum(pixels, pixels[..., -1:])
        layout = (photometric, extra, planar, *rest)
        write_tiff(pixels, *layout)
        try:
            found = read("image.tif")
        except UnreadableImage as error:
            assert "JPEG, or as PNG" in str(error)
        else:
            # Premultiplied colours of little alpha have few bits, so they get a few levels.
            assert np.abs(found - tiff_by_tifffile("image.tif")).max() <= 4, layout
            were_read.add(layout)
    common = {layout for layout in LAYOUTS if layout[0] == "rgb"}
    common |= {layout for layout in LAYOUTS if layout[0] == "separated" and layout[1] is None}
    common |= {layout for layout in LAYOUTS if layout[:2] == ("minisblack", None)}
    common |= {layout for layout in LAYOUTS if layout[:2] == ("miniswhite", None)}
    if dtype == np.uint16:  # Pillow does not know it
        common -= {layout for layout in common if layout[0] == "miniswhite" and ">" in layout}
    else:
        grey = ("minisblack", "unassalpha"), ("minisblack", "assocalpha")
        common |= {layout for layout in LAYOUTS if layout[:2] in grey and layout[2] == "contig"}
    assert common <= were_read


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (np.int8, "has signed numbers, of no known range; they should be unsigned"),
        (np.int16, "has signed numbers, of no known range; they should be unsigned"),
        (np.int32, "has 32 bits per channel, of no known range; it should have 8 or 16"),
        (np.uint32, "has 32 bits per channel, of no known range; it should have 8 or 16"),
        (np.float32, "has 32 bits per channel, of no known range; it should have 8 or 16"),
        (np.float16, "is a TIFF file of a kind that cannot be read; save it as JPEG, or as PNG"),
        (np.float64, "is a TIFF file of a kind that cannot be read; save it as JPEG, or as PNG"),
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_numbers_of_no_known_range_are_refused(dtype, message, compression):
    tifffile.imwrite("image.tif", np.ones((9, 9), dtype), compression=compression)
    assert reason("image.tif").startswith(message)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_tiffs_of_few_bits(bits, white_is_zero):
    grey = pyvips.Image.new_from_array(noise())
    grey.tiffsave("image.tif", bitdepth=bits, miniswhite=white_is_zero)
    assert (read("image.tif") == by_vips("image.tif")).all()


@pytest.mark.parametrize("compression", ["jpeg", "lzw", "packbits", "ccittfax4"])
def test_compressed_tiffs(compression):
    image = pyvips.Image.new_from_array(np.asarray(two_halves()))
    bits = 8
    if compression == "ccittfax4":
        image, bits = image.colourspace("b-w"), 1
    image.tiffsave("image.tif", compression=compression, bitdepth=bits)
    assert (read("image.tif") == by_vips("image.tif")).all()


def tiff(path, tags, data):
    """Write a little-endian TIFF with one strip; tags are numbers: type, value or values."""
    tags = {**tags, 273: (4, 0), 279: (4, len(data))}
    after = 8 + 2 + 12 * len(tags) + 4
    entries, apart = b"", b""
    for tag, (kind, value) in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = b"".join(struct.pack("<H" if kind == 3 else "<I", number) for number in values)
        if len(packed) > 4:
            packed, apart = struct.pack("<I", after + len(apart)), apart + packed
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    strip = struct.pack("<HHI", 273, 4, 1)
    entries = entries.replace(strip + bytes(4), strip + struct.pack("<I", after + len(apart)))
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    Path(path).write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + apart + data)


def test_a_tiff_of_12_bits_keeps_the_upper_8():
    values = np.arange(0, 4096, 64)
    pairs = values.reshape(-1, 2)
    packed = [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255]
    tags = {256: (3, 64), 257: (3, 1), 258: (3, 12), 259: (3, 1), 262: (3, 1), 277: (3, 1)}
    tiff("image.tif", tags, np.stack(packed, 1).astype(np.uint8).tobytes())
    assert (read("image.tif") == (values >> 4)[None, :, None]).all()


def test_a_tiff_with_fewer_colour_samples_than_grey_ones():
    """YCbCr, uncompressed: four pixels share their Cb and Cr."""
    image = two_halves()
    ycc = np.asarray(image.convert("YCbCr"))
    blocks = ycc.reshape(24, 2, 32, 2, 3).swapaxes(1, 2)
    data = [np.append(block[..., 0], block[0, 0, 1:]) for block in blocks.reshape(-1, 2, 2, 3)]
    tags = {256: (3, 64), 257: (3, 48), 258: (3, (8, 8, 8)), 259: (3, 1), 262: (3, 6)}
    tags |= {277: (3, 3), 278: (3, 48), 530: (3, (2, 2))}
    tiff("image.tif", tags, np.concatenate(data).astype(np.uint8).tobytes())
    assert np.abs(read("image.tif") - np.asarray(image)).max() <= 2


def test_a_palette_of_16_bits_or_against_the_standard_of_8():
    colours = noise(3).reshape(-1, 3)[:256].T.astype(np.uint16)
    for palette in (colours * 257, colours):
        tifffile.imwrite("image.tif", noise(), photometric="palette", colormap=palette)
        assert (read("image.tif") == colours.T[noise()]).all()


def test_a_preview_is_not_taken_for_the_photograph():
    """Raw photographs, such as DNG, are TIFF files that start with a small preview."""
    tifffile.imwrite("image.dng", noise(3), photometric="rgb", subfiletype=1)
    assert reason("image.dng").startswith(
        "starts with a preview, as raw photographs do; save it as "
    )


def test_lab_becomes_rgb():
    for compression in ("raw", "tiff_deflate"):
        two_halves().convert("LAB").save("image.tif", compression=compression)
        assert np.abs(read("image.tif") - np.asarray(two_halves())).max() <= 8


# Others


@pytest.mark.parametrize("largest", [1, 15, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_pgm_and_ppm_have_the_white_that_they_say(monkeypatch, kind, largest):
    monkeypatch.delattr(PpmImagePlugin.PpmDecoder, "decode")  # takes minutes for a photograph
    channels = 3 if kind in ("P3", "P6") else 1
    values = np.linspace(0, largest, 60 * channels).astype(int).reshape(5, 12, channels)
    header = f"{kind}\n# a comment\n12 5\n{largest}\n".encode()
    if kind in ("P2", "P3"):
        body = " ".join(map(str, values.ravel())).encode() + b"\n"
    else:
        body = values.astype(">u2" if largest > 255 else "u1").tobytes()
    Path("image.jpg").write_bytes(header + body)  # whatever its name
    assert np.abs(read("image.jpg") - values / largest * 255).max() <= 1
    Path("image.jpg").write_bytes(header + body[:-9])
    assert "truncated" in reason("image.jpg") or "not enough image data" in reason("image.jpg")


def test_pgm_of_16_bits_keeps_the_upper_8():
    Path("image.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 200 * 256 + 17, 65535))
    assert read("image.pgm").tolist() == [[[200] * 3, [255] * 3]]


def test_floats_in_pfm_are_refused():
    Image.fromarray(np.ones((9, 9), np.float32)).save("image.pfm")
    assert reason("image.pfm").startswith("has 32 bits per channel, of no known range")


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
def test_jpeg_2000(codec):
    name = f"image.{codec}"
    for stored in (noise(), noise(3), noise(4)):
        Image.fromarray(stored).save(name, irreversible=False)
        expected = Image.fromarray(stored)
        if stored.shape[2:] == (4,):
            white = Image.new("RGBA", expected.size, "white")
            expected = Image.alpha_composite(white, expected)
        assert (read(name) == np.asarray(expected.convert("RGB"))).all()
    wide = noise(dtype=np.uint16)
    Image.fromarray(wide).save(name, irreversible=False)
    assert (read(name) == (wide >> 8)[..., None]).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright(suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    two_halves(64, 32).save(f"image.{suffix}", exif=exif)
    expected = by_vips(f"image.{suffix}")
    assert expected.shape == ((64, 32, 3) if orientation > 4 else (32, 64, 3))
    assert np.abs(read(f"image.{suffix}") - expected).mean() <= 2
    assert open_with_size(Path(f"image.{suffix}"))[1] == (64, 32)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0MM",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x09\xff\xff\xff\xff\0\0\0\0",
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_broken_metadata_are_no_reason_to_refuse(suffix, exif):
    two_halves().save(f"image.{suffix}", exif=exif)
    assert np.abs(read(f"image.{suffix}") - by_vips(f"image.{suffix}")).max() <= 1


@pytest.mark.parametrize("palette", [False, True])
def test_tga_has_alpha_only_if_it_says_so(palette):
    colour = bytes([40, 30, 200, 0])  # blue, green, red, alpha
    for bits, expected in ((8, (255, 255, 255)), (0, (200, 30, 40))):
        place = struct.pack("<4H", 0, 0, 2, 1)  # left, bottom, width, height
        if palette:
            start = struct.pack("<3B2HB", 0, 1, 1, 0, 1, 32) + place + bytes([8, bits])
            Path("image.tga").write_bytes(start + colour + bytes(2))
        else:
            start = struct.pack("<3B2HB", 0, 0, 2, 0, 0, 0) + place + bytes([32, bits])
            Path("image.tga").write_bytes(start + colour * 2)
        assert read("image.tga").tolist() == [[list(expected)] * 2]


def test_the_fourth_byte_of_a_bmp_is_no_alpha():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 2] = 200
    header = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 32, 0, 64, 0, 0, 0, 0)
    file = struct.pack("<2sIHHI", b"BM", 54 + 64, 0, 0, 54)
    Path("image.bmp").write_bytes(file + header + pixels.tobytes())
    assert (read("image.bmp") == (200, 0, 0)).all()


# All that Pillow can write

MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"]
MODES += ["HSV", "I", "F", "I;16", "I;16B", "I;16L"]


def written(mode):
    """An image of the mode in each of Pillow's formats that can hold it."""
    Image.init()
    image = Image.new(mode, (70, 66))
    for name in sorted(Image.SAVE):
        path = Path(f"{name}.image")  # SPIDER takes the suffix for its own
        try:
            with path.open("wb") as file:
                image.save(file, name)
        except (OSError, ValueError, KeyError, AttributeError):
            continue
        yield name, path


@pytest.mark.parametrize("mode", MODES)
def test_whatever_pillow_writes_is_read_or_refused(mode):
    for name, path in written(mode):
        try:
            assert read(path).shape == ((60, 64, 3) if name == "ICO" else (66, 70, 3)), name
        except UnreadableImage as error:
            assert str(error) and "\n" not in str(error)
            assert name not in images.FORMATS or mode in ("I", "F", "PA", "I;16B", "I;16L"), name


@pytest.mark.parametrize("format", [*images.FORMATS, "TGA"])
def test_what_is_said_to_be_read_is(format):
    path = Path("image.tga" if format == "TGA" else "image")
    if format == "PCX":
        two_halves().convert("L").save(path, format)
    elif format == "ICO":
        two_halves(64, 64).save(path, format, sizes=[(16, 16), (64, 64)])
    else:
        two_halves().save(path, format)
    with Image.open(path, formats=[format]) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert (read(path) == expected).all()


# Refused


@pytest.mark.fault("broken images of every kind")
@pytest.mark.parametrize("format", [*images.FORMATS, "TGA"])
def test_whatever_is_broken_is_read_or_refused_in_one_line(format, capfd):
    path = Path("image.tga" if format == "TGA" else "image")
    image = two_halves().convert("L" if format == "PCX" else "RGB")
    image.save(path, format)
    whole = path.read_bytes()
    numbers = np.random.default_rng(7)
    for _ in range(40):
        content = bytearray(whole)
        for place in numbers.integers(0, min(len(whole), 300), 3):
            content[place] = numbers.integers(256)
        path.write_bytes(content[: numbers.choice([len(whole), numbers.integers(len(whole))])])
        try:
            read(path)
        except UnreadableImage as error:
            assert str(error) and "\n" not in str(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.fault("an image that runs a program")
@pytest.mark.parametrize("name", ["image.jpg", "image.eps"])
def test_postscript_starts_no_program(tmp_path, monkeypatch, name):
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    Path(name).write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n{} loop\n%%EOF\n"
    )
    assert reason(name).startswith("is not an image of a kind that can be read: JPEG, PNG, ")
    assert not Path("started").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><p>Not found",
        b"%PDF-1.7\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(99),
        struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mif1", 0, b"mif1", b"heic") + bytes(99),
        b"\xd7\xcd\xc6\x9a" + bytes(99),
    ],
    ids=["page", "PDF", "SVG", "HEIC", "HEIF", "WMF"],
)
def test_other_kinds_are_refused_with_what_to_do(content):
    Path("image.jpg").write_bytes(content)
    assert reason("image.jpg") == (
        "is not an image of a kind that can be read: JPEG, PNG, WEBP, AVIF, GIF, TIFF, BMP, DIB, "
        "PPM, JPEG2000, ICO, QOI, SGI, PCX, TGA; save it as JPEG, or as PNG with 8 bits per "
        "channel"
    )


def test_an_empty_file_is_said_to_be_empty():
    Path("image.jpg").touch()
    assert reason("image.jpg") == "is empty"


def test_an_unknown_variant_of_a_known_kind_is_named():
    two_halves().save("image.jpg")
    content = bytearray(Path("image.jpg").read_bytes())
    place = content.index(b"\xff\xc0")
    content[place + 4] = 12  # bits
    Path("image.jpg").write_bytes(content)
    assert reason("image.jpg").startswith("is a JPEG file of a kind that cannot be read; save it")


def test_libraries_write_nothing_to_standard_error():
    """In a process of its own: pytest takes what Pillow logs."""
    tags = {256: (3, 9), 257: (3, 9), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 50_000)}
    tiff("image.tif", tags, bytes(81))
    code = f"""
from pathlib import Path
from stages.core.data.images import UnreadableImage, open_rgb
try:
    open_rgb(Path({str(Path("image.tif").resolve())!r}))
except UnreadableImage as error:
    print(error)
"""
    result = execute(ROOT, sys.executable, "-c", code)
    assert result.stdout.startswith("is a TIFF file of a kind that cannot be read"), result
    assert result.stderr == ""


def test_what_is_no_file_does_not_block():
    os.mkfifo("pipe.jpg")
    assert reason("pipe.jpg") == reason(".") == "is not a file"


# Large


def test_108_megapixels_are_read():
    Image.new("L", (12_000, 9000), 77).save("image.jpg")
    image, stored = open_with_size(Path("image.jpg"), side=64)
    assert stored == (12_000, 9000) and image.size == (1500, 1125)
    assert (np.asarray(image) == 77).all()


@pytest.mark.fault("an image that is a bomb")
def test_more_than_200_megapixels_are_refused_undecoded():
    png("image.png", np.zeros((1, 1)), 1, 0)
    content = Path("image.png").read_bytes()
    for width, height in ((20_000, 10_001), (2**31 - 1, 2**31 - 1)):
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
        chunk = header + struct.pack(">I", zlib.crc32(header))
        Path("image.png").write_bytes(content[:12] + chunk + content[33:])
        assert reason("image.png") == "has too many pixels; 200,000,000 are allowed"


@pytest.mark.fault("an image that is a bomb")
def test_a_small_tiff_with_a_large_tile_is_refused_undecoded():
    tags = {256: (3, 10), 257: (3, 10), 258: (3, 8), 259: (3, 8), 262: (3, 1), 277: (3, 1)}
    tiff("image.tif", {**tags, 322: (4, 20_000), 323: (4, 10_001)}, zlib.compress(bytes(99)))
    assert reason("image.tif") == "has too many pixels; 200,000,000 are allowed"


class Turn(nullcontext):
    """Counts how often it is somebody's turn."""

    taken = 0

    def __enter__(self):
        self.taken += 1


@pytest.fixture
def turn(monkeypatch):
    turn = Turn()
    monkeypatch.setattr(images, "_one_large", turn)
    monkeypatch.setattr(images, "LARGE", 80 * 60)
    return turn


@pytest.mark.parametrize(("progressive", "taken"), [(False, 0), (True, 1)])
def test_a_large_jpeg_needs_no_turn_unless_it_is_decoded_whole(turn, progressive, taken):
    two_halves(640, 480).save("large.jpg", progressive=progressive)
    assert open_rgb(Path("large.jpg"), side=40).size == (80, 60) and turn.taken == taken


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_large_images_are_scaled_down_one_at_a_time(turn, mode):
    two_halves(64, 48).convert(mode).save("small.png")
    two_halves(640, 480).convert(mode).save("large.png")
    assert open_rgb(Path("small.png"), side=20).size == (64, 48) and turn.taken == 0
    image = open_rgb(Path("large.png"), side=20)
    assert image.size == (54, 40) and turn.taken == 1
    whole = np.asarray(open_rgb(Path("large.png")).reduce(12))
    assert np.abs(np.asarray(image).astype(int) - whole).max() <= 1
