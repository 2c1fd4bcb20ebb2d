"""Films as other programs write them, unlike `encode_mp4`; small, and made in the test."""

import io
from fractions import Fraction

import av
import numpy as np

QUIET = {"x264-params": "log-level=none", "x265-params": "log-level=none"}


def written(
    frames, container="mp4", codec="libx264", rate=12, pixels="yuv420p", times=None, **settings
):
    """Bytes of a film of frames [T,H,W,C].

    Args:
      times: of the frames, in 1/rate s; by default 0, 1, 2, ...
      **settings: of the codec's context, as color_trc=16; `options` are those of the encoder, tags
        the container's, and source the format of the frames where it is not RGB.
    """
    options, tags = settings.pop("options", {}), settings.pop("tags", {})
    source = settings.pop("source", "rgb24")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        output.metadata.update(tags)
        stream = output.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixels
        stream.options = QUIET | options
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), source)
            picture.pts = number if times is None else times[number]
            picture.time_base = Fraction(1, rate)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    return buffer.getvalue()


def with_sound(data, container, seconds, codec="aac"):
    """The film beside silence of so many seconds."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format=container) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream(codec, rate=44100)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
        for start in range(0, round(44100 * seconds), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate, frame.pts = 44100, start
            target.mux(sound.encode(frame))
        target.mux(sound.encode())
    return buffer.getvalue()


def copied(data, path, keep=lambda packet: True, **options):
    """The film written again to `path` packet by packet, as cutters do, with options of a muxer."""
    with av.open(io.BytesIO(data)) as source, av.open(path, "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None and keep(packet):
                packet.stream = stream
                target.mux(packet)
    return path.read_bytes()


def with_matrix(data, a, b, c, d):
    """An mp4 whose display matrix is that: (x, y) is shown at (a x + c y, b x + d y)."""

    def matrix(*values):
        return np.array([round(value * 65536) for value in values] + [1 << 30], ">i4").tobytes()

    track = data.index(b"tkhd")  # the header of the file has such a matrix, too
    usual, wanted = matrix(1, 0, 0, 0, 1, 0, 0, 0), matrix(a, b, 0, c, d, 0, 0, 0)
    assert usual in data[track:]
    return data[:track] + data[track:].replace(usual, wanted, 1)


def trimmed(data, seconds, start=0.0):
    """An mp4 whose edit list shows `seconds` of it from `start` on; all samples stay."""
    edits = data.index(b"elst") + 12
    scale = int.from_bytes(data[data.index(b"mdhd") + 16 :][:4], "big")
    first = int.from_bytes(data[edits + 4 : edits + 8], "big") + round(start * scale)
    film = round(seconds * 1000).to_bytes(4, "big") + first.to_bytes(4, "big")
    return data[:edits] + film + data[edits + 8 :]


def quarters(height=64, width=96, num_frames=5):
    """Frames [T,H,W,3] whose corners are red, green, blue and white."""
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    frames[:, : height // 2, : width // 2] = (255, 0, 0)
    frames[:, : height // 2, width // 2 :] = (0, 255, 0)
    frames[:, height // 2 :, : width // 2] = (0, 0, 255)
    frames[:, height // 2 :, width // 2 :] = (255, 255, 255)
    return frames


def corners(image):
    """The colours of the corners of [H,W,3] by their letters: top left and right, then bottom."""
    names = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
    places = [image[4, 4], image[4, -5], image[-5, 4], image[-5, -5]]
    return "".join(
        min(names, key=lambda name: np.abs(pixel - np.int32(names[name])).sum()) for pixel in places
    )


def greys(num_frames, height=64, width=96, step=3):
    """Frames [T,H,W,3] that are grey and brighter each, from 20 on."""
    levels = (20 + step * np.arange(num_frames)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, height, width, 3))
