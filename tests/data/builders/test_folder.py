import dataclasses
import errno
import json
import os

import faulty
import films
import numpy as np
import pytest
from clips import moving_square
from PIL import Image

from seedance_jax.data import inspection, schema, video
from seedance_jax.data.builders import folder as builder
from seedance_jax.data.builders import storage, transcoding
from seedance_jax.data.builders.caption_files import CaptionedFile, Captions
from seedance_jax.data.builders.folder import build_folder, folder_directory, split_of
from seedance_jax.data.builders.transcoding import FolderSpec, transcode
from seedance_jax.data.schema import Shot


@pytest.fixture(scope="module")
def encoded():
    """Ten films at 24 frames per second: of 2 s, but of 4 s the first."""
    lengths = [96, *[48] * 9]
    return [
        video.encode_mp4(moving_square(index, length, height=64, width=128), 24)
        for index, length in enumerate(lengths)
    ]


@pytest.fixture
def folder(tmp_path, encoded):
    """A folder of the films, and captions."""
    path = tmp_path / "films"
    path.mkdir()
    for index, film in enumerate(encoded):
        (path / f"{index}.mp4").write_bytes(film)
        (path / f"{index}.txt").write_text(f"square {index}")
    return path


def spec_of(folder, **changes):
    spec = FolderSpec(str(folder), num_frames=17, fps=12, storage_size=32, validation_fraction=0.3)
    return dataclasses.replace(spec, **changes)


def test_videos_become_clips_of_one_form(folder, tmp_path):
    spec = spec_of(folder)
    directory = build_folder(tmp_path / "out", spec, num_processes=2)
    assert directory == folder_directory(tmp_path / "out", spec)
    rows = {}
    for split in ("train", "validation"):
        source = storage.open_split(directory, split)
        for row in (source[index] for index in range(len(source))):
            assert split_of(row["id"].split("#")[0], 0.3) == split
            frames, fps = video.decode_mp4(row["video"])
            assert frames.shape == (17, 32, 64, 3)
            assert (row["num_frames"], row["height"], row["width"]) == (17, 32, 64)
            assert fps == row["fps"] == 12
            rows[row["id"]] = row["caption"], frames
    assert rows.keys() == {"0.mp4#0", "0.mp4#17"} | {f"{i}.mp4#0" for i in range(1, 10)}
    assert rows["0.mp4#17"][0] == "square 0"
    original = video.decode_mp4(folder / "0.mp4", [34], (32, 64))[0][0]  # 24 fps, 17 ticks later
    assert np.abs(rows["0.mp4#17"][1][0].astype(int) - original).mean() < 4
    report = storage.read_report(directory)
    assert sum(report["rows"].values()) == 11
    assert report["files_by_frame_rate"] == {"24": 10}
    assert report["frames_dropped_at_ends"] == 9 * 7 + 14


def test_bad_files_are_named_and_too_many_are_an_error(folder, tmp_path):
    (folder / "1.mp4").write_text("no film")
    (folder / "2.mp4").write_bytes(video.encode_mp4(moving_square(0, 9, 64, 128), 24))
    (folder / "3.mp4").write_bytes(video.encode_mp4(moving_square(0, 40, 64, 128), 8))
    reasons = {
        "1.mp4": "unreadable: Invalid data found when processing input",
        "2.mp4": "too short: 5 frames at 12 frames per second, a clip has 17",
        "3.mp4": "8 frames per second, fewer than 12",
    }
    directory = build_folder(tmp_path / "out", spec_of(folder, max_lost=0.3))
    lost = {entry["file"]: entry["reason"] for entry in storage.read_report(directory)["lost"]}
    assert lost == reasons
    assert [path.suffix for path in directory.parent.iterdir()].count(".parts") == 0


def test_a_build_that_cannot_succeed_ends_at_once_and_goes_on_later(folder, tmp_path, monkeypatch):
    good = (folder / "1.mp4").read_bytes()
    for name in "13":
        (folder / f"{name}.mp4").write_text("no film")
    read = []
    monkeypatch.setattr(
        transcoding, "transcode", lambda file, spec: read.append(file.name) or transcode(file, spec)
    )
    spec = spec_of(folder, validation_fraction=0.0, max_lost=0.1)
    with pytest.raises(
        ValueError, match=r"(?s)2 of the 10 files .* are lost after 4.*1.mp4: unreadable"
    ):
        build_folder(tmp_path / "out", spec)
    assert read == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    for name in "13":
        (folder / f"{name}.mp4").write_bytes(good)
    read.clear()
    directory = build_folder(tmp_path / "out", spec)
    assert read == ["1.mp4", *(f"{number}.mp4" for number in range(3, 10))]
    assert storage.read_report(directory)["rows"] == {"train": 11}
    assert storage.read_report(directory)["files_by_frame_rate"] == {"24": 10}
    rows = storage.open_split(directory, "train")
    assert [rows[i]["id"] for i in range(3)] == ["0.mp4#0", "0.mp4#17", "1.mp4#0"]
    assert [path.suffix for path in directory.parent.iterdir()].count(".parts") == 0


def test_a_part_that_is_damaged_is_made_again_and_one_that_cannot_be_written_ends_the_build(
    folder, tmp_path, monkeypatch
):
    (folder / "3.mp4").write_text("no film")
    spec = spec_of(folder, validation_fraction=0.0)
    with pytest.raises(ValueError, match="more than max_lost"):
        build_folder(tmp_path / "out", spec)
    [done] = (tmp_path / "out" / "folder").glob("*.parts")
    for part in done.iterdir():
        part.write_bytes(part.read_bytes()[:-200])
    (folder / "3.mp4").write_bytes((folder / "2.mp4").read_bytes())
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", raise_full)
        with pytest.raises(OSError, match="No space left"):
            build_folder(tmp_path / "out", spec)
    assert storage.read_report(build_folder(tmp_path / "out", spec))["lost"] == []


def test_a_folder_of_which_nothing_can_be_read_is_said_by_name(folder, tmp_path):
    for film in folder.glob("*.mp4"):
        film.write_text("no film")
    spec = spec_of(folder, validation_fraction=0.0, max_lost=1.0)
    with pytest.raises(ValueError, match=r"(?s)all files .* are lost:.*0.mp4: unreadable.*9.mp4"):
        build_folder(tmp_path / "out", spec)


def raise_full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_film_that_kills_its_reader_is_lost_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "transcode_once", faulty.transcode_once)
    directory = build_folder(tmp_path / "out", spec_of(folder, max_lost=0.1), num_processes=2)
    report = storage.read_report(directory)
    assert report["lost"] == [
        {"file": "3.mp4", "reason": "its reader was killed: out of memory, or a fault"}
    ]
    assert sum(report["rows"].values()) == 10


@pytest.mark.parametrize(
    "error",
    [MemoryError("4 GiB"), UnicodeDecodeError("utf-8", b"a", 0, 1, "x"), RuntimeError("odd")],
)
def test_whatever_a_film_raises_it_is_lost_by_name(folder, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(video.VideoReader, "show", fail)
    done = transcode(CaptionedFile("1.mp4", Captions("square 1")), spec_of(folder))
    assert done.lost.startswith(f"{type(error).__name__}: ")


def test_clips_that_would_repeat_a_frame_are_left_out(folder, tmp_path):
    times = [*range(72), *range(72, 144, 12)]  # three seconds at 24 a second, then three at 2
    burst = films.written(films.greys(len(times), step=2), rate=24, times=times)
    (folder / "1.mp4").write_bytes(burst)
    (folder / "2.mp4").write_bytes(films.written(films.greys(30), rate=24, times=range(0, 90, 3)))
    spec = spec_of(folder, validation_fraction=0.0, max_lost=0.1)
    directory = build_folder(tmp_path / "out", spec)
    report = storage.read_report(directory)
    assert report["clips_left_out"] == {builder.REPEATS: {"1.mp4": 1}}
    assert inspection.format_built(report) == [f"1 clips left out, {builder.REPEATS}:\n  1.mp4: 1"]
    assert [entry["file"] for entry in report["lost"]] == ["2.mp4"]
    rows = storage.open_split(directory, "train")
    ids = [rows[i]["id"] for i in range(len(rows))]
    assert [name for name in ids if name.startswith("1.")] == ["1.mp4#0", "1.mp4#17"]
    still = films.written(np.full((48, 64, 96, 3), 90, np.uint8), rate=24)
    (folder / "2.mp4").write_bytes(still)  # a film that stands still has frames of its own
    assert not transcode(CaptionedFile("2.mp4", Captions("grey")), spec).repeating


def test_what_is_done_to_show_a_film_is_in_the_report(folder, tmp_path):
    turned = films.with_matrix(films.written(films.quarters(num_frames=48), rate=24), 0, 1, -1, 0)
    (folder / "1.mp4").write_bytes(turned)
    directory = build_folder(tmp_path / "out", spec_of(folder, validation_fraction=0.0))
    assert storage.read_report(directory)["changed"] == [
        {"file": "1.mp4", "changes": ["turned upright as the file says"]}
    ]
    said = inspection.format_built(storage.read_report(directory))
    assert said == ["turned upright as the file says: 1 files"]
    rows = storage.open_split(directory, "train")
    [row] = [rows[i] for i in range(len(rows)) if rows[i]["id"] == "1.mp4#0"]
    assert (row["height"], row["width"]) == (48, 32)
    assert films.corners(video.decode_mp4(row["video"])[0][0]) == "BRWG"


def test_a_film_without_a_tick_is_too_short(folder, monkeypatch):
    """As broken times of its frames may make it."""
    monkeypatch.setattr(video.VideoReader, "resample", lambda reader, fps: iter(()))
    done = transcode(CaptionedFile("1.mp4", Captions("square 1")), spec_of(folder))
    assert done.lost == "too short: 0 frames at 12 frames per second, a clip has 17"


def test_shots_of_a_file_become_shots_of_its_clips(folder, tmp_path):
    """Frames of the file (24 per second) become those of the clips (12 per second)."""
    rows = [{"file_name": f"{i}.mp4", "caption": f"square {i}"} for i in range(10)]
    told = [(18, "first"), (50, "second"), (28, "third")]  # 96 frames at 24 per second
    rows[0]["shots"] = [{"num_frames": n, "caption": text} for n, text in told]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    directory = build_folder(tmp_path / "out", spec_of(folder, validation_fraction=0.0))
    source = storage.open_split(directory, "train")
    clips = {row["id"]: row for row in (source[index] for index in range(len(source)))}
    assert schema.read_shots(clips["0.mp4#0"]) == (Shot(9, "first"), Shot(8, "second"))
    assert clips["0.mp4#0"]["caption"] == "square 0"
    assert schema.read_shots(clips["0.mp4#17"]) == (Shot(17, "second"),)
    assert clips["0.mp4#17"]["caption"] == "second"
    assert schema.read_shots(clips["1.mp4#0"]) == (Shot(17, "square 1"),)


@pytest.mark.parametrize("total", [46, 60, 90, 100, 192])
def test_shots_of_another_length_than_their_file_are_named(folder, tmp_path, total):
    rows = [{"file_name": f"{i}.mp4", "caption": f"square {i}"} for i in range(10)]
    shots = [{"num_frames": 20, "caption": "a"}, {"num_frames": total - 20, "caption": "b"}]
    rows[0]["shots"] = shots
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=f"0.mp4: shots of {total} frames in all, the file has"):
        build_folder(tmp_path / "out", spec_of(folder, validation_fraction=0.0))


def test_pictures_among_clips_are_clips_of_one_frame(folder, tmp_path):
    pixels = np.zeros((67, 101, 3), np.uint8)
    pixels[:, 50:] = (200, 60, 60)
    Image.fromarray(pixels).save(folder / "p.png")
    Image.fromarray(pixels[:40, :51]).save(folder / "wide.JPG")
    (folder / "broken.png").write_text("no picture")
    Image.fromarray(pixels).save(folder / "cover.webp")
    for name in ("p", "wide", "broken"):
        (folder / f"{name}.txt").write_text(f"picture {name}")
    directory = build_folder(tmp_path / "out", spec_of(folder, validation_fraction=0, max_lost=0.1))
    source = storage.open_split(directory, "train")
    rows = {row["id"]: row for row in (source[index] for index in range(len(source)))}
    row = rows["p.png#0"]
    assert row["caption"] == "picture p"
    assert schema.read_shots(row) == (Shot(1, "picture p"),)
    frames, _ = video.decode_mp4(row["video"])
    assert frames.shape == (1, 32, 48, 3) == (row["num_frames"], row["height"], row["width"], 3)
    assert np.abs(frames[0, :, 30:].astype(int) - (200, 60, 60)).max() < 12
    assert rows["wide.JPG#0"]["height"] == 32
    report = storage.read_report(directory)
    assert report["pictures"] == 3
    assert report["files_by_frame_rate"] == {"24": 10}
    assert [entry["file"] for entry in report["lost"]] == ["broken.png"]
    assert report["left_out"] == {"cover.webp": "a picture without a caption"}


def test_files_whose_names_are_no_text_are_clips_too(folder, tmp_path):
    (folder / "1.mp4").rename(folder / os.fsdecode(b"caf\xe9.mp4"))
    (folder / "1.txt").rename(folder / os.fsdecode(b"caf\xe9.txt"))
    (folder / "2.mp4").write_text("no film")
    (folder / "2.mp4").rename(folder / os.fsdecode(b"\xe9.mp4"))
    (folder / "2.txt").rename(folder / os.fsdecode(b"\xe9.txt"))
    directory = build_folder(tmp_path / "out", spec_of(folder, validation_fraction=0, max_lost=0.1))
    source = storage.open_split(directory, "train")
    assert r"caf\xe9.mp4#0" in {source[index]["id"] for index in range(len(source))}
    assert storage.read_report(directory)["lost"][0]["file"] == r"\xe9.mp4"


def test_a_folder_that_changed_is_not_taken_for_the_old_one(folder, tmp_path):
    spec = spec_of(folder)
    directory = build_folder(tmp_path / "out", spec)
    before = (directory / "spec.json").stat().st_mtime_ns
    assert build_folder(tmp_path / "out", spec) == directory
    assert (directory / "spec.json").stat().st_mtime_ns == before
    assert build_folder(tmp_path / "out", spec_of(folder, storage_size=48)) != directory
    (folder / "5.txt").write_text("another caption")
    with pytest.raises(ValueError, match="has changed since"):
        build_folder(tmp_path / "out", spec)


def test_the_split_of_a_file_depends_on_its_name_alone():
    names = [f"{index}.mp4" for index in range(2000)]
    small = {name for name in names if split_of(name, 0.1) == "validation"}
    large = {name for name in names if split_of(name, 0.3) == "validation"}
    assert small < large
    assert len(small) == pytest.approx(200, abs=50)


@pytest.mark.parametrize(
    "change", [{"fps": 0}, {"storage_size": 8}, {"validation_fraction": 1.0}, {"max_lost": -1}]
)
def test_illegal_settings(change):
    with pytest.raises(ValueError, match=f"^data.folder.{next(iter(change))}=.*: must be "):
        spec_of("films", **change)
