import io
import os

import av
import films
import numpy as np
import pytest
from clips import moving_square

from seedance_jax.data.video import ClipError, VideoReader, decode_mp4, encode_mp4, reader


def film(container="mp4", codec="libx264", num_frames=24, rate=12, **settings):
    return films.written(moving_square(0, num_frames), container, codec, rate, **settings)


def ticks(data, fps):
    """The numbers of the frames that are shown at 1/fps s, and the notes."""
    with VideoReader(data) as opened:
        return [number for number, _ in opened.resample(fps)], opened.notes


def audio_only():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = np.zeros((1, 4096), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def zero_frames():
    """A Matroska file of which only the description of its stream is left."""
    data = film("matroska")
    return data[: data.index(b"\x1f\x43\xb6\x75") + 16]  # into the first cluster of frames


def test_chosen_frames_are_those_of_the_whole(tmp_path):
    data = encode_mp4(moving_square(3, num_frames=17), 12)
    whole, _ = decode_mp4(data)
    assert np.array_equal(decode_mp4(data, range(3, 16, 4))[0], whole[3:16:4])
    assert decode_mp4(data, [5], size=(16, 24))[0].shape == (1, 16, 24, 3)
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    assert np.array_equal(decode_mp4(path)[0], whole)
    with pytest.raises(ClipError, match="frame 17 wanted from a clip of 17 frames"):
        decode_mp4(data, [2, 17])


@pytest.mark.parametrize(
    ("container_format", "codec"),
    [("mov", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx-vp9")],
)
def test_other_containers_decode_and_show_a_cut(container_format, codec):
    data = film(container_format, codec)
    assert decode_mp4(data)[0].shape == (24, 32, 48, 3)
    with pytest.raises(ClipError, match=r"truncated|unreadable|zero frames"):
        decode_mp4(data[: int(len(data) * 0.6)])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"", "unreadable"),
        (lambda: b"this is a text, not a film\n" * 20, "unreadable"),
        (lambda: film()[:1000], "unreadable"),
        (audio_only, "no video stream, only audio"),
        (zero_frames, "zero frames"),
    ],
    ids=["empty", "text", "no index", "audio", "no frames"],
)
def test_what_is_no_clip_says_why(make, reason):
    with pytest.raises(ClipError, match=reason):
        decode_mp4(make())


@pytest.mark.parametrize("share", [0.5, 0.8, 0.98])
def test_a_cut_or_damaged_mp4_is_an_error(tmp_path, share):
    data = films.copied(film(num_frames=33), tmp_path / "clip.mp4", movflags="+faststart")
    assert decode_mp4(data)[0].shape[0] == 33
    cut = int(len(data) * share)
    with pytest.raises(ClipError, match="truncated"):
        decode_mp4(data[:cut])
    with pytest.raises(ClipError, match="truncated"):
        decode_mp4(data[:cut] + bytes(len(data) - cut))


@pytest.mark.parametrize(("rate", "fps"), [(24, 12), (25, 12), (30, 24), (12, 12), (30, 29.97)])
def test_resampling_takes_the_nearest_frame_and_keeps_the_duration(rate, fps):
    times = np.arange(48) / rate
    with VideoReader(film(num_frames=40, rate=rate)) as opened:
        chosen = [frame.time for _, frame in opened.resample(fps)]
    ticks = np.arange(len(chosen)) / fps
    nearest = times[:40][np.abs(ticks[:, None] - times[:40]).argmin(1)]
    assert np.abs(np.array(chosen) - ticks).max() <= 0.5 / rate + 1e-3
    assert np.abs(np.array(chosen) - nearest).max() <= 1 / rate + 1e-3
    assert len(chosen) == pytest.approx(40 / rate * fps, abs=1)


def test_frames_are_not_invented():
    with pytest.raises(ClipError, match="12 frames per second, fewer than 24"):
        ticks(film(), 24)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mov"])
def test_where_a_film_has_no_frame_a_number_comes_again(container):
    times = [*range(24), *range(24, 72, 12)]  # 24 frames a second, then 2
    numbers, _ = ticks(film(container, num_frames=len(times), rate=24, times=times), 12)
    again = [tick for tick in range(1, len(numbers)) if numbers[tick] == numbers[tick - 1]]
    assert min(again) >= 12
    assert len(again) >= 12
    assert numbers[:12] == list(range(0, 24, 2))


def test_a_film_that_is_slower_by_a_little_is_taken_frame_by_frame():
    numbers, _ = ticks(film(num_frames=200, rate=24), 24.2)
    assert numbers == list(range(200))


def test_a_film_that_knows_no_times_says_so():
    assert ticks(film("h264"), 12)[1] == ["no times of its own: taken as 25 frames a second"]


def test_clocks_that_start_again_go_on():
    once = film("mpegts", "mpeg2video", num_frames=40, rate=25)
    numbers, notes = ticks(once + once, 25)
    assert numbers == list(range(80))
    assert notes == ["clocks that start again go on where they were"]


def test_a_clock_that_slips_is_no_other_clock(monkeypatch):
    with VideoReader(film("matroska", num_frames=24)) as opened:
        frames = list(opened.frames())
        slipped = [*frames[:9], frames[8], *frames[10:]]  # two have the time of one
        monkeypatch.setattr(opened, "frames", lambda: iter(slipped))
        shown = [frame.time for _, frame in opened.resample(6)]
        assert opened.notes == []
    assert np.abs(np.array(shown) - np.arange(len(shown)) / 6).max() <= 1 / 12 + 1e-3


def test_a_gap_of_hours_is_damage():
    times = [*range(12), 12 * 7200]
    with pytest.raises(ClipError, match="no frame from 1 to 7200 s"):
        ticks(film("matroska", num_frames=13, times=times), 12)


@pytest.mark.parametrize(
    ("start", "seconds", "first", "length"),
    [(0.0, 2.0, 20, 24), (1.0, 3.0, 20 + 3 * 12, 36), (0.3, 3.7, 20 + 3 * 4, 44)],
)
def test_an_edit_list_says_what_is_shown(start, seconds, first, length):
    whole = films.written(films.greys(48), options={"x264-params": "keyint=10:log-level=none"})
    data = films.trimmed(whole, seconds, start)
    frames, _ = decode_mp4(data)
    assert len(frames) == pytest.approx(length, abs=1)
    assert frames[0].mean() == pytest.approx(first, abs=3)
    with VideoReader(data) as opened:
        assert opened.length == len(frames)
    with pytest.raises(ClipError, match="truncated|unreadable"):
        decode_mp4(data[: data.index(b"mdat") + 400] + data[data.index(b"moov") - 4 :])


@pytest.mark.parametrize("container", ["mp4", "matroska", "flv", "mpegts"])
def test_sound_may_be_longer_than_the_film(container):
    data = films.with_sound(film(), container, seconds=4.0)
    assert len(decode_mp4(data)[0]) == 24
    if container in ("matroska", "flv"):
        data = data.replace(b"00:00:02.0", b"xx:00:02.0")  # a tag that says nothing
        assert len(decode_mp4(data)[0]) == 24


def test_the_index_of_a_first_part_is_no_length(tmp_path):
    data = films.copied(film(num_frames=60), tmp_path / "a.mp4", movflags="+dash+frag_keyframe")
    with VideoReader(data) as opened:
        assert opened.length in (None, 60)
        assert len(opened.read()) == 60


def test_of_several_films_that_is_taken_which_players_take(tmp_path):
    """Not a picture that is a stream of its own, and the one that is marked."""
    frames = films.greys(24)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        streams = [container.add_stream("libx264", rate=12) for _ in range(2)]
        for stream, size, marked in zip(streams, (32, 64), (False, True), strict=True):
            stream.width = stream.height = size
            stream.pix_fmt, stream.options = "yuv420p", films.QUIET
            stream.disposition = av.stream.Disposition.default if marked else 0
        for frame in frames:
            for stream in streams:
                picture = av.VideoFrame.from_ndarray(frame[: stream.height, : stream.width].copy())
                container.mux(stream.encode(picture))
        for stream in streams:
            container.mux(stream.encode())
    with VideoReader(buffer.getvalue()) as opened:
        assert opened.read().shape == (24, 64, 64, 3)
        assert opened.notes == ["one of its 2 video streams taken, as players do"]


def test_markers_of_dropped_frames_are_no_frames():
    data = film("avi", "mpeg4", num_frames=12, rate=24, times=range(0, 24, 2))
    numbers, _ = ticks(data, 12)
    assert numbers == list(range(12))
    assert len(decode_mp4(data)[0]) == 12


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "webm", "avi"])
def test_tags_need_not_be_utf8(container):
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(container, "libx264")
    data = film(container, codec, tags={"title": "Cafe de la Paix"})
    assert b"Cafe de" in data
    assert len(decode_mp4(data.replace(b"Cafe de", b"Caf\xe9 de"))[0]) == 24


@pytest.mark.parametrize(
    "tag", [b"2.0000000 seconds.", b"::::::::::::::::::", b"-9:-9:-9.000000000"]
)
def test_a_length_that_cannot_be_read_says_nothing(tag):
    data = film("matroska")
    usual = b"00:00:02.000000000"
    assert usual in data
    assert len(tag) == len(usual)
    assert len(decode_mp4(data.replace(usual, tag))[0]) == 24


@pytest.mark.parametrize(
    "name",
    [
        "2024-01-01T12:30:00.mp4",
        "http:a.mp4",
        "concat:a|b.mp4",
        "a%03d.mp4",
        " -i.mp4",
        os.fsdecode(b"caf\xe9.mp4"),
        "\u7403.mp4",
    ],
)
def test_any_name_of_a_file_is_read(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as stream:
        stream.write(film())
    assert len(decode_mp4(name)[0]) == 24


def test_a_file_cannot_make_others_be_opened(tmp_path):
    (tmp_path / "secret.mp4").write_bytes(film())
    list_of_others = "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"
    for name, text in (
        ("a.mp4", list_of_others),
        ("b.mp4", "ffconcat version 1.0\nfile secret.mp4\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ClipError, match="unreadable"):
            decode_mp4(tmp_path / name)


def test_what_does_not_fit_into_memory_is_said(monkeypatch):
    monkeypatch.setattr(reader, "MOST_BYTES", 32 * 48 * 3 * 10)
    with pytest.raises(ClipError, match="11 frames of 32x48 are more than"):
        decode_mp4(film())
    assert len(decode_mp4(film(), size=(16, 24))[0]) == 24
