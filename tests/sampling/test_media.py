import concurrent.futures
import functools
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from clips import gradient

from seedance_jax.data.preferences.pairs import read_folder
from seedance_jax.data.video import decode_mp4
from seedance_jax.sampling import media
from seedance_jax.training import places


def test_clip_comes_with_sheet_and_sidecar(tmp_path):
    frames = np.stack([np.roll(gradient(), i, 1) for i in range(5)])
    path = media.write_clip(tmp_path, frames, 12, {"prompt": "p", "seed": 1})
    decoded, fps = decode_mp4(path)
    assert decoded.shape == frames.shape
    assert fps == 12
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "0000.json",
        "0000.mp4",
        "0000_sheet.png",
    ]
    sidecar = json.loads((tmp_path / "0000.json").read_text())
    assert sidecar["seed"] == 1
    assert sidecar["file"] == "0000.mp4"


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
        places.check_writable(tmp_path / "file" / "sub")


def test_arrays_are_written_with_a_sidecar_and_numbered(tmp_path):
    latents = np.ones((2, 2, 2, 4), np.float32)
    (tmp_path / "0002.mp4").touch()
    path = media.write_array(tmp_path, latents, 12, {"prompt": "p"})
    np.testing.assert_array_equal(np.load(path), latents)
    assert json.loads((tmp_path / "0003.json").read_text())["file"] == "0003.npy"
    assert media.next_number(tmp_path) == 4


def test_runs_that_write_at_once_lose_nothing(tmp_path):
    """Everything of a number is of one run, and every path that is told is there."""
    kinds = [np.full((count, 16, 16, 3), 9, np.uint8) for count in (1, 3)]
    start = threading.Barrier(8)

    def run(seed):
        start.wait()
        paths = [
            media.write_clip(tmp_path, kinds[seed % 2], 12, {"prompt": "p", "seed": seed})
            for _ in range(4)
        ]
        return seed, paths

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        told = dict(pool.map(run, range(8)))
    assert len({path.stem for paths in told.values() for path in paths}) == 32
    for seed, paths in told.items():
        for path in paths:
            sidecar = json.loads(path.with_suffix(".json").read_text())
            assert (sidecar["seed"], sidecar["file"]) == (seed, path.name)
            assert path.suffix == (".mp4" if seed % 2 else ".png")
            assert path.stat().st_size
    assert len(list(tmp_path.iterdir())) == 3 * 32
    assert media.next_number(tmp_path) == 32


def test_a_number_that_another_run_takes_in_between_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "next_number", lambda directory: 0)
    for name in ("0000.json", "0001.json"):
        (tmp_path / name).write_text("of another run")
    path = media.write_array(tmp_path, np.ones(1), 12, {"prompt": "p"})
    assert path.name == "0002.npy"
    assert (tmp_path / "0001.json").read_text() == "of another run"


def test_what_cannot_be_written_whole_leaves_no_part_and_no_number(tmp_path):
    def fail(file):
        file.write(b"half")
        raise OSError("no space left on device")

    files = {".mp4": lambda file: file.write(b"whole"), "_sheet.png": fail}
    with pytest.raises(OSError, match="no space left"):
        media.write_next(tmp_path, files, {"prompt": "p"})
    assert not list(tmp_path.iterdir())


SETTINGS = {
    "prompt": "p",
    "seed": 1,
    "height": 16,
    "width": 16,
    "num_frames": 3,
    "given_frames": [],
}


def test_a_folder_that_is_being_written_has_the_clips_that_are_whole(tmp_path):
    frames, seen = np.full((3, 16, 16, 3), 9, np.uint8), []
    media.write_clip(tmp_path, frames, 12, SETTINGS)

    def fill(file):
        seen.extend(read_folder(tmp_path))
        file.write(b"half")

    media.write_next(tmp_path, {".mp4": fill, "_sheet.png": fill}, SETTINGS | {"fps": 12})
    assert seen == [("p", 1)] * 2


def test_the_number_of_a_run_that_was_killed_is_passed_over(tmp_path):
    killed, frames = tmp_path / "killed", np.full((3, 16, 16, 3), 9, np.uint8)
    (tmp_path / "out").mkdir()
    leave = functools.partial(shutil.copytree, tmp_path / "out", killed)
    media.write_next(tmp_path / "out", {".mp4": lambda file: leave()}, SETTINGS)
    (killed / "0000.mp4").unlink()  # as before it was begun
    path = media.write_clip(killed, frames, 12, SETTINGS)
    assert path.name == "0001.mp4"
    [clip] = read_folder(killed).values()
    assert clip.path == path


def test_a_sidecar_that_cannot_be_written_leaves_no_part(tmp_path, monkeypatch):
    def fail(path, text):
        path.write_bytes(b"{")
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="no space left"):
        media.write_array(tmp_path, np.ones(1), 12, SETTINGS)
    assert not list(tmp_path.iterdir())
