"""Prompt files: one prompt a line (.txt), or a row of settings each (.csv, .jsonl)."""

import csv
import json
from pathlib import Path

# What a row may set, and how its text is read. Names are those of the command line.
COLUMNS = {
    "prompt": str,
    "negative_prompt": str,
    "image": str,
    "height": int,
    "width": int,
    "num_frames": int,
    "num_inference_steps": int,
    "guidance_scale": float,
    "seed": int,
    "solver": str,
}


def read_prompts(path):
    """Reads a prompts file: a list of settings, every one with at least "prompt".

    Raises:
      FileNotFoundError: no such file.
      ValueError: another suffix, no rows, or broken rows; the message names all of them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"prompts file {str(path)!r} does not exist")
    if path.suffix not in READERS:
        raise ValueError(f"prompts file {path.name!r}: the suffix must be one of {list(READERS)}")
    rows, broken = [], []
    for line, row in READERS[path.suffix](path.read_text(encoding="utf-8-sig")):
        try:
            rows.append(parse_row(row))
        except ValueError as error:
            broken.append(f"\n  line {line}: {error}")
    if broken:
        raise ValueError(f"{path.name} has {len(broken)} broken rows:{''.join(broken)}")
    if not rows:
        raise ValueError(f"{path.name} has no prompts")
    return rows


def parse_row(row):
    """Checks the names of a row and converts its values; empty cells are left out."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with a prompt, got {row!r}")
    unknown = [name for name in row if name not in COLUMNS]
    if unknown:
        raise ValueError(f"unknown columns {unknown}; legal columns: {list(COLUMNS)}")
    settings = {}
    for name, value in row.items():
        if value in (None, ""):
            continue
        try:
            settings[name] = COLUMNS[name](value)
        except (TypeError, ValueError):
            kind = COLUMNS[name].__name__
            raise ValueError(f"{name}={value!r} is not of type {kind}") from None
    if not settings.get("prompt", "").strip():
        raise ValueError("no prompt")
    return settings


def _lines(text):
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, {"prompt": line.strip()}


def _csv(text):
    reader = csv.DictReader(text.splitlines(), restkey="more cells than columns")
    for row in reader:
        yield reader.line_num, row


def _jsonl(text):
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                yield number, ValueError(f"not JSON: {error}")


READERS = {".txt": _lines, ".csv": _csv, ".jsonl": _jsonl}
