import json
from types import SimpleNamespace

import numpy as np
import pytest

from seedance_jax.data.video import encode_mp4
from seedance_jax.evaluation import clips, measurement
from seedance_jax.evaluation.metrics import features, intervals, plausibility
from seedance_jax.sampling import pipeline


def write(folder, videos, fps=12):
    folder.mkdir()
    for number, frames in enumerate(videos):
        (folder / f"{number:04d}.mp4").write_bytes(encode_mp4(frames, fps))
    return folder


@pytest.fixture
def videos():
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 40, (10, 9, 1, 1, 3)) + rng.integers(50, 200, (10, 1, 4, 4, 1))
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
    assert found["kvd_mean"]["count"] == 10
    assert {*found["controls"]} == {"real_halves", "shuffled_frames", "fake"}
    assert {part["fvd_mean"]["count"] for part in found["controls"].values()} == {5}
    assert found["vbench"]["real"] == found["vbench"]["fake"]
    assert "fvd_mean: 10 clips are too few" in found["notes"][0]
    assert "controls, fvd_mean: 5 clips are too few" in found["notes"][1]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("fakes", [64, 8])
def test_what_nothing_counts_is_what_other_clips_of_the_same_kind_count(fakes):
    """Whatever the number of clips, which a Frechet distance of few depends on."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        frames = rng.integers(0, 256, (2, 64, 3, 16, 16, 3)).astype(np.uint8)
        frames[..., 1:, :, :, :] = frames[..., :1, :, :, :]
        real, fake = (clips.Clips(part, 12.0, "a") for part in (frames[0], frames[1, :fakes]))
        with pytest.MonkeyPatch.context() as patch:
            some = {"temporal_flickering": {"count": 1}}
            patch.setattr(measurement, "of_clips", lambda clips, some=some: some)
            controls = measurement.compare(real, fake, [MEANS])["controls"]
        found.append([controls[name]["fvd_mean"]["value"] for name in ("real_halves", "fake")])
    nothing, fake = np.array(found).T
    spread = np.std(nothing - fake) / np.sqrt(len(found))
    assert abs(np.mean(nothing - fake)) < 3 * spread
    assert spread < nothing.mean() / 2


def test_pairs_are_files_of_one_name(tmp_path, videos):
    real, fake = (write(tmp_path / name, videos) for name in ("real", "fake"))
    read = lambda: [clips.read_clips(str(folder)) for folder in (real, fake)]  # noqa: E731
    found = measurement.of_pairs(*read(), lambda x, y: np.abs(x - y).mean((1, 2, 3)))
    assert found["psnr"]["value"] == 99.0
    assert found["ssim"]["value"] == pytest.approx(1.0)
    assert found["lpips"] == {"value": 0.0, "low": 0.0, "high": 0.0, "count": 10}
    (fake / "0003.mp4").rename(fake / "other.mp4")
    with pytest.raises(ValueError, match=r"real has 0003.mp4, .*fake has not: clips are paired by"):
        measurement.of_sets(*read(), [MEANS], pairs=True)
    one, other = read()
    elsewhere = other._replace(files=(), name="run:validation")
    with pytest.raises(ValueError, match="run:validation is no folder: clips are paired by"):
        measurement.of_sets(one, elsewhere, [MEANS], pairs=True)


def test_all_pairs_of_one_scene_count_as_one(monkeypatch):
    """Every violation is preferred in the same scenes: no more is known than of one violation."""
    preferred = [True] * 6 + [False] * 2
    found = {"preferred": preferred, "preference": intervals.share(6, 8)}
    pairs = (None, None, None, list(range(8)))
    monkeypatch.setattr(measurement.violations, "make_pairs", lambda name, spec, count: pairs)
    monkeypatch.setattr(measurement.violations, "spec_of", lambda data: None)
    monkeypatch.setattr(measurement.plausibility, "compare", lambda *_, **__: dict(found))
    report = measurement.of_run(SimpleNamespace(config={"data": None}), 8)
    overall, one = report["all"], intervals.mean(preferred)
    assert overall["pairs"] == 48
    assert overall["captioned"] == one._asdict()
    assert report["hover"]["captioned"] == {"preference": found["preference"]._asdict()}
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--real=a"], "give --real and --fake, or --run"),
        (["--run=released", "--limit=9"], "--limit=9 does nothing without --real"),
        (["--run=released", "--data_dir=x"], "--data_dir=x does nothing without --real"),
        (["--run=released", "--paired"], "--paired does nothing without --real"),
        (["--real=a", "--fake=b", "--num_pairs=3"], "--num_pairs=3 does nothing without --run"),
        (
            ["--real=a", "--fake=b", "--i3d_file=i3d_pretrained_400"],
            "--i3d_file=i3d_pretrained_400 does nothing without --i3d",
        ),
        (["--real=a", "--fake=b", "--lpips=v,h"], "does nothing without --paired"),
        (["--real=a", "--fake=b", "--paired", "--lpips=v"], "--lpips=v: give two files"),
        (["--run=released", "--output=."], "--output=. is a directory"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(run_command, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_command("measure", *arguments)


@pytest.mark.parametrize("wrong", ["output", "run", "world", "frames", "names"])
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    run_command, tmp_path, videos, monkeypatch, wrong
):
    def measured(*_):
        raise AssertionError("it was measured")

    for part in (measurement, plausibility):
        monkeypatch.setattr(part, "compare", measured)
    count = 4 if wrong == "frames" else 9
    folders = [write(tmp_path / name, videos[:, :count]) for name in ("real", "fake")]
    sets = [f"--real={folders[0]}", f"--fake={folders[1]}"]
    (folders[0] / "file").touch()
    config = {"stage": "flow_matching", "data": {"source": "folder"}}
    if wrong == "world":
        opened = SimpleNamespace(config=config)
        monkeypatch.setattr(pipeline.Pipeline, "from_run", lambda workdir: opened)
    if wrong == "names":
        (folders[1] / "0003.mp4").rename(folders[1] / "other.mp4")
    more, message = {
        "output": (f"--output={folders[0]}/file/found.json", "cannot write to output directory"),
        "run": (f"--run={tmp_path}/nowhere", "nowhere"),
        "world": ("--run=a", "the model was trained on data of 'folder'"),
        "frames": ("--seed=1", "clips of 4 frames: fvd_world needs 5 or more"),
        "names": ("--paired", "real has 0003.mp4"),
    }[wrong]
    with pytest.raises((ValueError, OSError), match=message):
        run_command("measure", *sets, more)


def test_the_command_measures_and_writes(run_command, tmp_path, videos, capsys):
    folders = [write(tmp_path / name, videos[:8]) for name in ("real", "fake")]
    output = tmp_path / "new" / "found.json"
    sets = [f"--real={folders[0]}", f"--fake={folders[1]}"]
    run_command("measure", *sets, "--paired", f"--output={output}")
    found = json.loads(capsys.readouterr().out)
    assert json.loads(output.read_text()) == found
    assert found["paired"]["psnr"]["value"] == 99.0
    assert found["controls"]["fake"]["kvd_world"]["count"] == 4


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
        measurement.of_sets(clips.read_clips(str(real)), clips.read_clips(str(fake)), [MEANS])
    mixed = fake / "9999.mp4"
    mixed.write_bytes(encode_mp4(videos[0], 12))
    with pytest.raises(ValueError, match="fake/9999.mp4: .* but .*fake/0000.mp4: "):
        clips.read_clips(str(fake))


def test_folders_without_clips_are_refused(run_command, tmp_path, videos):
    with pytest.raises(FileNotFoundError, match="is no folder of clips, nor a RUN:SPLIT"):
        clips.read_clips(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"has no clips \(.mp4"):
        clips.read_clips(str(tmp_path))
    few = write(tmp_path / "few", videos[:7])
    with pytest.raises(ValueError, match="few has 7 clips: needs 8 or more"):
        run_command("measure", f"--real={few}", f"--fake={few}")
    (few / "0001.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="few/0001.mp4 cannot be read"):
        clips.read_clips(str(few))
    with pytest.raises(ValueError, match="--output=x.npz: must end with .safetensors"):
        run_command("train_features", "--output=x.npz")
    with pytest.raises(OSError, match="cannot write to output directory"):
        run_command("train_features", f"--output={few}/0000.mp4/x.safetensors")


def test_a_folder_is_read_by_all_suffixes_of_films_and_what_is_left_out_is_said(
    tmp_path, videos, caplog
):
    folder = write(tmp_path / "real", videos[:3])
    (folder / "0001.mp4").rename(folder / "0001.M4V")
    film = (folder / "0000.mp4").read_bytes()
    (folder / "sub").mkdir()
    (folder / "d.mp4").mkdir()
    for name in ("film", "sub/a.mp4"):
        (folder / name).write_bytes(film)
    for name in ("._0000.mp4", "sheet.png", "0000.json"):
        (folder / name).write_bytes(b"\0")
    assert clips.read_clips(str(folder)).files == ("0000.mp4", "0001.M4V", "0002.mp4")
    assert "2 files left out:\n  sub/a.mp4: in a folder of its own\n  film: looks" in caplog.text
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"none has no clips \(.*\.m4v .*\.mts"):
        clips.read_clips(str(tmp_path / "none"))
