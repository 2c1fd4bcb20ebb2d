"""Makes a data set of a folder of captioned videos.

Every video is brought to one frame rate (for every tick the frame nearest in time), made no larger
than it has to be, and cut into consecutive clips of one length; what is left at its end is too
short for a clip and dropped. Files that cannot be used are named in `report.json`, with the reason.
Where a file has several shots, so have its clips that show a cut.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from av.video.reformatter import VideoReformatter
from tqdm import tqdm

from seedance_jax.data import schema, video
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.caption_files import (
    Captioned,
    CaptionedFile,
    Captions,
    list_captioned,
)
from seedance_jax.data.builders.processes import mapper
from seedance_jax.data.builders.stills import read_picture


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
        if self.num_frames < 1 or not self.fps > 0 or self.storage_size < schema.PIXEL_STRIDE:
            raise ValueError(f"num_frames >= 1, fps > 0, storage_size >= 16 expected: {self}")
        if not (0 <= self.validation_fraction < 1 and 0 <= self.max_lost <= 1):
            raise ValueError(f"validation_fraction in [0, 1), max_lost in [0, 1] expected: {self}")


class Transcoded(NamedTuple):
    """The clips of one file, or why there are none."""

    name: str
    records: list[dict[str, Any]]
    frame_rate: float = 0.0
    frames_dropped: int = 0
    lost: str = ""


def folder_directory(data_dir: str | Path, spec: FolderSpec) -> Path:
    """Where `build_folder` writes."""
    return storage.dataset_directory(data_dir, "folder", dataclasses.asdict(spec))


def build_folder(data_dir: str | Path, spec: FolderSpec, num_processes: int = 1) -> Path:
    """Writes the splits "train" and "validation" of a folder and returns their directory.

    Raises ValueError, and leaves nothing behind, if captions are missing, too many files are lost,
    or a data set was built here before the folder changed.
    """
    captioned = list_captioned(Path(spec.path))
    content = fingerprint(Path(spec.path), captioned.files)
    full_spec = dataclasses.asdict(spec) | {"content": content}
    directory = folder_directory(data_dir, spec)
    with storage.writing(directory) as draft:
        if draft is not None:
            report = _write(draft, spec, captioned, num_processes)
            storage.write_json(draft / "report.json", report)
            storage.write_json(draft / "spec.json", full_spec)
    if json.loads((directory / "spec.json").read_text()) != full_spec:
        raise ValueError(
            f"{spec.path} has changed since {directory} was built from it; "
            "remove that directory to build it again"
        )
    return directory


def fingerprint(folder: Path, files: Sequence[CaptionedFile]) -> str:
    """A hash of the names, captions and sizes of the files."""
    listing = [(*file, (folder / file.name).stat().st_size) for file in files]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def split_of(name: str, validation_fraction: float) -> str:
    """The split of a file, by a hash of its name: other files do not change it."""
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "validation" if draw < validation_fraction else "train"


def _write(
    draft: Path, spec: FolderSpec, captioned: Captioned, num_processes: int
) -> dict[str, Any]:
    files, splits = captioned.files, collections.defaultdict(list)
    for file in files:
        splits[split_of(file.label, spec.validation_fraction)].append(file)
    if "train" not in splits:
        raise ValueError(f"all {len(files)} files of {spec.path} fall to the validation split")
    results: list[Transcoded] = []
    with mapper(num_processes) as ordered_map:

        def records(split: str) -> Iterator[dict[str, Any]]:
            work = ordered_map(functools.partial(transcode, spec=spec), splits[split])
            for result in tqdm(work, f"folder {split}", len(splits[split]), unit="file"):
                results.append(result._replace(records=[]))
                yield from result.records
            _check_lost(results, spec, len(files))

        rows = storage.write_records(
            draft,
            "folder",
            schema.CLIP,
            {split: functools.partial(records, split) for split in splits},
        )
    if lost := [result for result in results if result.lost]:
        logging.warning("%d of %d files are lost:%s", len(lost), len(files), _listing(lost))
    rates = collections.Counter(f"{done.frame_rate:.5g}" for done in results if done.frame_rate)
    return {
        "rows": rows,
        "files": len(files),
        "pictures": sum(file.is_picture for file in files),
        "lost": [{"file": result.name, "reason": result.lost} for result in lost],
        "left_out": captioned.left_out,
        "notes": captioned.notes,
        "resampling": f"to {spec.fps:.5g} frames per second, by the frame nearest in time",
        "files_by_frame_rate": rates,
        "frames_dropped_at_ends": sum(result.frames_dropped for result in results),
    }


def _listing(lost: Sequence[Transcoded]) -> str:
    return "".join(f"\n  {result.name}: {result.lost}" for result in lost)


def _check_lost(results: Sequence[Transcoded], spec: FolderSpec, num_files: int) -> None:
    lost = [result for result in results if result.lost]
    if len(lost) > spec.max_lost * num_files:
        raise ValueError(
            f"{len(lost)} of the {num_files} files of {spec.path} are lost, "
            f"more than max_lost={spec.max_lost}:{_listing(lost)}"
        )


def transcode(file: CaptionedFile, spec: FolderSpec) -> Transcoded:
    """Cuts one file into clip records."""
    if file.is_picture:
        return transcode_picture(file, spec)
    records, frames, numbers = [], [], []
    try:
        with video.open_clip(Path(spec.path) / file.name) as container:
            rate = float(video.frame_rate(container))
            for number, frame in _storage_frames(container, spec):
                frames.append(frame)
                numbers.append(number)
                if len(frames) == spec.num_frames:
                    start = len(records) * spec.num_frames
                    told = tell(file.captions, numbers[start:])
                    name = f"{file.label}#{start}"
                    records.append(_clip_record(name, np.stack(frames), spec.fps, told))
                    frames = []
            if not records:
                raise video.ClipError(
                    f"too short: {len(frames)} frames at {spec.fps:.5g} frames per second, "
                    f"a clip has {spec.num_frames}"
                )
            check_length(file.captions.shots, numbers[-1] + 1, rate / spec.fps)
    except video.ClipError as error:
        return Transcoded(file.label, [], lost=str(error))
    return Transcoded(file.label, records, rate, len(frames))


def transcode_picture(file: CaptionedFile, spec: FolderSpec) -> Transcoded:
    """Makes a clip record of one frame of a picture."""
    try:
        frames, _ = read_picture(Path(spec.path) / file.name, spec.storage_size)
        told = tell(file.captions, [0])
        check_length(file.captions.shots, 1, 0)
    except (ValueError, OSError) as error:
        return Transcoded(file.label, [], lost=str(error))
    return Transcoded(file.label, [_clip_record(f"{file.label}#0", frames, spec.fps, told)])


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


def _storage_frames(container: Any, spec: FolderSpec) -> Iterator[tuple[int, np.ndarray]]:
    reformatter, size = VideoReformatter(), None
    for number, frame in video.resample(container, spec.fps):
        # The size of the first frame holds for all: a stream may change its resolution.
        size = size or video.storage_size(container, frame, spec.storage_size)
        image = video.to_rgb(frame, reformatter, size)
        yield number, video.upright(image, frame.rotation)


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
