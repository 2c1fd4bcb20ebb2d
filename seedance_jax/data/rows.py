"""Rows of files that people write: lines, CSV and JSON lines in UTF-8, and what is wrong with them.

Only line feeds end a line: a caption may hold any other character that Unicode ends lines with.
"""

import codecs
import csv
import difflib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from seedance_jax.data import remote
from seedance_jax.data.file_names import printable
from seedance_jax.data.remote import Place

NAMED = 20  # of many that are wrong, so many are named
# UTF-32 first: its mark begins with that of UTF-16.
ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
Row = tuple[int, Any]  # (number of its line, what stands there or a ValueError)


def read_text(path: str | Place, what: str = "") -> str:
    r"""The text of a UTF-8 file without byte order marks, every line of which ends in "\n".

    Raises ValueError, beginning with `what` (by default the path), for another encoding.
    """
    what, data = what or printable(str(path)), remote.place(path).read_bytes()
    for mark, encoding in ENCODINGS.items():
        if data.startswith(mark):
            raise ValueError(f"{what} is not UTF-8 text: it is {encoding}; save it as UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{what} is not UTF-8 text: {error.reason} 0x{data[error.start]:02x} in line {line}; "
            "save it as UTF-8"
        ) from error
    if "\0" in text:
        raise ValueError(f"{what} is not UTF-8 text: it holds zeros, as UTF-16 does")
    text = text.replace("\r\n", "\n")
    text = text if "\n" in text else text.replace("\r", "\n")  # as the first Macs ended lines
    # Files that were joined have marks at the start of each.
    return re.sub("^\ufeff+", "", text, flags=re.MULTILINE)


def read_json(path: str | Place) -> Any:
    """The value of a JSON file; ValueError, with its path, unless it is JSON in UTF-8."""
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{printable(str(path))} is {error}") from error


def parse_json(text: str) -> Any:
    """The value of JSON; ValueError if it is not, or if a name stands twice in an object."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not JSON: too many brackets within each other") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a name stands twice among {[name for name, _ in pairs]}")
    return dict(pairs)


def of_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that are not blank."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def of_json_lines(text: str) -> Iterator[Row]:
    """(number, value of the JSON, or ValueError) of the lines that are not blank."""
    for number, line in of_lines(text):
        try:
            yield number, parse_json(line)
        except ValueError as error:
            yield number, error


def of_csv(text: str) -> Iterator[Row]:
    """(number of its first line, {column: cell}, or ValueError) of the rows that are not blank.

    The first row names the columns, each once. Every other has as many cells; at its end there may
    be empty ones beyond. Spaces before a cell are none of it.
    """
    lines = io.StringIO(text, newline="\n")
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    columns, number = None, 1
    try:
        for cells in reader:
            if columns is None and _filled(cells):
                columns = [cell.strip() for cell in _filled(cells)]
                if wrong := _wrong(columns):
                    yield number, ValueError(wrong)
                    return
            elif _filled(cells):
                yield number, _row(columns, cells)
            number = reader.line_num + 1
    except csv.Error as error:
        yield number, ValueError(f"not CSV: {error}")


def _wrong(columns: Sequence[str]) -> str:
    """What is wrong with the names of columns, if anything."""
    if len(set(columns)) < len(columns):
        return f"a column stands twice among {columns}"
    if len(columns) == 1 and set(columns[0]) & set(";\t|"):
        return f"commas must stand between columns, got {columns[0]!r}"
    return ""


def _filled(cells: Sequence[str]) -> list[str]:
    """The cells up to the last that is not blank."""
    count = max((i for i, cell in enumerate(cells, 1) if cell.strip()), default=0)
    return list(cells[:count])


def _row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str] | ValueError:
    if len(_filled(cells)) > len(columns):
        return ValueError("more cells than columns; put text with commas in quotes")
    if len(cells) < len(columns):
        return ValueError(f"fewer cells than columns: no {columns[len(cells) :]}")
    return dict(zip(columns, cells, strict=False))


def check_text(name: str, value: Any) -> str:
    """`value`; ValueError unless it is text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a character, got {value!r}") from None
    return value


def refuse(path: str | Place, broken: Sequence[tuple[int, Any]]) -> None:
    """Raises ValueError if there are broken rows (line, what is wrong), naming them."""
    path = remote.place(path)
    said = [f"line {line}: {error}" for line, error in broken]
    if len(said) == 1:
        raise ValueError(f"{printable(str(path))}, {said[0]}")
    if said:
        rows = [f"{printable(path.name)}, {one}" for one in said]
        raise ValueError(f"{printable(str(path))} has {len(said)} broken rows:{listed(rows)}")


def did_you_mean(name: str, legal: Iterable[str]) -> str:
    """ "did you mean ...? " with the legal name that is nearest; "" if none is near."""
    near = difflib.get_close_matches(name, legal, n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def listed(entries: Sequence[str]) -> str:
    """A line for each of the first entries, and how many more there are."""
    more = [f"... and {len(entries) - NAMED} more"] if len(entries) > NAMED else []
    return "".join(f"\n  {entry}" for entry in [*entries[:NAMED], *more])


def some(names: Sequence[str]) -> str:
    """The first of some names in a line, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(printable, names[:NAMED])) + more
