import json

import numpy as np
import pytest
from clips import gradient

from seedance_jax.data.video import decode_mp4
from seedance_jax.sampling import media


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


def test_arrays_are_written_with_a_sidecar_and_numbered(tmp_path):
    latents = np.ones((2, 2, 2, 4), np.float32)
    path = media.write_array(tmp_path / "0003", latents, 12, {"prompt": "p"})
    np.testing.assert_array_equal(np.load(path), latents)
    assert json.loads((tmp_path / "0003.json").read_text())["file"] == "0003.npy"
    assert media.next_number(tmp_path) == 4
