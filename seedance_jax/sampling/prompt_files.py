"""Prompt files: one prompt a line (.txt), or a row of settings each (.csv, .jsonl).

Paths in a file are relative to its folder. Rows of .jsonl may have a prompt of shots,
frames and an interval as JSON itself, in the place of text.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seedance_jax.data.images import check_file

# What a row may set, and of which type. Names are those of the command line.
COLUMNS = {
    "prompt": str,
    "negative_prompt": str,
    "image": str,
    "last_image": str,
    "video": str,
    "extend": str,
    "frames": str,
    "size": str,
    "ratio": str,
    "height": int,
    "width": int,
    "num_frames": int,
    "num_inference_steps": int,
    "guidance_scale": float,
    "image_guidance_scale": float,
    "guidance_rescale": float,
    "guidance_interval": str,
    "seed": int,
    "solver": str,
    "num_videos_per_prompt": int,
}
PATHS = ("image", "last_image", "video")


def read_prompts(path: str | Path) -> list[tuple[int, dict]]:
    """Reads a prompts file: [(line, settings)], the settings having at least "prompt".

    Raises:
      FileNotFoundError: no such file.
      ValueError: another suffix, not UTF-8, no rows, or broken rows; the message names all of them.
    """
    path = Path(path)
    check_file("prompts file", path)
    if path.suffix not in FORMATS:
        raise ValueError(f"prompts file {path.name!r}: the suffix must be one of {list(FORMATS)}")
    read, convert = FORMATS[path.suffix]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"prompts file {str(path)!r} is not UTF-8 text: {error}") from error
    rows, broken = [], []
    for line, row in read(text):
        try:
            rows.append((line, anchor(parse_row(row, convert), path.parent)))
        except ValueError as error:
            broken.append(f"\n  line {line}: {error}")
    if broken:
        raise ValueError(f"{path.name} has {len(broken)} broken rows:{''.join(broken)}")
    if not rows:
        raise ValueError(f"{path.name} has no prompts")
    return rows


def read_requests(
    prompt: str | None, path: str | None, shared: Mapping[str, Any]
) -> list[tuple[str, dict]]:
    """(where it stands, arguments of the pipeline) of a prompt, or of every row of a prompts file.

    Args:
      shared: settings of all rows that have none of their own. Seeds count up from that of them.

    Raises:
      ValueError: both or neither of prompt and path, or as `read_prompts`.
    """
    if (prompt is None) == (path is None):
        raise ValueError("give either --prompt or --prompts_file")
    rows = [(None, {"prompt": prompt})] if path is None else read_prompts(path)
    requests, seed = [], shared.get("seed", 0)
    for line, row in rows:
        where = "" if line is None else f"{Path(path).name} line {line}: "
        request = {**shared, "seed": seed, **row}
        seed += max(request.get("num_videos_per_prompt", 1), 1)
        requests.append((where, request))
    return requests


def parse_row(row: Any, convert: Callable[[type, Any], Any]) -> dict[str, Any]:
    """Checks the names of a row and the types of its values, by convert(type, value)."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with a prompt, got {row!r}")
    unknown = [name for name in row if name not in COLUMNS]
    if unknown:
        raise ValueError(f"unknown columns {unknown}; legal columns: {list(COLUMNS)}")
    settings = {}
    for name, value in row.items():
        try:
            settings[name] = convert(COLUMNS[name], value)
        except ValueError:
            kind = COLUMNS[name].__name__
            raise ValueError(f"{name}={value!r} is not of type {kind}") from None
    if not settings.get("prompt", "").strip():
        raise ValueError("no prompt")
    return settings


def anchor(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with paths relative to where the program runs."""
    placed = {name: str(folder / settings[name]) for name in PATHS if name in settings}
    if "frames" in settings:
        frames = parse_frames(settings["frames"])
        placed["frames"] = json.dumps({index: str(folder / p) for index, p in frames.items()})
    return {**settings, **placed}


def parse_frames(text: str) -> dict[int, str]:
    """{pixel frame: path} of JSON such as {"0": "a.png", "8": "b.png"}."""
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)
        frames = {int(index): path for index, path in pairs}
        whole = isinstance(pairs, tuple) and len(frames) == len(pairs)
        if not whole or not all(isinstance(path, str) for path in frames.values()):
            raise TypeError
        return frames
    except (ValueError, TypeError):
        legal = '{"0": "a.png", "8": "b.png"}'
        raise ValueError(
            f"frames={text!r} must be JSON, frame number: path, each number once, as {legal}"
        ) from None


def exact(kind: type, value: Any) -> Any:
    """The value of a JSON row; only an integer may stand for another type, a float."""
    if type(value) is not kind and (kind, type(value)) != (float, int):
        raise ValueError(f"{value!r} is not of type {kind.__name__}")
    return value


def from_cell(kind: type, cell: str) -> Any:
    """The value of a CSV cell, which is text; an empty one is left out before."""
    return kind(cell)


def _lines(text: str) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, {"prompt": line.strip()}


def _csv(text: str) -> Iterator[tuple[int, dict | ValueError]]:
    reader = csv.DictReader(
        io.StringIO(text, newline=""), restkey="more cells than columns", strict=True
    )
    try:
        for row in reader:
            missing = [name for name, cell in row.items() if cell is None]
            filled = {name: cell for name, cell in row.items() if cell != ""}
            error = ValueError(f"fewer cells than columns: no {missing}")
            yield reader.line_num, error if missing else filled
    except csv.Error as error:
        yield reader.reader.line_num, ValueError(f"not CSV: {error}")


def _jsonl(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, as_text(json.loads(line, object_pairs_hook=once))
            except ValueError as error:
                yield number, ValueError(f"not JSON: {error}")


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The dict of a JSON object; ValueError if a name stands in it twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a name stands twice among {[name for name, _ in pairs]}")
    return dict(pairs)


def as_text(row: Any) -> Any:
    """A row of JSON, with the shots, frames and interval in it as the text that flags have."""
    if not isinstance(row, dict):
        return row
    return {name: TEXTS.get((name, type(value)), _keep)(value) for name, value in row.items()}


def _keep(value):
    return value


def _shots(value):
    return json.dumps(value) if all(isinstance(shot, dict) for shot in value) else value


# By the name of a column and the type of what a row of JSON has there.
TEXTS = {
    ("prompt", dict): json.dumps,
    ("prompt", list): _shots,
    ("frames", dict): json.dumps,
    ("guidance_interval", list): lambda pair: json.dumps(pair)[1:-1],
}
FORMATS = {".txt": (_lines, exact), ".csv": (_csv, from_cell), ".jsonl": (_jsonl, exact)}
