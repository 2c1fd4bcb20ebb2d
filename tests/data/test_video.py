import io

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clips import moving_square

from seedance_jax.data import video
from seedance_jax.data.video import ClipError, decode_mp4, encode_mp4

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 30, 120)]


def written(container_format, codec="libx264", num_frames=24, rate=12):
    """A video written by hand, without what `encode_mp4` says about colour."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for frame in moving_square(0, num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def moov_first(data, path):
    """The same mp4 with its index at the front, so that a cut loses frames and not the index."""
    with (
        av.open(io.BytesIO(data)) as source,
        av.open(path, "w", options={"movflags": "+faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path.read_bytes()


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
    data = written("matroska")
    return data[: data.index(b"\x1f\x43\xb6\x75") + 16]  # into the first cluster of frames


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("colour", COLOURS)
def test_flat_colours_survive(pixel_format, colour):
    frames = np.full((3, 32, 48, 3), colour, np.uint8)
    decoded, _ = decode_mp4(encode_mp4(frames, 12, pixel_format=pixel_format))
    assert np.abs(decoded.astype(int) - frames).max() <= 3


def test_a_clip_survives():
    frames = moving_square(1, num_frames=17)
    decoded, fps = decode_mp4(encode_mp4(frames, 29.97, crf=10, pixel_format="yuv444p"))
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8
    assert fps == pytest.approx(29.97)
    error = np.mean((decoded.astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / error) >= 38


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_equal_frames_give_equal_bytes(pixel_format):
    frames = moving_square(2)
    options = {"pixel_format": pixel_format}
    first = encode_mp4(frames, 12, **options)
    for seed in range(40):  # what lay in the memory before must not matter
        encode_mp4(moving_square(seed, height=16 + 2 * seed), 12)
        assert encode_mp4(frames, 12, **options) == first


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
    data = written(container_format, codec)
    assert decode_mp4(data)[0].shape == (24, 32, 48, 3)
    with pytest.raises(ClipError, match=r"truncated|unreadable|zero frames"):
        decode_mp4(data[: int(len(data) * 0.6)])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"", "unreadable"),
        (lambda: b"this is a text, not a film\n" * 20, "unreadable"),
        (lambda: written("mp4")[:1000], "unreadable"),
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
    data = moov_first(encode_mp4(moving_square(4, num_frames=33), 12), tmp_path / "clip.mp4")
    assert decode_mp4(data)[0].shape[0] == 33
    cut = int(len(data) * share)
    with pytest.raises(ClipError, match="truncated"):
        decode_mp4(data[:cut])
    with pytest.raises(ClipError, match="truncated"):
        decode_mp4(data[:cut] + bytes(len(data) - cut))


def test_illegal_frames_are_named():
    frames = moving_square(0)
    with pytest.raises(ValueError, match="float32"):
        encode_mp4(frames.astype(np.float32), 12)
    with pytest.raises(ValueError, match="even"):
        encode_mp4(frames[:, :31], 12)
    with pytest.raises(ValueError, match="fps"):
        encode_mp4(frames, 0)
    with pytest.raises(ValueError, match="yuv444p"):
        encode_mp4(frames, 12, pixel_format="rgb24")


@pytest.mark.parametrize(("rate", "fps"), [(24, 12), (25, 12), (30, 24), (12, 12), (30, 29.97)])
def test_resampling_takes_the_nearest_frame_and_keeps_the_duration(rate, fps):
    times = np.arange(48) / rate
    with video.open_clip(written("mp4", num_frames=40, rate=rate)) as container:
        chosen = [frame.time for _, frame in video.resample(container, fps)]
    ticks = np.arange(len(chosen)) / fps
    nearest = times[:40][np.abs(ticks[:, None] - times[:40]).argmin(1)]
    assert np.abs(np.array(chosen) - ticks).max() <= 0.5 / rate + 1e-3
    assert np.abs(np.array(chosen) - nearest).max() <= 1 / rate + 1e-3
    assert len(chosen) == pytest.approx(40 / rate * fps, abs=1)


def test_frames_are_not_invented():
    with (
        video.open_clip(written("mp4")) as container,
        pytest.raises(ClipError, match="12 frames per second, fewer than 24"),
    ):
        list(video.resample(container, 24))


def test_a_video_filmed_upright_is_turned():
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[:, :8] = 255  # a bright top
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    data = encode_mp4(frames, 12)
    track = data.index(b"tkhd")  # the file's header has such a matrix too
    data = data[:track] + data[track:].replace(upright, turned, 1)
    with video.open_clip(data) as container:
        frame = next(video.read_frames(container))
        shown = video.upright(video.to_rgb(frame, VideoReformatter()), frame.rotation)
    assert shown.shape == (48, 32, 3)
    assert shown[:, -6:].mean() > 200  # a quarter turn clockwise: the top is on the right
    assert shown[:, :20].mean() < 50
