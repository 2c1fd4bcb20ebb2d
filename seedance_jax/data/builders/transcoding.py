"""Clip records of the films and pictures of a folder, one file at a time."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import remote, schema, video
from seedance_jax.data.builders import parts
from seedance_jax.data.builders.caption_files import CaptionedFile, Captions
from seedance_jax.data.builders.stills import read_picture
from seedance_jax.data.remote import Place, place

# Raise it when the same film would be stored in another form.
READER_VERSION = 2


@dataclasses.dataclass(frozen=True)
class FolderSpec:
    """What to make of a folder.

    num_frames and fps are those of a clip, storage_size limits the short side (pixels), a share of
    validation_fraction of the files is set apart, and more than max_lost of them may not be lost.
    """

    path: str
    num_frames: int
    fps: float
    storage_size: int
    validation_fraction: float = 0.05
    max_lost: float = 0.01

    def __post_init__(self):
        for name, legal, says in (
            ("num_frames", self.num_frames >= 1, "at least 1"),
            ("fps", 0 < self.fps < math.inf, "above 0"),
            ("storage_size", self.storage_size >= schema.PIXEL_STRIDE, "at least 16"),
            ("validation_fraction", 0 <= self.validation_fraction < 1, "at least 0 and below 1"),
            ("max_lost", 0 <= self.max_lost <= 1, "from 0 to 1"),
        ):
            if not legal:
                raise ValueError(f"data.folder.{name}={getattr(self, name)}: must be {says}")


class Transcoded(NamedTuple):
    """The clips of one file, or why there are none.

    frames_dropped are those at its end, repeating the clips that would show a frame twice, and
    changes what was done to show it as a player does.
    """

    name: str
    records: list[dict[str, Any]]
    frame_rate: float = 0.0
    frames_dropped: int = 0
    repeating: int = 0
    changes: Sequence[str] = ()
    lost: str = ""


def transcode_once(
    file: CaptionedFile, spec: FolderSpec, done: Place
) -> tuple[Transcoded, Place | None]:
    """(what came of a file, without records; the part that has them), done before or now.

    Raises OSError where a part cannot be written: that is no fault of the file.
    """
    made_by = (READER_VERSION, spec.num_frames, spec.fps, spec.storage_size, *file)
    try:
        part = parts.part_path(done, place(spec.path, file.name), made_by)
    except OSError as error:
        return Transcoded(file.label, [], lost=f"{type(error).__name__}: {error}"), None
    if summary := parts.read_summary(part):
        return Transcoded(**summary), part
    result = transcode(file, spec)
    summary = result._replace(records=[])
    if result.lost:
        return summary, None
    parts.write(part, summary._asdict(), result.records)
    return summary, part


def transcode(file: CaptionedFile, spec: FolderSpec) -> Transcoded:
    """Cuts one file into clip records; whatever it raises, it is this file that is lost."""
    try:
        with remote.local(place(spec.path, file.name)) as path:
            if file.is_picture:
                return _picture(file, spec, path)
            with video.VideoReader(path) as reader:
                return _film(file, spec, reader)
    except Exception as error:  # of a codec, of memory, of what nobody thought of
        known = type(error) in (video.ClipError, ValueError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        return Transcoded(file.label, [], lost=reason)


def _film(file: CaptionedFile, spec: FolderSpec, reader: video.VideoReader) -> Transcoded:
    records, frames, numbers, size, repeating = [], [], [], None, 0
    for number, frame in reader.resample(spec.fps):
        size = size or reader.storage_size(frame, spec.storage_size)
        # A frame that comes again makes a clip that is left out, and need not be converted.
        again = bool(frames) and numbers[-1] == number
        frames.append(None if again else reader.show(frame, size))
        numbers.append(number)
        if len(frames) == spec.num_frames:
            start = len(numbers) - spec.num_frames
            if any(frame is None for frame in frames):
                repeating += 1
            else:
                shown = tell(file.captions, numbers[start:])
                name = f"{file.label}#{start}"
                records.append(_clip_record(name, np.stack(frames), spec.fps, shown))
            frames = []
    if not records:
        raise video.ClipError(_no_clips(spec, len(frames), repeating, float(reader.rate)))
    rate = float(reader.rate)
    check_length(file.captions.shots, numbers[-1] + 1, rate / spec.fps)
    return Transcoded(file.label, records, rate, len(frames), repeating, reader.notes)


def _picture(file: CaptionedFile, spec: FolderSpec, path: Place) -> Transcoded:
    frames, notes = read_picture(path, spec.storage_size)
    shown = tell(file.captions, [0])
    check_length(file.captions.shots, 1, 0)
    record = _clip_record(f"{file.label}#0", frames, spec.fps, shown)
    return Transcoded(file.label, [record], changes=notes)


def _no_clips(spec: FolderSpec, left: int, repeating: int, rate: float) -> str:
    if repeating:
        return (
            f"in each of its {repeating} clips frames are missing for {spec.fps:.5g} per second "
            f"(its header says {rate:.5g})"
        )
    return (
        f"too short: {left} frames at {spec.fps:.5g} frames per second, a clip has "
        f"{spec.num_frames}"
    )


def check_length(shots: Sequence[schema.Shot], shown: int, step: float) -> None:
    """Raises ClipError if shots do not end where a file does.

    shown: up to which frame the file was sampled, `step` frames at a time.
    """
    told = sum(shot.num_frames for shot in shots)
    if shots and not shown <= told <= shown + step:
        raise video.ClipError(f"shots of {told} frames in all, the file has another number")


def tell(captions: Captions, numbers: Sequence[int]) -> dict[str, str]:
    """The caption fields of a clip that shows those frames of a file."""
    shots = captions.shots or (schema.Shot(numbers[-1] + 1, captions.caption),)
    ends = list(itertools.accumulate(shot.num_frames for shot in shots))
    if numbers[-1] >= ends[-1]:
        raise video.ClipError(f"shots of {ends[-1]} frames in all, the file has more")
    seen, counts = np.unique(np.searchsorted(ends, numbers, side="right"), return_counts=True)
    own = [
        schema.Shot(int(count), shots[number].caption)
        for number, count in zip(seen, counts, strict=True)
    ]
    return {
        "caption": own[0].caption if len(own) == 1 else captions.caption,
        "caption_motion": captions.motion,
        "shots": schema.write_shots(own),
    }


def _clip_record(
    name: str, frames: np.ndarray, fps: float, told: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "id": name,
        "video": video.encode_mp4(frames, fps),
        **told,
        "fps": fps,
        "num_frames": frames.shape[0],
        "height": frames.shape[1],
        "width": frames.shape[2],
    }
