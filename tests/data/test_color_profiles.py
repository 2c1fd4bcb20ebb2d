"""Colour profiles of pictures, made here tag by tag."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from seedance_jax.data import color_profiles, images

# Colorants (XYZ under D50) of the primaries.
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
GREEN, RED = (60, 200, 60), (200, 60, 60)


def xyz(values):
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(65536 * v)) for v in values)


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma))


def profile(space, tags, connection=b"XYZ ", kind=b"mntr"):
    """The bytes of an ICC profile of version 2."""
    name = b"made here\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        **tags,
    }
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += content
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, kind, space, connection)
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += struct.pack(">3i", *(round(65536 * v) for v in (0.9642, 1.0, 0.8249)))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb(colorants, gamma=2.2):
    names = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC")
    tags = dict(zip(names[0], map(xyz, colorants), strict=True))
    return profile(b"RGB ", tags | dict.fromkeys(names[1], curve(gamma)))


def grey(gamma):
    return profile(b"GRAY", {b"kTRC": curve(gamma)})


def cmyk():
    """Of inks that are all the same middle grey, but for black."""
    corners = np.zeros((2, 2, 2, 2, 3), np.uint8)
    corners[..., 1:] = 128  # a = b = 0
    corners[..., 0, 0] = 128  # L = 50 with any ink
    corners[0, 0, 0, 0, 0] = 255
    identity = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    lut += b"".join(struct.pack(">i", 65536 * v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut += 4 * identity + corners.tobytes() + 3 * identity
    return profile(b"CMYK", {b"A2B0": lut}, b"Lab ", b"prtr")


def own_srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def halves(upper=GREEN, lower=RED):
    image = Image.new("RGB", (64, 64), upper)
    image.paste(lower, (0, 32, 64, 64))
    return image


def read(tmp_path, image, **options):
    image.save(tmp_path / "a.tif", **options)
    return images.read_image(tmp_path / "a.tif", 64, 64)


@pytest.mark.parametrize(
    ("colorants", "upper", "lower"),
    [(ADOBE, (0, 201, 37), (231, 57, 57)), (P3, (0, 205, 0), (219, 37, 49))],
    ids=["adobe", "p3"],
)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_colours_of_another_profile_are_converted_and_said(
    tmp_path, colorants, upper, lower, suffix
):
    options = {"lossless": True} if suffix == "webp" else {}
    halves().save(tmp_path / f"a.{suffix}", icc_profile=rgb(colorants), **options)
    image, notes = images.read_image(tmp_path / f"a.{suffix}", 64, 64)
    assert notes == ["converted to sRGB from its colour profile"]
    np.testing.assert_allclose(image[2, 2].astype(int), upper, atol=1)
    np.testing.assert_allclose(image[-2, 2].astype(int), lower, atol=1)


@pytest.mark.parametrize("make", [own_srgb, lambda: None], ids=["srgb", "none"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_srgb_and_no_profile_leave_pixels_unchanged_without_a_note(tmp_path, make, mode):
    image = halves().convert(mode)
    pixels, notes = read(tmp_path, image, icc_profile=make())
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))
    assert notes == []


def test_grey_of_another_gamma_is_converted_by_its_own_or_a_profile_of_colour(tmp_path):
    image = Image.new("L", (64, 64), 128)
    for made in (grey(1.0), rgb(SRGB, 1.0)):
        pixels, notes = read(tmp_path, image, icc_profile=made)
        assert notes == ["converted to sRGB from its colour profile"]
        np.testing.assert_allclose(pixels, 188, atol=1)  # half of the light


def test_sixteen_bits_with_a_profile_are_scaled_and_converted(tmp_path):
    image = Image.fromarray(np.full((64, 64), 32896, np.uint16))
    pixels, notes = read(tmp_path, image, icc_profile=grey(1.0))
    assert notes == ["scaled from 16 to 8 bits", "converted to sRGB from its colour profile"]
    np.testing.assert_allclose(pixels, 188, atol=1)


def test_cmyk_is_converted_by_its_profile_or_that_there_is_none_is_said(tmp_path):
    image = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    pixels, notes = read(tmp_path, image, icc_profile=cmyk())
    assert notes == ["converted to sRGB from its colour profile"]
    np.testing.assert_allclose(pixels, 119, atol=2)  # L = 50
    pixels, notes = read(tmp_path, image)
    assert notes == ["converted from CMYK without a colour profile"]
    assert tuple(pixels[0, 0]) == (0, 255, 255)
    assert read(tmp_path, image, icc_profile=b"none" * 50)[1][1:] == notes


def test_colours_under_transparency_are_converted_before_they_lie_over_white(tmp_path):
    image = halves().convert("RGBA")
    image.putalpha(Image.new("L", (64, 64), 128))
    pixels, notes = read(tmp_path, image, icc_profile=rgb(ADOBE))
    assert notes == ["converted to sRGB from its colour profile", "transparency laid over white"]
    expected = np.multiply((231, 57, 57), 128 / 255) + 127
    np.testing.assert_allclose(pixels[-2, 2], expected, atol=1)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (b"junk" * 40, "cannot be applied: taken as sRGB"),
        (rgb(ADOBE)[:200], "cannot be applied: taken as sRGB"),
        (cmyk(), "is for CMYK, not for RGB: not applied"),
    ],
    ids=["junk", "cut", "of another kind"],
)
def test_a_profile_that_cannot_be_applied_is_said(tmp_path, made, said):
    pixels, notes = read(tmp_path, halves(), icc_profile=made)
    assert len(notes) == 1
    assert f"its colour profile {said}" in notes[0]
    np.testing.assert_array_equal(pixels, np.asarray(halves()))


def test_a_damaged_profile_of_a_png_is_said(tmp_path):
    """Pillow passes over what it cannot unpack."""
    halves().save(tmp_path / "a.png")
    with_chunk(tmp_path / "a.png", b"iCCP", b"ICC\0\0not packed")
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    assert notes == ["its colour profile is damaged: taken as sRGB"]
    np.testing.assert_array_equal(image, np.asarray(halves()))


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ({b"gAMA": (100000,)}, ["its gamma of 1/1 is not applied: taken as sRGB"]),
        ({b"gAMA": (45455,)}, []),
        ({b"gAMA": (100000,), b"sRGB": None}, []),
        (
            {b"cHRM": (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)},
            ["its primaries are not applied: taken as sRGB"],
        ),
        ({b"cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}, []),
    ],
)
def test_what_a_png_says_of_its_colours_without_a_profile_is_said(tmp_path, chunks, said):
    info = PngImagePlugin.PngInfo()
    for name, values in chunks.items():
        info.add(name, b"\0" if values is None else struct.pack(f">{len(values)}I", *values))
    halves().save(tmp_path / "a.png", pnginfo=info)
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    assert notes == said
    np.testing.assert_array_equal(image, np.asarray(halves()))


def with_chunk(path, name, content):
    """Puts a chunk behind the header of a PNG."""
    whole, body = path.read_bytes(), name + content
    chunk = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(whole[:33] + chunk + whole[33:])


@pytest.mark.parametrize("made", [None, ADOBE], ids=["no profile", "profile"])
def test_colours_that_a_png_says_by_numbers_are_said(tmp_path, made):
    """And that they come before a profile."""
    converted = ["converted to sRGB from its colour profile"] if made else []
    hdr = ["its colours (cICP: primaries 9, transfer 16) are not applied: taken as sRGB"]
    for codes, said in [((1, 13), []), ((9, 16), hdr), ((), converted)]:
        halves().save(tmp_path / "a.png", icc_profile=made and rgb(made))
        with_chunk(tmp_path / "a.png", b"cICP", bytes((*codes, 0, 1)) if codes else b"")
        assert images.read_image(tmp_path / "a.png", 64, 64)[1] == said


def test_lab_is_converted(tmp_path):
    lab = ImageCms.profileToProfile(
        halves(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    image, notes = color_profiles.to_srgb(lab)
    np.testing.assert_allclose(np.asarray(image, int), np.asarray(halves(), int), atol=4)
    assert notes == ["converted to sRGB from its colour profile"]
