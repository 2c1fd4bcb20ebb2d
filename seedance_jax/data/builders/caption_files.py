"""Finds the films and pictures of a folder and the captions that belong to them."""

import collections
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seedance_jax.data import listing, remote, rows, schema
from seedance_jax.data.file_names import at_home, plain, printable
from seedance_jax.data.remote import Place

READERS = {"metadata.jsonl": rows.of_json_lines, "metadata.csv": rows.of_csv}
COLUMNS = ("file_name", "caption", "caption_motion", "shots")
SUFFIX = "no suffix of a video or picture that is read"


class Captions(NamedTuple):
    """What is told of a video. `shots` are of the file's own frames; none: a single shot."""

    caption: str
    motion: str = ""
    shots: tuple[schema.Shot, ...] = ()


class CaptionedFile(NamedTuple):
    """A video or picture, by its path relative to the folder."""

    name: str
    captions: Captions

    @property
    def label(self) -> str:
        """The name as text that can be stored and printed, whatever bytes it has."""
        return printable(self.name)

    @property
    def is_picture(self) -> bool:
        """Whether it is a clip of one frame."""
        return listing.is_picture(self.name)


class Captioned(NamedTuple):
    """What a folder holds.

    Attributes:
      files: what has a caption, in the order of the names.
      left_out: {label: why} of what is not among them though it has a caption, is a picture or
        looks like a film.
      notes: what else was passed over.
    """

    files: list[CaptionedFile]
    left_out: dict[str, str]
    notes: list[str]


def list_captioned(folder: Place) -> Captioned:
    """All videos and pictures below the folder with their captions.

    Captions stand in `metadata.jsonl` or `metadata.csv` (file_name, caption and, if known,
    caption_motion and shots) or, without either, in a text file beside each video. `shots` is a
    list (in CSV: JSON) of {"num_frames": frames of the file, "caption": "..."}.

    Raises:
      ValueError: naming the videos without a caption, the captions without a video, the lines that
        are wrong, or the captions that are not UTF-8.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}")
    found = listing.list_files(folder)
    captions, left_out, notes = (_read_metadata if _metadata_of(found) else _read_sidecars)(
        folder, found
    )
    if found.hidden:
        notes.append(f"{found.hidden} hidden files or folders are passed over")
    captions = {name: told for name, told in captions.items() if told.caption}
    if missing := [name for name in found.videos if name not in captions]:
        raise ValueError(f"{len(missing)} videos of {folder} have no caption: {rows.some(missing)}")
    pictures = {name: "a picture without a caption" for name in found.pictures}
    films = {
        name: f"looks like a film, and has {SUFFIX}"
        for name in found.others
        if listing.looks_like_a_film(folder / name)
    }
    left_out = {**pictures, **films, **found.left_out, **left_out}
    files = [CaptionedFile(name, captions[name]) for name in sorted(captions)]
    left_out = {printable(n): why for n, why in sorted(left_out.items()) if n not in captions}
    if not files:
        said = [f"{name}: {why}" for name, why in left_out.items()]
        raise ValueError(
            f"no videos ({' '.join(listing.VIDEO_SUFFIXES)}) with captions in {folder}"
            f"{'; left out:' if said else ''}{rows.listed(said)}"
        )
    return Captioned(files, left_out, notes)


Found = tuple[dict[str, Captions], dict[str, str], list[str]]  # captions, left out, notes


def _metadata_of(found: listing.Listing) -> list[str]:
    return [name for name in READERS if name in found.others]


def _read_metadata(folder: Place, found: listing.Listing) -> Found:
    present = _metadata_of(found)
    if len(present) > 1:
        raise ValueError(f"{folder} must have one of {present}, it has both")
    [name] = present
    path, names, taken = folder / name, _Names(folder, found), {*found.videos, *found.pictures}
    captions, left_out, missing, broken = {}, {}, [], []
    unused = collections.Counter()
    for line, row in READERS[name](rows.read_text(path)):
        try:
            given, told = _parse_row(row)
            unused.update(row.keys() - {*COLUMNS})
            file = names.find(given)
            if file in captions:
                raise ValueError(f"a second caption of {printable(file)}")
        except ValueError as error:
            broken.append((line, error))
            continue
        if file in taken:
            captions[file] = told
        elif file:
            left_out[file] = found.left_out.get(file, f"has a caption, and {SUFFIX}")
        elif names.hides(given):
            left_out[given] = "has a caption, and is hidden"
        else:
            missing.append(given)
    rows.refuse(path, broken)
    if missing:
        some = rows.some(sorted(missing))
        raise ValueError(f"{len(missing)} captions of {folder} have no video: {some}")
    notes = [f"{name}: {n} rows have {column!r}, which is not used" for column, n in unused.items()]
    texts = sum(Path(other).suffix.lower() == ".txt" for other in found.others)
    if texts:
        notes.append(f"{texts} files .txt are not read: captions stand in {name}")
    return captions, left_out, notes


def _parse_row(row: Any) -> tuple[str, Captions]:
    """(name of the file, its captions) of a row of metadata."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict) or not row.get("file_name") or row.get("caption") is None:
        raise ValueError(f"file_name and caption are needed: {row}")
    name = row["file_name"]
    if not isinstance(name, str):
        raise ValueError(f"file_name must be text, got {name!r}")
    try:
        return name, _captions(row)
    except ValueError as error:
        raise ValueError(f"{printable(name)}: {error}") from error


def _captions(row: Mapping[str, Any]) -> Captions:
    caption = rows.check_text("caption", row["caption"]).strip()
    motion, shots = row.get("caption_motion"), row.get("shots")
    motion = "" if motion is None else rows.check_text("caption_motion", motion).strip()
    if shots in (None, "", [], {}):
        return Captions(caption, motion)
    try:
        shots = rows.parse_json(shots) if isinstance(shots, str) else shots
    except ValueError as error:
        raise ValueError(f"shots: {error}") from error
    shots = schema.check_shots(shots, caption)
    for number, shot in enumerate(shots):
        rows.check_text(f"shot {number}: caption", shot.caption)
    return Captions(caption, motion, shots)


class _Names:
    """The files of a folder by the names that rows may have for them."""

    def __init__(self, folder: Place, found: listing.Listing):
        self._folder = str(folder) if remote.in_bucket(folder) else os.path.abspath(folder)
        everything = [*found.videos, *found.pictures, *found.others, *found.left_out]
        self._names, self._plain = {*everything}, _by(everything, plain)
        self._real = {}

    def find(self, given: str) -> str | None:
        """The file that a row means, None if there is none; ValueError if it may be several."""
        if given in self._names:
            return given
        path = self._place(given)
        names = self._plain.get(self._inside(path), [])
        if not names and os.path.exists(path):  # behind a link, under another name
            self._real = self._real or _by(self._names, self._path)
            names = self._real.get(os.path.realpath(path), [])
        if len(names) > 1:
            raise ValueError(f"{printable(given)} may be any of {rows.some(sorted(names))}")
        return names[0] if names else None

    def hides(self, given: str) -> bool:
        """Whether a row means a hidden file of the folder."""
        path = self._place(given)
        inside = self._inside(path)
        inner = not inside.startswith("../") and listing.is_hidden(inside)
        return inner and remote.place(path).exists()

    def _place(self, given: str) -> str:
        return os.path.join(self._folder, at_home(given.replace("\\", "/")))

    def _inside(self, path: str) -> str:
        return plain(os.path.relpath(path, self._folder))

    def _path(self, name: str) -> str:
        return os.path.realpath(os.path.join(self._folder, name))


def _by(names: Iterable[str], key: Any) -> dict[str, list[str]]:
    groups = collections.defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return dict(groups)


def _stem(name: str) -> str:
    return plain(os.path.splitext(name)[0])


def _read_sidecars(folder: Place, found: listing.Listing) -> Found:
    others = _by(found.others, lambda name: os.path.splitext(name)[1].lower() == ".txt")
    texts, unread = _by(others.get(True, []), _stem), _by(others.get(False, []), _stem)
    captions, left_out, wrong = {}, {}, []
    videos, pictures = _by(found.videos, _stem), _by(found.pictures, _stem)
    for stem, names in texts.items():
        files = videos.get(stem) or pictures.get(stem, [])
        if files and len(names) > 1:
            raise ValueError(f"{printable(files[0])} has {len(names)} captions: {rows.some(names)}")
        if files:
            told = _read_caption(folder / names[0], wrong)
            captions |= dict.fromkeys(files, told)
            reason = f"{printable(names[0])} is the caption of {printable(files[0])}"
            left_out |= dict.fromkeys(set(pictures.get(stem, [])) - {*files}, reason)
        elif stem in unread:
            left_out |= dict.fromkeys(
                unread[stem], f"has a caption, {rows.some(names)}, and {SUFFIX}"
            )
        else:
            left_out |= dict.fromkeys(names, "a text beside no video of its name")
    if len(wrong) > 1:
        raise ValueError(f"{len(wrong)} captions cannot be read:{rows.listed(wrong)}")
    if wrong:
        raise ValueError(wrong[0])
    return captions, left_out, []


def _read_caption(path: Place, wrong: list[str]) -> Captions:
    """The caption in a text file; what is wrong with it is added to a list."""
    try:
        return Captions(rows.read_text(path).strip())
    except (ValueError, OSError) as error:
        wrong.append(str(error))
        return Captions("")
