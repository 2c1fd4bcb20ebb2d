r"""Names of files as systems and people write them: two forms of Unicode, ./ and \, odd bytes."""

import os
import posixpath
import unicodedata
from pathlib import Path


def printable(name: str) -> str:
    r"""The name as UTF-8 text: bytes that are none, as of old archives, become \xe9 and so on."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, as JSON can spell
        return name.encode("utf-8", "backslashreplace").decode()


def plain(name: str) -> str:
    r"""The form in which names are compared: a/b.mp4 for ./a\b.mp4, and composed characters.

    macOS writes letters and their accents as two characters, others as one.
    """
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")))


def find(folder: str | Path, name: str) -> Path:
    """The file that is meant by a name in a folder: this very one or, else, one of its plain form.

    ~ is the home directory. Without such a file it is where one of this name would be.

    Raises ValueError if there are several of its plain form.
    """
    exact = Path(folder, os.path.expanduser(name))
    if exact.exists():
        return exact
    places = [Path(folder)]
    path = Path(plain(os.path.expanduser(name)))
    if path.is_absolute():
        places, path = [Path(path.anchor)], path.relative_to(path.anchor)
    for part in path.parts:
        places = [child for place in places for child in _children(place, part)]
    if len(places) > 1:
        raise ValueError(f"{name!r} may be any of {sorted(map(str, places))}")
    return places[0] if places else exact


def _children(place: Path, part: str) -> list[Path]:
    if part == ".." or not place.is_dir():
        return [place / part] * (part == "..")
    return [child for child in place.iterdir() if plain(child.name) == part]
