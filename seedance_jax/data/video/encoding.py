"""Frames to the one kind of video file that is written."""

import io
import itertools
import platform
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

BT709 = 1
PIXEL_FORMATS = ("yuv420p", "yuv444p")
# libx264's code for MMX has the bytes of its plain C, and takes half the time. That for later
# instructions is faster still, and has others: with SSE4 in most clips, with AVX-512 now and then.
INSTRUCTIONS = "asm=MMX2" if platform.machine() in ("x86_64", "AMD64") else "no-asm=1"


def encode_mp4(
    frames: np.ndarray, fps: float, crf: int = 16, pixel_format: str = "yuv420p"
) -> bytes:
    """Encodes uint8 [T,H,W,3] as `encode_parts` does."""
    return encode_parts([frames], fps, crf, pixel_format)


def encode_parts(
    parts: Iterable[np.ndarray],
    fps: float,
    crf: int = 16,
    pixel_format: str = "yuv420p",
) -> bytes:
    """Encodes parts, uint8 [T,H,W,3] of one size, one after the other as one H.264 file.

    BT.709, limited range. No more than a part is held at a time.

    Every player shows yuv420p, but it keeps colour at half the resolution: small videos with
    saturated edges lose up to 6 dB that yuv444p preserves in as many bytes. Equal frames give equal
    bytes.
    """
    parts = iter(parts)
    first = next(parts)
    check_frames(first)
    if pixel_format not in PIXEL_FORMATS:
        raise ValueError(f"pixel_format={pixel_format!r} is not one of {PIXEL_FORMATS}")
    if not fps > 0:
        raise ValueError(f"fps must be positive, got {fps}")
    _, height, width, _ = first.shape
    buffer, reformatter = io.BytesIO(), VideoReformatter()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(10_000))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.options = {"crf": str(crf), "threads": "1", "x264-params": INSTRUCTIONS}
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        for frame in itertools.chain.from_iterable(itertools.chain([first], parts)):
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
