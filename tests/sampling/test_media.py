import json

import numpy as np
import pytest
from PIL import Image

from seedance_jax.data.video import decode_mp4
from seedance_jax.sampling import media


def gradient(height=64, width=64):
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 // height, x * 255 // width, 0 * x + 90], -1).astype(np.uint8)


def test_image_of_the_right_size_is_untouched(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    image, notes = media.read_image(tmp_path / "a.png", 64, 64)
    np.testing.assert_array_equal(image, gradient())
    assert notes == []


def test_alpha_is_laid_over_white_and_said(tmp_path):
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "a.png")
    image, notes = media.read_image(tmp_path / "a.png", 64, 64)
    assert (image == 255).all()
    assert "transparency" in notes[0]


def test_sixteen_bits_are_scaled_and_said(tmp_path):
    Image.fromarray(np.full((64, 64), 32896, np.uint16)).save(tmp_path / "a.png")
    image, notes = media.read_image(tmp_path / "a.png", 64, 64)
    assert (image == 128).all()
    assert "16 to 8" in notes[0]


def test_other_aspect_is_cropped_and_said(tmp_path):
    Image.fromarray(gradient(64, 128)).save(tmp_path / "a.png")
    image, notes = media.read_image(tmp_path / "a.png", 32, 32)
    assert image.shape == (32, 32, 3)
    assert notes == ["cropped and resized from 128x64 to 32x32"]


def test_bad_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        media.read_image(tmp_path / "none.png", 64, 64)
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"text\.png"):
        media.read_image(tmp_path / "text.png", 64, 64)


def test_clip_comes_with_sheet_and_sidecar(tmp_path):
    frames = np.stack([np.roll(gradient(), i, 1) for i in range(5)])
    path = media.write_clip(tmp_path / "a", frames, 12, {"prompt": "p", "seed": 1})
    decoded, fps = decode_mp4(path)
    assert decoded.shape == frames.shape
    assert fps == 12
    assert (tmp_path / "a_sheet.png").is_file()
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert sidecar["seed"] == 1
    assert sidecar["file"] == "a.mp4"


def test_clips_are_numbered_on_from_what_is_there(tmp_path):
    assert media.next_number(tmp_path) == 0
    for present, following in [
        ("0007_sheet.png", 8),
        ("0003.mp4", 8),
        ("0010.json", 11),
        ("sheet_0011-0012.png", 13),
        ("2024 holiday.png", 13),
        ("12345.png", 12346),
    ]:
        (tmp_path / present).touch()
        assert media.next_number(tmp_path) == following


def test_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="output directory"):
        media.check_writable(tmp_path / "file" / "sub")
