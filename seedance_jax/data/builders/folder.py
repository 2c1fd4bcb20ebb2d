"""Makes a data set of a folder of captioned videos.

Every video is brought to one frame rate (for every tick the frame nearest in time), made no larger
than it has to be, and cut into consecutive clips of one length; what is left at its end is too
short for a clip and dropped. Clips for whose ticks the film has no frame of their own are left out.
Files that cannot be used are named in `report.json`, with the reason, and so is what was done to
show the others as a player does. Where a file has several shots, so have its clips that show a cut.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging
from tqdm import tqdm

from seedance_jax.data import remote, schema
from seedance_jax.data.builders import parts, storage
from seedance_jax.data.builders.caption_files import Captioned, CaptionedFile, list_captioned
from seedance_jax.data.builders.processes import ordered_map
from seedance_jax.data.builders.transcoding import (
    READER_VERSION,
    FolderSpec,
    Transcoded,
    transcode_once,
)
from seedance_jax.data.remote import Place, place

REPEATS = "for which the film has not enough frames"


def folder_directory(data_dir: str | Place, spec: FolderSpec) -> Place:
    """Where `build_folder` writes."""
    full_spec = dataclasses.asdict(spec) | {"reader": READER_VERSION}
    return storage.dataset_directory(data_dir, "folder", full_spec)


def build_folder(data_dir: str | Place, spec: FolderSpec, num_processes: int = 1) -> Place:
    """Writes the splits "train" and "validation" of a folder and returns their directory.

    A build that was killed or failed goes on with the films that it had not done.

    Raises ValueError if captions are missing, too many files are lost (as soon as they are), or a
    data set was built here before the folder changed.
    """
    captioned = list_captioned(place(spec.path))
    content = fingerprint(place(spec.path), captioned.files)
    full_spec = dataclasses.asdict(spec) | {"content": content}
    directory = folder_directory(data_dir, spec)
    with storage.writing(directory) as draft:
        if draft is not None:
            done = parts.directory_of(directory)
            done.mkdir(exist_ok=True)
            report = _write(draft, done, spec, captioned, num_processes)
            storage.write_json(draft / "report.json", report)
            storage.write_json(draft / "spec.json", full_spec)
    parts.remove(parts.directory_of(directory))
    if json.loads((directory / "spec.json").read_text()) != full_spec:
        raise ValueError(
            f"{spec.path} has changed since {directory} was built from it; "
            "remove that directory to build it again"
        )
    return directory


def fingerprint(folder: Place, files: Sequence[CaptionedFile]) -> str:
    """A hash of the names, captions and sizes of the files."""
    listing = [(*file, remote.version(folder / file.name)[0]) for file in files]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def split_of(name: str, validation_fraction: float) -> str:
    """The split of a file, by a hash of its name: other files do not change it."""
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "validation" if draw < validation_fraction else "train"


def _write(
    draft: Place, done: Place, spec: FolderSpec, captioned: Captioned, num_processes: int
) -> dict[str, Any]:
    files, splits = captioned.files, collections.defaultdict(list)
    for file in files:
        splits[split_of(file.label, spec.validation_fraction)].append(file)
    if "train" not in splits:
        raise ValueError(f"all {len(files)} files of {spec.path} fall to the validation split")
    results: list[Transcoded] = []
    with contextlib.ExitStack() as stack:

        def records(split: str) -> Iterator[dict[str, Any]]:
            work = functools.partial(transcode_once, spec=spec, done=done)
            made = ordered_map(work, splits[split], num_processes, _died)
            stack.enter_context(contextlib.closing(made))
            for result, part in tqdm(made, f"folder {split}", len(splits[split]), unit="file"):
                results.append(result)
                if result.lost:
                    _check_lost(results, spec, len(files))
                yield from parts.read(part) if part else ()
            if all(result.lost for result in results):
                raise ValueError(f"all files of {spec.path} are lost:{_listing(results)}")

        rows = storage.write_records(
            draft,
            "folder",
            schema.CLIP,
            {split: functools.partial(records, split) for split in splits},
        )
    if lost := [result for result in results if result.lost]:
        logging.warning("%d of %d files are lost:%s", len(lost), len(files), _listing(lost))
    listed = {"left_out": captioned.left_out, "notes": captioned.notes}
    pictures = sum(file.is_picture for file in files)
    counted = {"rows": rows, "files": len(files), "pictures": pictures}
    return counted | listed | summarize(results, spec.fps)


def summarize(results: Sequence[Transcoded], fps: float) -> dict[str, Any]:
    """What was done to the files of a folder, ready for JSON."""
    repeating = {done.name: done.repeating for done in results if done.repeating}
    rates = collections.Counter(f"{done.frame_rate:.5g}" for done in results if done.frame_rate)
    return {
        "lost": [{"file": result.name, "reason": result.lost} for result in results if result.lost],
        "changed": [
            {"file": result.name, "changes": list(result.changes)}
            for result in results
            if result.changes
        ],
        "resampling": f"to {fps:.5g} frames per second, by the frame nearest in time",
        "files_by_frame_rate": rates,
        "clips_left_out": {REPEATS: repeating} if repeating else {},
        "frames_dropped_at_ends": sum(result.frames_dropped for result in results),
    }


def _died(file: CaptionedFile) -> tuple[Transcoded, None]:
    return Transcoded(file.label, [], lost="its reader was killed: out of memory, or a fault"), None


def _listing(lost: Sequence[Transcoded]) -> str:
    return "".join(f"\n  {result.name}: {result.lost}" for result in lost)


def _check_lost(results: Sequence[Transcoded], spec: FolderSpec, num_files: int) -> None:
    lost = [result for result in results if result.lost]
    if len(lost) > spec.max_lost * num_files:
        raise ValueError(
            f"{len(lost)} of the {num_files} files of {spec.path} are lost after {len(results)}, "
            f"more than max_lost={spec.max_lost} (the others are kept, and not read "
            f"again):{_listing(lost)}"
        )
