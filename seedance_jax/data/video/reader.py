"""Reads video files of any container and codec that FFmpeg knows, as a player shows them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import av
import numpy as np

from seedance_jax.data.video.container import (
    check_whole,
    claimed_seconds,
    films_of,
    index_of,
    kinds_of,
    open_container,
    rate_of,
    reason_of,
)
from seedance_jax.data.video.display import ClipError, Converter, deinterlaced

# Kinds of containers, by FFmpeg's names, and of codecs.
BARE = {"h264", "hevc", "m4v", "mjpeg", "mpegvideo", "obu"}  # that know no times
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
SLOWER = 0.98  # of a rate: what has no less is taken frame by frame (29.97 for 30, 23.976 for 24)
RESTART = 1.0  # seconds that a clock goes back by; less is a slip of the program that wrote it
LONGEST_GAP = 3600.0  # seconds without a frame; more is damage
MOST_BYTES = 4 * 2**30  # of the frames of a clip that is decoded whole


class VideoReader:
    """An open film, whose frames are read once, in display order; a context manager.

    Attributes:
      rate: frames per second, on average, as the header has it.
      length: number of frames that are shown, where the header tells exactly; else None.
      notes: what is changed to show the frames as a player does, complete when all are read.
    """

    def __init__(self, data: bytes | str | Path):
        """Opens a file by its path, or its bytes; ClipError where there is no film in it."""
        self._converter: Converter | None = None
        self._notes: list[str] = []
        self._container = open_container(data)
        try:
            self._open(len(data) if isinstance(data, bytes) else os.path.getsize(data))
        except BaseException:
            self._container.close()
            raise

    def _open(self, size):
        """Reads the header of a file of so many bytes, and checks it."""
        self._stream, *others = films_of(self._container)
        self.rate = rate_of(self._stream)
        kinds, entries = set(kinds_of(self._container)), index_of(self._container, self._stream)
        # Samples outside an edit list are in `frames`, but neither in the index nor shown.
        self._packets = len(entries) or self._stream.frames
        shown = sum(not entry.is_discard for entry in entries)
        self.length = shown or None if self._stream.frames else None  # else of a first part
        if "mp4" in kinds:
            check_whole(entries, size)
        self._decoder = self._stream.codec_context
        if self._stream.metadata.get("alpha_mode") == "1":  # which FFmpeg's own decoders pass over
            name = WITH_ALPHA.get(self._decoder.name)
            self._decoder = av.CodecContext.create(name, "r") if name else self._decoder
        if others:
            self._note(f"one of its {1 + len(others)} video streams taken, as players do")
        if BARE & kinds:
            self._note(f"no times of its own: taken as {float(self.rate):.5g} frames a second")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()

    @property
    def notes(self) -> list[str]:
        converted = self._converter.notes if self._converter else []
        return [*self._notes, *converted]

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yields the frames, those of two fields deinterlaced.

        Raises ClipError, at the end, where the film is shorter than its container says or empty,
        and at once where a part of it does not decode.
        """
        try:
            yield from deinterlaced(self._decoded(), self._stream, self._note)
        except (av.FFmpegError, OverflowError) as error:
            raise ClipError(f"unreadable: {reason_of(error)}") from error

    def resample(self, fps: float) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yields (number, frame) for every 1/fps s from the first frame on: the nearest in time.

        A number that comes again says that the film has no frame of its own there. Of a film of up
        to 2 % fewer frames per second every one is yielded once: it is shown that much faster.

        Raises ClipError, beyond those of `frames`, if the film has fewer frames per second
        everywhere, or a gap of more than an hour.
        """
        fastest = max(self.rate, self._stream.base_rate or 0)
        if fastest < SLOWER * fps:
            raise ClipError(f"{float(self.rate):.5g} frames per second, fewer than {fps:.5g}")
        interval = 1 / float(self.rate) if SLOWER * fps <= self.rate < fps else 1 / fps
        tick, shown, shown_time = 0, None, 0.0  # shown: (number, frame)
        for number, (time, frame) in enumerate(self._timed()):
            if time - shown_time > LONGEST_GAP:
                raise ClipError(f"no frame from {shown_time:.0f} to {time:.0f} s: damaged")
            while shown is not None and tick * interval < (shown_time + time) / 2:
                yield shown
                tick += 1
            shown, shown_time = (number, frame), time
        if shown is not None and tick * interval < shown_time + 0.5 / self.rate:
            yield shown

    def show(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
        """A frame as uint8 [H,W,3] of `size` (height, width), by default as it is shown."""
        try:
            return self._shown(frame)(frame, size)
        except av.FFmpegError as error:
            raise ClipError(f"a frame cannot be converted: {reason_of(error)}") from error

    def read(
        self, indices: Sequence[int] | None = None, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """The frames, or those of increasing numbers, as `show` makes them: uint8 [T,H,W,3].

        Raises ClipError, beyond those of `frames`, for a number that there is not, and for frames
        of more than 4 GiB.
        """
        wanted = None if indices is None else frozenset(indices)
        out, held, number = [], 0, -1
        for number, frame in enumerate(self.frames()):
            if wanted is None or number in wanted:
                out.append(self.show(frame, size))
                held += out[-1].nbytes
            if held > MOST_BYTES:
                height, width, _ = out[0].shape
                raise ClipError(f"{len(out)} frames of {height}x{width} are more than 4 GiB")
            if wanted is not None and len(out) == len(wanted):
                break
        if wanted is not None and len(out) < len(wanted):
            raise ClipError(f"frame {max(wanted)} wanted from a clip of {number + 1} frames")
        return np.stack(out)

    def storage_size(self, frame: av.VideoFrame, short_side: int) -> tuple[int, int]:
        """Even (height, width) to store the film of a frame in: its short side <= short_side."""
        return self._shown(frame).storage_size(short_side)

    def _shown(self, frame):
        if self._converter is None:
            self._converter = Converter(self._stream, frame)
        return self._converter

    def _note(self, note):
        if note not in self._notes:
            self._notes.append(note)

    def _timed(self):
        """Yields (seconds since the first frame, frame), never earlier than the one before.

        Where the clock starts again, as in films that were put one after another, a frame follows
        the one before at the rate of the film.
        """
        interval = 1 / float(self.rate)
        start, last = None, -interval
        for frame in self.frames():
            clock = frame.time
            if start is None:
                start = clock or 0.0
            time = last + interval if clock is None else clock - start
            if time < last - RESTART:
                self._note("clocks that start again go on where they were")
                time = last + interval
                start = clock - time
            last = max(time, last)
            yield last, frame

    def _decoded(self):
        stream = self._stream
        # Clips are decoded side by side, so a decoder that starts threads of its own only gets in
        # the way; and a threaded decoder reports errors late.
        self._decoder.thread_type = "NONE"
        packets = frames = 0
        end = 0.0
        try:
            for packet in self._container.demux(stream):
                ends = packet.dts is None and not packet.size  # it flushes the decoder
                packets += not ends
                if not packet.size and not ends:
                    continue  # a marker of AVI: no frame here
                for frame in self._decoder.decode(packet):
                    if frame.is_corrupt:
                        raise ClipError(f"truncated: frame {frames} is damaged")
                    frames += 1
                    end = max(end, frame.time or 0.0)
                    yield frame
        except av.FFmpegError as error:
            raise ClipError(f"truncated: {reason_of(error)} after {frames} frames") from error
        except IndexError as error:  # of PyAV, which does not know streams that begin later
            raise ClipError(f"a stream that its header lacks, after {frames} frames") from error
        if packets < self._packets:
            raise ClipError(f"truncated: {packets} frames of the {self._packets} that it claims")
        if not frames:
            raise ClipError("zero frames")
        claimed = claimed_seconds(self._container, stream)
        if claimed and end < 0.9 * claimed - 2 / self.rate:
            raise ClipError(f"truncated: {end:.2f} s of the {claimed:.2f} s that it claims")


def decode_mp4(
    data: bytes | str | Path,
    indices: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[np.ndarray, float]:
    """Decodes a film into frames uint8 [T,H,W,3] as they are shown, and its frames per second.

    Args:
      data: the file's bytes, or its path (any container and codec that FFmpeg reads).
      indices: strictly increasing frame numbers to return; the rest is not converted, and what
        follows the last of them is not read. None: all frames.
      size: (height, width) to resize to while converting.

    Raises ClipError if the data cannot be read, holds no video or no frames, is cut short, or has
    frames of more than 4 GiB.
    """
    with VideoReader(data) as reader:
        return reader.read(indices, size), float(reader.rate)
