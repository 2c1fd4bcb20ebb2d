import json

import numpy as np
import pytest

from seedance_jax.data.video import encode_mp4
from seedance_jax.evaluation import clips, measurement
from seedance_jax.evaluation.metrics import features


def write(folder, videos, fps=12):
    folder.mkdir()
    for number, frames in enumerate(videos):
        (folder / f"{number:04d}.mp4").write_bytes(encode_mp4(frames, fps))
    return folder


@pytest.fixture
def videos():
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 40, (6, 9, 1, 1, 3)) + rng.integers(50, 200, (6, 1, 4, 4, 1))
    return steps.astype(np.uint8).repeat(8, 2).repeat(8, 3)


def first_and_spread(params, frames):
    """Features that see the order of frames: the first frame, and the change of brightness."""
    del params
    video = np.asarray(frames, np.float64)
    return np.concatenate([video[:, 0].mean((1, 2)), np.diff(video.mean((2, 3, 4)))[:, :1]], 1)


MEANS = features.Features("fvd_mean", "kvd_mean", 1, 4, first_and_spread, None)


def test_folders_are_compared(tmp_path, videos):
    folders = [write(tmp_path / name, videos) for name in ("real", "fake")]
    found = measurement.compare(*map(clips.read_clips, map(str, folders)), [MEANS])
    assert found["form"] == "9 frames of 32x32 at 12 fps"
    assert found["fvd_mean"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert found["kvd_mean"]["count"] == 6
    assert {*found["controls"]} == {"real_halves", "shuffled_frames"}
    assert found["vbench"]["real"] == found["vbench"]["fake"]
    assert "fvd_mean: 6 clips are too few" in found["notes"][0]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("change", ["length", "size", "rate"])
def test_clips_of_another_form_are_refused(tmp_path, videos, change):
    real = write(tmp_path / "real", videos)
    other = {"length": videos[:, :8], "size": videos[:, :, :16], "rate": videos}[change]
    fake = write(tmp_path / "fake", other, fps=24 if change == "rate" else 12)
    told = {
        "length": "fake: 8 frames of 32x32 at 12 fps, but .*real: 9 frames of 32x32 at 12 fps",
        "size": "fake: 9 frames of 16x32 at 12 fps, but .*real: 9 frames of 32x32 at 12 fps",
        "rate": "fake: 9 frames of 32x32 at 24 fps, but .*real: 9 frames of 32x32 at 12 fps",
    }
    with pytest.raises(ValueError, match=told[change]):
        measurement.compare(clips.read_clips(str(real)), clips.read_clips(str(fake)), [MEANS])
    mixed = fake / "9999.mp4"
    mixed.write_bytes(encode_mp4(videos[0], 12))
    with pytest.raises(ValueError, match="fake/9999.mp4: .* but .*fake/0000.mp4: "):
        clips.read_clips(str(fake))


def test_folders_without_clips_are_refused(entry_point, tmp_path, videos):
    with pytest.raises(FileNotFoundError, match="is no folder of clips, nor a RUN:SPLIT"):
        clips.read_clips(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"has no clips \(.mp4"):
        clips.read_clips(str(tmp_path))
    few = write(tmp_path / "few", videos[:3])
    with pytest.raises(ValueError, match="few has 3 clips: needs 4 or more"):
        entry_point("measure", f"--real={few}", f"--fake={few}")
    (few / "0001.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="few/0001.mp4 cannot be read"):
        clips.read_clips(str(few))
    with pytest.raises(ValueError, match="give --real and --fake, or --run"):
        entry_point("measure", f"--real={few}")
    with pytest.raises(ValueError, match="--output=x.npz: must end with .safetensors"):
        entry_point("train_features", "--output=x.npz")
