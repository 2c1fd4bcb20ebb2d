"""Files of JSON lines: a value a line, appended whole; a line counts once its newline is there."""

import json
from collections.abc import Iterator
from typing import Any

from seedance_jax.data.remote import Place, place


def read(path: str | Place) -> Iterator[tuple[str, Any]]:
    """Yields (its path and line number in words, the value) of every line that ends.

    Raises ValueError, with that place, for a line that is not JSON.
    """
    for number, line in enumerate(place(path).read_bytes().split(b"\n")[:-1], 1):
        where = f"{path} line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where} is not JSON: {error}") from error
        yield where, value
