import struct
import zlib

import numpy as np
import pytest
from clips import gradient
from PIL import ExifTags, Image

from seedance_jax.data import images
from seedance_jax.data.video import decode_mp4, encode_mp4


def test_image_of_the_right_size_is_untouched(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    np.testing.assert_array_equal(image, gradient())
    assert notes == []


def test_alpha_is_laid_over_white_and_said(tmp_path):
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "a.png")
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    assert (image == 255).all()
    assert "transparency" in notes[0]


def test_sixteen_bits_are_scaled_and_said(tmp_path):
    Image.fromarray(np.full((64, 64), 32896, np.uint16)).save(tmp_path / "a.png")
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    assert (image == 128).all()
    assert "16 to 8" in notes[0]


@pytest.mark.parametrize(("start", "kind"), [(b"MM\0*", ">"), (b"II*\0", "<")])
def test_sixteen_bits_are_read_in_either_order_of_bytes(tmp_path, start, kind):
    values = np.full((64, 64), 32896).astype(f"{kind}u2")
    # size, bits, compression, photometric, place of the pixels, rows of the strip, its bytes
    tags = {256: 64, 257: 64, 258: 16, 259: 1, 262: 1, 273: 8, 278: 64, 279: values.nbytes}
    entries = b"".join(struct.pack(f"{kind}HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = start + struct.pack(f"{kind}I", 8 + values.nbytes)
    table = struct.pack(f"{kind}H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(head + values.tobytes() + table)
    image, notes = images.read_image(tmp_path / "a.tif", 64, 64)
    assert (image == 128).all()
    assert "16 to 8" in notes[0]


def chunk(name, data):
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_png(values):
    """A PNG of 16 bits, which Pillow cannot write in colour; values [H,W,C]."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_of_colour_are_said(tmp_path, channels):
    values = np.full((64, 64, channels), 32896)
    values[..., 3:] = 65535
    (tmp_path / "a.png").write_bytes(deep_png(values))
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    assert (image == 128).all()
    assert "16 to 8" in notes[0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
def test_rotation_is_applied_and_said(tmp_path, suffix):
    halves = np.repeat(np.array([255, 0], np.uint8), 32)  # white above
    picture = Image.fromarray(np.tile(halves[:, None, None], (1, 64, 3)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    image, notes = images.read_image(tmp_path / f"a.{suffix}", 64, 64)
    assert notes == ["turned upright as its EXIF says"]
    assert image[:, :28].max() < 30
    assert image[:, 36:].min() > 225
    picture.save(tmp_path / "b.png")
    assert images.read_image(tmp_path / "b.png", 64, 64)[1] == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.linspace(0, 1, 4096, dtype=np.float32), "from 0.0 to 1.0 .mode F"),
        (np.linspace(0, 70000, 4096).astype(np.int32), "from 0 to 70000 .mode I"),
        (np.linspace(-1, 255, 4096).astype(np.int32), "from -1 to 255 .mode I"),
    ],
)
def test_values_of_unknown_range_are_refused(tmp_path, values, said):
    Image.fromarray(values.reshape(64, 64)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=rf"a\.tiff' has values {said}"):
        images.read_image(tmp_path / "a.tiff", 64, 64)


def test_other_aspect_is_cropped_and_said(tmp_path):
    Image.fromarray(gradient(64, 128)).save(tmp_path / "a.png")
    image, notes = images.read_image(tmp_path / "a.png", 32, 32)
    assert image.shape == (32, 32, 3)
    assert notes == ["cropped and resized from 128x64 to 32x32"]


def test_bad_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        images.read_image(tmp_path / "none.png", 64, 64)
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"text\.png"):
        images.read_image(tmp_path / "text.png", 64, 64)


def test_a_clip_is_read_at_the_size_and_says_what_changed(tmp_path):
    frames = np.stack([np.roll(gradient(), i, 1) for i in range(5)])
    (tmp_path / "a.mp4").write_bytes(encode_mp4(frames, 12))
    height, width = frames.shape[1:3]
    read, notes = images.read_video(tmp_path / "a.mp4", height, width, 12, most=9)
    assert notes == []
    np.testing.assert_array_equal(read, decode_mp4(tmp_path / "a.mp4")[0])
    read, notes = images.read_video(tmp_path / "a.mp4", 32, 48, 24, most=9)
    assert read.shape == (5, 32, 48, 3)
    assert notes[0].startswith("cropped and resized from")
    assert notes[1] == "its 12 frames a second are taken as 24: speed changes"
    with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
        images.read_video(tmp_path / "none.mp4", 32, 32, 12, most=9)
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ValueError, match=r"text\.mp4.*cannot be read"):
        images.read_video(tmp_path / "text.mp4", 32, 32, 12, most=9)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_the_first_of_several_frames_is_taken_and_said(tmp_path, suffix):
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    image, notes = images.read_image(tmp_path / f"a.{suffix}", 64, 64)
    assert notes == ["the first of its 3 frames is taken"]
    assert (image == (255, 0, 0)).all()


def one_bit(width, height):
    """A PNG of black, which takes no memory to write."""
    rows = zlib.compressobj()
    body = b"".join(rows.compress(bytes(1 + -(-width // 8))) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", body), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


@pytest.mark.filterwarnings("error")
def test_an_image_of_too_many_pixels_is_one_line_with_its_size(tmp_path):
    (tmp_path / "big.png").write_bytes(one_bit(20000, 10000))
    said = r"^image '.*big\.png' has 20000x10000 pixels, more than 134,217,728: make it smaller$"
    with pytest.raises(ValueError, match=said):
        images.read_image(tmp_path / "big.png", 64, 64)


@pytest.mark.filterwarnings("error")
def test_an_image_below_the_limit_is_read_without_a_warning(tmp_path, monkeypatch):
    """Pillow warns from MAX_IMAGE_PIXELS on, and raises an error from twice as many on."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    (tmp_path / "a.png").write_bytes(one_bit(640, 640))
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    assert (image == 0).all()
    assert notes == ["resized from 640x640 to 64x64"]
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not_is_said(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(gradient()).save(tmp_path / f"a.{suffix}", exif=exif)
    _, notes = images.read_image(tmp_path / f"a.{suffix}", 64, 64)
    assert notes == [f"not turned: its EXIF orientation is {orientation}, none of 1 to 8"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0junk of no kind", b"Exif\0\0MM\0*\0\0\0\x08\0\xff", b"\xff" * 40],
)
def test_damaged_exif_is_no_error(tmp_path, suffix, exif):
    Image.new("RGB", (64, 64), "red").save(tmp_path / f"a.{suffix}", exif=exif)
    image, notes = images.read_image(tmp_path / f"a.{suffix}", 64, 64)
    assert np.abs(image.astype(int) - (255, 0, 0)).max() < 4
    for note in notes:
        assert note.startswith(("not turned: its EXIF cannot be read", "read with a warning"))


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "I;16"])
def test_one_transparent_colour_is_laid_over_white(tmp_path, mode):
    image = Image.new("RGB", (64, 64), "black")
    image.paste((255, 0, 0), (0, 0, 64, 32))
    grey = np.repeat(np.uint16([65535 // 3, 0]), 32)[:, None].repeat(64, 1)
    image = Image.fromarray(grey) if mode == "I;16" else image.convert(mode)
    clear = image.getpixel((0, 63))
    image.save(tmp_path / "a.png", transparency=clear)
    pixels, notes = images.read_image(tmp_path / "a.png", 64, 64)
    assert "transparency laid over white" in notes
    assert (pixels[40:] == 255).all()
    assert (pixels[:30] < 255).any(-1).all()


def test_an_alpha_that_hides_nothing_is_no_change(tmp_path):
    Image.fromarray(gradient()).convert("RGBA").save(tmp_path / "a.png")
    image, notes = images.read_image(tmp_path / "a.png", 64, 64)
    np.testing.assert_array_equal(image, gradient())
    assert notes == []


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000), (1, 1)])
def test_any_shape_becomes_that_of_the_clip(tmp_path, size):
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    image, notes = images.read_image(tmp_path / "a.png", 32, 48)
    assert (image == (255, 0, 0)).all()
    assert f"from {size[0]}x{size[1]} to 48x32" in notes[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tiff", "bmp", "avif"])
def test_a_damaged_file_is_read_with_notes_or_one_line_that_names_it(tmp_path, suffix):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options = {} if suffix in ("gif", "bmp") else {"exif": exif}
    picture.save(tmp_path / f"a.{suffix}", **options)
    whole, path = (tmp_path / f"a.{suffix}").read_bytes(), tmp_path / f"b.{suffix}"
    refused = 0
    for cut in range(60):
        data = bytearray(whole)
        if cut % 2:
            data = data[: rng.integers(len(data) // 2)]
        else:
            data[rng.integers(len(data))] ^= 255
        path.write_bytes(data)
        found = read_or_explain(path)
        refused += isinstance(found, str)
        if isinstance(found, str):
            assert found.startswith(f"image '{path}' ")
            assert "\n" not in found
    assert refused > 15


def read_or_explain(path):
    """The pixels of an image, or what is said if it cannot be read."""
    try:
        return images.read_image(path, 32, 32)[0]
    except ValueError as error:
        return str(error)


def test_a_damaged_png_is_not_read_by_a_second_try(tmp_path):
    """Looking for EXIF loads a PNG, and a second load does not fail as the first one did."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(
        tmp_path / "a.png"
    )
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png' cannot be read: broken data"):
        images.read_image(tmp_path / "a.png", 64, 64)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "is no image of a format that Pillow reads"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"GIF89a\0\0\0\0\0\0\0;", "is no image of a format"),
    ],
)
def test_files_that_are_no_images_are_one_line(tmp_path, content, said):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"^image '.*a\.png' ({said})"):
        images.read_image(tmp_path / "a.png", 64, 64)
