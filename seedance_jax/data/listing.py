"""What a folder holds: films, pictures, other files, and what cannot be read."""

import os
import posixpath
from pathlib import Path
from typing import NamedTuple

from seedance_jax.data import remote

# Of files that FFmpeg reads as films, the usual ones first, and Pillow as pictures.
VIDEO_SUFFIXES = tuple(
    (
        ".mp4 .mov .mkv .webm .avi .m4v .mpg .mpeg .ts .mts .m2ts .flv .wmv .3gp .ogv .gif .264 "
        ".265 .3g2 .3gpp .amv .apng .asf .divx .dv .f4v .h264 .h265 .hevc .insv .ivf .m1v .m2p "
        ".m2t .m2v .mj2 .mjpeg .mjpg .mpe .mpv .mxf .nut .ogm .qt .rm .rmvb .vob .wtv .y4m"
    ).split()
)
PICTURE_SUFFIXES = tuple(
    ".png .jpg .jpeg .webp .avif .bmp .jfif .jp2 .jpe .ppm .tga .tif .tiff".split()
)
# What films begin with, by its place: MPEG-4 and QuickTime, Matroska, RIFF, Flash, ASF, MPEG, Ogg.
STARTS = (
    *((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI "), (0, b"FLV\1")),
    *((0, b"0&\xb2u\x8ef\xcf\x11"), (0, b"\0\0\1\xba"), (0, b"\0\0\1\xb3"), (0, b"OggS")),
)
NO_FILMS = (".aac", ".heic", ".heif", ".m4a", ".m4b", ".mka", ".oga", ".ogg", ".opus", ".wma")


class Listing(NamedTuple):
    """Names below a folder, with slashes, sorted; left_out: {name: why it cannot be read}.

    hidden: how many files and folders are hidden; they are passed over.
    """

    videos: list[str]
    pictures: list[str]
    others: list[str]
    left_out: dict[str, str]
    hidden: int


def is_video(name: str | Path) -> bool:
    """Whether a file is a film, by its name."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def is_picture(name: str | Path) -> bool:
    """Whether a file is a picture, by its name."""
    return Path(name).suffix.lower() in PICTURE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, is hidden; ._a.mp4 is what macOS adds to a.mp4."""
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def looks_like_a_film(path: str | Path) -> bool:
    """Whether a file of another suffix begins as films do."""
    try:
        with remote.place(path).open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    known = any(head[place:].startswith(start) for place, start in STARTS)
    return known and Path(path).suffix.lower() not in NO_FILMS


def list_files(folder: str | Path) -> Listing:
    """The files in a folder and those below it, also behind links; every folder is listed once."""
    if remote.in_bucket(folder):
        return _list_bucket(folder)
    names, left_out, hidden, seen = [], {}, 0, set()
    real, linked = [""], []  # folders by their own name come before those behind links
    while real or linked:
        place = real.pop() if real else linked.pop(0)
        path = os.path.realpath(os.path.join(folder, place))
        if path in seen:
            left_out[place] = "a folder that is listed already, under another name"
            continue
        seen.add(path)
        try:
            entries = sorted(os.listdir(path))
        except OSError as error:
            left_out[place or "."] = f"a folder that cannot be read: {error.strerror}"
            continue
        for entry in entries:
            name, path = posixpath.join(place, entry), os.path.join(folder, place, entry)
            if is_hidden(entry):
                hidden += 1
            elif os.path.isdir(path):
                (linked if os.path.islink(path) else real).append(name)
            elif os.path.isfile(path):
                names.append(name)
            else:
                left_out[name] = "a broken link" if os.path.islink(path) else "no regular file"
    return _sort(names, left_out, hidden)


def _list_bucket(folder):
    names = remote.names(remote.place(folder))
    shown = [name for name in names if not is_hidden(name)]
    return _sort(shown, {}, len(names) - len(shown))


def _sort(names, left_out, hidden):
    videos, pictures = ([n for n in sorted(names) if is_(n)] for is_ in (is_video, is_picture))
    others = sorted({*names} - {*videos, *pictures})
    return Listing(videos, pictures, others, left_out, hidden)
