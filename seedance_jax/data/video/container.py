"""Containers of films: opened safely, and what their headers say, which need not be true."""

import io
import math
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from seedance_jax.data.video.display import ClipError

# Kinds of containers, by FFmpeg's names.
TIMED = {"matroska", "webm", "flv", "asf", "mxf"}  # whose length in seconds can be believed
INDEXED = {"mp4", "avi"}  # that begin or end with an index of all frames
LISTS = {"concat", "dash", "hls", "imf"}  # of other files
# Tags need not be UTF-8; PyAV 19 knows, and 18 has to be told.
LENIENT = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


def open_container(data: bytes | str | Path) -> av.container.InputContainer:
    """A container; ClipError where FFmpeg finds none."""
    # A path that FFmpeg cannot take for a protocol, and a file that cannot make it open others.
    source = io.BytesIO(data) if isinstance(data, bytes) else os.path.abspath(data)
    options = {} if isinstance(data, bytes) else {"protocol_whitelist": "file"}
    try:
        container = av.open(source, options=options, **LENIENT)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ClipError(f"unreadable: {reason_of(error)}") from error
    if LISTS & set(kinds_of(container)):
        container.close()
        raise ClipError(f"unreadable: a list of other files ({container.format.name}), no film")
    return container


def index_of(container: av.container.InputContainer, stream: av.VideoStream) -> list:
    """The entries of an index of all frames, which these containers have in a whole file."""
    return list(stream.index_entries) if INDEXED & set(kinds_of(container)) else []


def check_whole(entries: Sequence, size: int) -> None:
    """ClipError where the frames of an index lie behind the end of a file of `size` bytes."""
    end = max((entry.pos + entry.size for entry in entries), default=0)
    if end > size:
        raise ClipError(f"truncated: {size} bytes of the {end} that its index names")


def kinds_of(container: av.container.InputContainer) -> list[str]:
    """The names of the format, as ["mov", "mp4", ...]."""
    return container.format.name.split(",")


def films_of(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The films of a container, that which players take first; covers of music are none.

    Raises ClipError where there is none, or its codec is not known.
    """
    cover = av.stream.Disposition.attached_pic
    films = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not films:
        kinds = sorted({stream.type for stream in container.streams})
        only = "only a cover" if container.streams.video else f"only {', '.join(kinds)}"
        raise ClipError(f"no video stream, {only if kinds else 'nothing at all'}")
    best = container.streams.best("video")
    films.sort(key=lambda film: film is not best)
    if films[0].codec_context is None:
        raise ClipError("its codec is not known")
    return films


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames per second, on average, as the header has it; ClipError where it has none."""
    rate = stream.average_rate or stream.guessed_rate
    if not rate or rate < 0:
        raise ClipError("no frame rate")
    return rate


def claimed_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """The length that a header gives of a film, in place of a number of frames; None if it does
    not, or not in a way that can be read."""
    if not TIMED & set(kinds_of(container)):
        return None
    whole = container.duration / av.time_base if container.duration else math.inf
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        claimed = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:  # tags are free text
        claimed = math.inf
        if len(container.streams) > 1:  # the whole may be the length of the sound
            return None
    claimed = min(claimed, whole)
    return claimed if math.isfinite(claimed) else None


def reason_of(error: Exception) -> str:
    """What FFmpeg says of an error, without the name of the file."""
    return getattr(error, "strerror", None) or str(error)
