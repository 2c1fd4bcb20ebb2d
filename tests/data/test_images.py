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


def deep_png(values):
    """A PNG of 16 bits, which Pillow cannot write in colour; values [H,W,C]."""
    chunk = lambda name, data: (  # noqa: E731
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    )
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
