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


def at_home(path: str) -> str:
    """The path with ~ at its start written out, the home directory of this or another user.

    Raises ValueError if there is no such user; the file ~a in a folder is ./~a.
    """
    written = os.path.expanduser(path)
    if written.startswith("~"):
        raise ValueError(f"{path}: no such home directory; a file of this name is ./{path}")
    return written


def plain(name: str) -> str:
    r"""The form in which names are compared: a/b.mp4 for ./a\b.mp4, and composed characters.

    macOS writes letters and their accents as two characters, others as one.
    """
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")))


def find(folder: str | Path, name: str) -> Path:
    """The file that is meant by a name in a folder: this very one or, else, one of its plain form.

    ~ is the home directory. Without such a file it is where one of this name would be.

    Raises ValueError if there are several of its plain form, or as `at_home`.
    """
    exact = Path(folder, at_home(name))
    if exact.exists():
        return exact
    path = Path(folder, plain(at_home(name)))
    start = next(place for place in path.parents if os.path.isdir(place))
    places = [start]
    for part in path.relative_to(start).parts:
        places = [child for place in places for child in _children(place, part)]
    if len(places) > 1:
        raise ValueError(f"{name!r} may be any of {sorted(map(str, places))}")
    return places[0] if places else exact


def _children(place: Path, part: str) -> list[Path]:
    try:
        return [child for child in place.iterdir() if plain(child.name) == part]
    except OSError:  # no folder, or one that cannot be listed
        return []
