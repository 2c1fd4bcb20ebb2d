"""Prompt files: one prompt a line (.txt), or a row of settings each (.csv, .jsonl).

Paths in a file are relative to its folder. Rows of .jsonl may have a prompt of shots,
frames and an interval as JSON itself, in the place of text.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seedance_jax.data import rows
from seedance_jax.data.file_names import at_home, find
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
    "fps": float,
    "gravity": float,
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
      ValueError: another suffix, not UTF-8, no rows, or broken rows, which the message names.
    """
    path = Path(path)
    check_file("prompts file", path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"prompts file {path.name!r}: the suffix must be one of {list(FORMATS)}")
    read, convert = FORMATS[path.suffix.lower()]
    found, broken = [], []
    for line, row in read(rows.read_text(path, f"prompts file {str(path)!r}")):
        try:
            found.append((line, anchor(parse_row(row, convert), path.parent)))
        except ValueError as error:
            broken.append((line, error))
    rows.refuse(path, broken)
    if not found:
        raise ValueError(f"{path.name} has no prompts")
    return found


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
    found = [(None, {"prompt": prompt})] if path is None else read_prompts(path)
    requests, seed = [], shared.get("seed", 0)
    for line, row in found:
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
        near = rows.did_you_mean(unknown[0], COLUMNS)
        raise ValueError(f"unknown columns {unknown}; {near}legal columns: {', '.join(COLUMNS)}")
    settings = {}
    for name, value in row.items():
        try:
            settings[name] = convert(COLUMNS[name], value)
        except ValueError:
            kind = COLUMNS[name].__name__
            raise ValueError(f"{name}={value!r} is not of type {kind}") from None
        if COLUMNS[name] is str and name not in PATHS:
            rows.check_text(name, settings[name])
    if not settings.get("prompt", "").strip():
        raise ValueError("no prompt")
    return settings


def anchor(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with paths relative to where the program runs."""
    placed = {name: str(find(folder, settings[name])) for name in PATHS if name in settings}
    if "frames" in settings:
        frames = parse_frames(settings["frames"])
        placed["frames"] = json.dumps({index: str(find(folder, p)) for index, p in frames.items()})
    return {**settings, **placed}


def parse_frames(text: str) -> dict[int, str]:
    """{pixel frame: path} of JSON such as {"0": "a.png", "8": "b.png"}; ~ is the home directory."""
    try:
        found = rows.parse_json(text)
        frames = {int(index): path for index, path in found.items()}
        if len(frames) < len(found) or not all(isinstance(path, str) for path in frames.values()):
            raise ValueError
    except (ValueError, AttributeError):
        legal = '{"0": "a.png", "8": "b.png"}'
        raise ValueError(
            f"frames={text!r} must be JSON, frame number: path, each number once, as {legal}"
        ) from None
    return {index: at_home(path) for index, path in frames.items()}


def exact(kind: type, value: Any) -> Any:
    """The value of a JSON row; only an integer may stand for another type, a float."""
    if type(value) is not kind and (kind, type(value)) != (float, int):
        raise ValueError(f"{value!r} is not of type {kind.__name__}")
    return value


def from_cell(kind: type, cell: str) -> Any:
    """The value of a CSV cell, which is text; an empty one is left out before."""
    return kind(cell)


def _lines(text: str) -> Iterator[rows.Row]:
    return ((line, {"prompt": prompt}) for line, prompt in rows.of_lines(text))


def _csv(text: str) -> Iterator[rows.Row]:
    """Rows of text; a setting whose cell is empty is not given."""
    for line, row in rows.of_csv(text):
        given = isinstance(row, dict)
        yield line, {name: cell for name, cell in row.items() if cell} if given else row


def _jsonl(text: str) -> Iterator[rows.Row]:
    return ((line, as_text(row)) for line, row in rows.of_json_lines(text))


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
