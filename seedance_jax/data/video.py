"""Video files to arrays and back; the only module that knows about codecs (PyAV)."""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

# The code points of H.273 that the scaler knows under another number.
COLORSPACES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
BT709 = 1
PIXEL_FORMATS = ("yuv420p", "yuv444p")


class ClipError(ValueError):
    """A video file that cannot be used; the message says why."""


def encode_mp4(
    frames: np.ndarray,
    fps: float,
    crf: int = 16,
    pixel_format: str = "yuv420p",
) -> bytes:
    """Encodes uint8 [T,H,W,3] as H.264 (BT.709, limited range).

    Every player shows yuv420p, but it keeps colour at half the resolution: small videos with
    saturated edges lose up to 6 dB that yuv444p preserves in as many bytes. Equal frames give equal
    bytes.
    """
    check_frames(frames)
    if pixel_format not in PIXEL_FORMATS:
        raise ValueError(f"pixel_format={pixel_format!r} is not one of {PIXEL_FORMATS}")
    if not fps > 0:
        raise ValueError(f"fps must be positive, got {fps}")
    _, height, width, _ = frames.shape
    buffer, reformatter = io.BytesIO(), VideoReformatter()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(10_000))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        # The AVX-512 code of libx264 gives other bytes now and then; its plain C code does not, and
        # takes three times as long.
        stream.options = {"crf": str(crf), "threads": "1", "x264-params": "no-asm=1"}
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        for frame in frames:
            image = reformatter.reformat(
                av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24"),
                format=pixel_format,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    return buffer.getvalue()


def check_frames(frames: np.ndarray) -> None:
    """Raises ValueError unless frames is uint8 [T,H,W,3] with T >= 1 and even H and W."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 [T,H,W,3], got {frames.dtype} {frames.shape}")
    if min(frames.shape) < 1 or frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"frames need T >= 1 and even height and width, got {frames.shape}")


def decode_mp4(
    data: bytes | str | Path,
    indices: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[np.ndarray, float]:
    """Decodes a clip into frames uint8 [T,H,W,3] and its frames per second.

    Args:
      data: the file's bytes, or its path (any container and codec that FFmpeg reads).
      indices: strictly increasing frame numbers to return; the rest is not converted, and what
        follows the last of them is not read. None: all frames.
      size: (height, width) to resize to while converting.

    Raises ClipError if the data cannot be read, holds no video or no frames, or is cut short.
    """
    wanted = None if indices is None else frozenset(indices)
    out, reformatter = [], VideoReformatter()
    with open_clip(data) as container:
        fps = float(frame_rate(container))
        for number, frame in enumerate(read_frames(container)):
            if wanted is None or number in wanted:
                out.append(to_rgb(frame, reformatter, size))
            if wanted is not None and len(out) == len(wanted):
                break
    if wanted is not None and len(out) < len(wanted):
        raise ClipError(f"frame {max(wanted)} wanted from a clip of {number + 1} frames")
    return np.stack(out), fps


def open_clip(data: bytes | str | Path) -> av.container.InputContainer:
    """Opens a file (path) or its bytes and checks that there is a video stream."""
    source = io.BytesIO(data) if isinstance(data, bytes) else str(data)
    try:
        container = av.open(source)
    except av.FFmpegError as error:
        raise ClipError(f"unreadable: {error.strerror}") from error
    if not container.streams.video:
        kinds = sorted({stream.type for stream in container.streams})
        container.close()
        raise ClipError(f"no video stream, only {', '.join(kinds) or 'nothing'}")
    return container


def frame_rate(container: av.container.InputContainer) -> Fraction:
    """Frames per second of the video stream."""
    stream = container.streams.video[0]
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise ClipError("no frame rate")
    return rate


def read_frames(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    """Yields the frames of the video stream in display order.

    Raises ClipError, at the end, where the stream is shorter than its container says or empty, and
    at once where a part of it does not decode.
    """
    stream = container.streams.video[0]
    # Clips are decoded side by side, so a decoder that starts threads of its own only gets in the
    # way; and a threaded decoder reports errors late.
    stream.thread_type = "NONE"
    packets = frames = 0
    end = 0.0
    try:
        for packet in container.demux(stream):
            packets += packet.dts is not None  # the last packet is empty: it flushes the decoder
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise ClipError(f"truncated: frame {frames} is damaged")
                frames += 1
                end = max(end, frame.time or 0.0)
                yield frame
    except av.FFmpegError as error:
        raise ClipError(f"truncated: {error.strerror} after {frames} frames") from error
    if packets < stream.frames:
        raise ClipError(f"truncated: {packets} frames of the {stream.frames} that it claims")
    if not frames:
        raise ClipError("zero frames")
    claimed = claimed_seconds(container)
    if claimed and end < 0.9 * claimed - 2 / frame_rate(container):
        raise ClipError(f"truncated: {end:.2f} s of the {claimed:.2f} s that it claims")


def claimed_seconds(container: av.container.InputContainer) -> float | None:
    """The length a Matroska or WebM file gives for its video, in place of a number of frames."""
    tag = container.streams.video[0].metadata.get("DURATION")
    if not tag:
        return None
    hours, minutes, seconds = tag.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def resample(
    container: av.container.InputContainer, fps: float
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yields (number, frame) for every 1/fps s from the first frame on: the nearest in time.

    Raises ClipError, beyond those of `read_frames`, if the video has fewer frames per second:
    repeated frames would teach a stutter. (2 % fewer pass, for 29.97 and the like.)
    """
    rate = frame_rate(container)
    if rate < 0.98 * fps:
        raise ClipError(f"{float(rate):.5g} frames per second, fewer than {fps:.5g}")
    tick, first, shown, shown_time = 0, None, None, 0.0  # shown: (number, frame)
    for number, frame in enumerate(read_frames(container)):
        time = float(number / rate) if frame.time is None else frame.time
        first = time if first is None else first
        while shown is not None and tick / fps < (shown_time + time) / 2 - first:
            yield shown
            tick += 1
        shown, shown_time = (number, frame), time
    if tick / fps < shown_time - first + 0.5 / rate:
        yield shown


def upright(frame: np.ndarray, rotation: int) -> np.ndarray:
    """Turns [H,W,3] by the angle a camera wrote into the file (degrees, counter-clockwise)."""
    return np.ascontiguousarray(np.rot90(frame, round(rotation / 90)))


def storage_size(
    container: av.container.InputContainer, frame: av.VideoFrame, short_side: int
) -> tuple[int, int]:
    """Even (height, width) to store a frame in: square pixels, its short side <= short_side."""
    aspect = container.streams.video[0].sample_aspect_ratio or 1
    height, width = frame.height, float(frame.width * aspect)
    scale = min(1.0, short_side / min(height, width))
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))


def to_rgb(
    frame: av.VideoFrame, reformatter: VideoReformatter, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Converts a decoded frame to uint8 [H,W,3], resized to size (height, width) if given.

    The reformatter keeps the scaler's tables: share one among the frames of a clip.
    """
    height, width = size or (frame.height, frame.width)
    # Files that do not name their matrix follow the custom: BT.601 below high definition.
    custom = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    image = reformatter.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=COLORSPACES.get(frame.colorspace, custom),
        src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation="BICUBIC",
        threads=1,
    )
    return image.to_ndarray()
