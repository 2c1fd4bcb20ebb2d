"""Prompts of several shots: what each shot shows and how many frames it lasts.

    The scene, once for all shots. Shot 1 (2s): ... Shot 2 (1s): ...
    {"global": "The scene.", "shots": [{"prompt": "...", "duration": 2}, {"prompt": "..."}]}
    [{"prompt": "..."}, {"prompt": "..."}]

The text before the first shot, and all durations, may be left out. Shots meet at the borders of
latent frames: the first has 4a+1 pixel frames, every other 4b. So a duration times the frames per
second is a multiple of four, and all durations add up to num_frames - 1.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import rows
from seedance_jax.data.schema import FRAME_STRIDE, GLOBAL

SHOT = re.compile(r"\bshot\s+(\d+)\s*(?:\(([^()]*)\))?\s*:", re.I)
UNMARKED = re.compile(r"\bshot\s+(\d+)\b", re.I)
SECONDS = re.compile(r"\s*([\d.]+)\s*(?:s|secs?\.?|seconds?)?\s*", re.I)


def quote(value: Any, most: int = 80) -> str:
    """The repr of a value for a message, cut to `most` characters."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


class Script(NamedTuple):
    """A prompt taken apart: {shot: caption}, GLOBAL among them, and seconds per shot or None."""

    captions: dict[int, str]
    durations: tuple[float, ...] | None

    @property
    def num_shots(self) -> int:
        """Shots, without the global caption."""
        return len(self.captions) - (GLOBAL in self.captions)


def parse_prompt(prompt: str | list | dict) -> Script:
    """A prompt (text, JSON text, or what the JSON means) -> Script; ValueError if it is broken."""
    if isinstance(prompt, str):
        text = prompt.strip()
        if not text:
            raise ValueError("prompt is empty; write what the clip shows")
        if not looks_like_json(text):
            return make_script(*split_shots(text))
        try:
            prompt = rows.parse_json(text)
        except ValueError as error:
            raise ValueError(f"prompt looks like JSON, but is {error}: {quote(text)}") from error
    if isinstance(prompt, list):
        prompt = {"shots": prompt}
    if not isinstance(prompt, dict) or not {"shots"} <= prompt.keys() <= {"global", "shots"}:
        raise ValueError(
            f'prompt={quote(prompt)} must be text, or {{"global": text, "shots": '
            '[{"prompt": text, "duration": seconds}, ...]} with or without global and duration'
        )
    return make_script(prompt.get("global", ""), [read_shot(shot) for shot in prompt["shots"]])


def looks_like_json(text: str) -> bool:
    """Whether a prompt is meant as JSON; "[cinematic] a ball" is text."""
    return bool(re.match(r"\s*(\{|\[\s*[\]{\"])", text))


def read_shot(shot: Any) -> tuple[str, Any]:
    """(caption, seconds or None) of a shot of the JSON form."""
    if not isinstance(shot, dict) or not {"prompt"} <= shot.keys() <= {"prompt", "duration"}:
        raise ValueError(f'shot {quote(shot)} must be {{"prompt": text, "duration": seconds}}')
    return shot["prompt"], shot.get("duration")


def split_shots(text: str) -> tuple[str, list[tuple[str, str | None]]]:
    """Text with "Shot 1: ..." marks -> (text before them, [(caption, seconds or None), ...])."""
    before, shots = cut_at_marks(text)
    if not shots:
        return "", [(text, None)]
    numbers = [int(mark[1]) for mark, _ in shots]
    if numbers != list(range(1, len(shots) + 1)):
        raise ValueError(f"shots are numbered {numbers}; they must be 1, 2, ... in this order")
    return before, [(caption, mark[2]) for mark, caption in shots]


def cut_at_marks(text: str) -> tuple[str, list[tuple[re.Match, str]]]:
    """(text before the first mark, [(match of SHOT, text up to the next one), ...]).

    Raises ValueError if a text has several shots and does not mark them.
    """
    marks = list(SHOT.finditer(text))
    mentioned = [int(number) for number in UNMARKED.findall(text)]
    if len(marks) < 2 and mentioned[:2] == [1, 2]:
        raise ValueError(
            f'shots are written "Shot 1: ... Shot 2: ...", with or without seconds, as in '
            f'"Shot 1 (2s): ..."; got {quote(text)}'
        )
    starts = [*(mark.start() for mark in marks), len(text)]
    ends = zip(marks, starts[1:], strict=True)
    return text[: starts[0]], [(mark, text[mark.end() : end]) for mark, end in ends]


def write_prompt(common: str, captions: Sequence[str], lengths: Sequence[int], fps: float) -> str:
    """The JSON form of a prompt whose shots have those captions and lengths in frames."""
    groups = [lengths[0] - 1, *lengths[1:]]  # durations add up to num_frames - 1
    shots = [
        {"prompt": caption, "duration": count / fps}
        for caption, count in zip(captions, groups, strict=True)
    ]
    return json.dumps({"global": common, "shots": shots})


def with_captions(prompt: str, common: str, captions: Sequence[str]) -> str:
    """A legal prompt with other captions: of all shots ("" for none), and of each."""
    if looks_like_json(prompt):
        data = json.loads(prompt)
        shots = data if isinstance(data, list) else data["shots"]
        renamed = [shot | {"prompt": text} for shot, text in zip(shots, captions, strict=True)]
        return json.dumps(({"global": common} if common else {}) | {"shots": renamed})
    marks = [f"{mark[0]} " for mark, _ in cut_at_marks(prompt)[1]] or [""]
    marked = [mark + text for mark, text in zip(marks, captions, strict=True)]
    return " ".join(([common] if common else []) + marked)


def make_script(common: str, shots: Sequence[tuple[str, Any]]) -> Script:
    """The Script of a global caption ("" for none) and (caption, seconds or None) of every shot."""
    if not shots:
        raise ValueError("prompt has no shots")
    captions = {GLOBAL: common} | {number: caption for number, (caption, _) in enumerate(shots)}
    for number, caption in captions.items():
        if not isinstance(caption, str) or not (caption.strip() or number == GLOBAL):
            name = "global" if number == GLOBAL else f"shot {number + 1}"
            raise ValueError(f"{name}: caption {caption!r} must be text, and not empty")
    captions = {number: caption.strip() for number, caption in captions.items() if caption.strip()}
    if len(shots) == 1:  # one shot has one caption
        captions = {0: " ".join(captions.values())}
    given = [seconds for _, seconds in shots if seconds is not None]
    if given and len(given) < len(shots):
        raise ValueError(f"{len(given)} of {len(shots)} shots have a duration; give all or none")
    return Script(captions, tuple(map(read_seconds, given)) or None)


def read_seconds(value: str | float) -> float:
    """A positive number from text or a number."""
    text = SECONDS.fullmatch(value) if isinstance(value, str) else None
    try:
        seconds = float(text[1] if text else value)
    except (TypeError, ValueError):
        seconds = 0.0
    if isinstance(value, bool) or not 0 < seconds < float("inf"):
        raise ValueError(f"duration {value!r} of a shot must be a positive number of seconds")
    return seconds


def shot_lengths(script: Script, num_frames: int | None, fps: float) -> tuple[int, ...]:
    """Pixel frames of every shot; they add up to num_frames, or, if that is None, make it.

    Without durations the shots share the latent frames equally, the first ones taking the rest.

    Raises ValueError for durations that do not fit in the grid or do not add up, or too few frames.
    """
    if script.durations is None:
        groups = (num_frames - 1) // FRAME_STRIDE
        if script.num_shots > max(groups, 1):
            legal = script.num_shots * FRAME_STRIDE + 1
            raise ValueError(
                f"num_frames={num_frames} for {script.num_shots} shots: {legal} or more"
            )
        share, rest = divmod(groups, script.num_shots)
        lengths = [FRAME_STRIDE * (share + (i < rest)) for i in range(script.num_shots)]
    else:
        lengths = [frames_in(seconds, fps) for seconds in script.durations]
    total = sum(lengths) + 1
    if num_frames is not None and script.durations is not None and total != num_frames:
        raise ValueError(
            f"shots of {' + '.join(f'{d:g}' for d in script.durations)} s are "
            f"{' + '.join(map(str, lengths))} + 1 = {total} frames at {fps:g} a second, but "
            f"num_frames={num_frames}; durations must add up to {(num_frames - 1) / fps:g} s, or "
            "leave num_frames out"
        )
    lengths[0] += num_frames - sum(lengths) if num_frames is not None else 1
    return tuple(lengths)


def frames_in(seconds: float, fps: float) -> int:
    """Frames of a duration; ValueError unless they are a multiple of four."""
    frames = round(seconds * fps)
    if frames % FRAME_STRIDE or not frames or abs(frames - seconds * fps) > 0.1:
        below = FRAME_STRIDE * max(int(seconds * fps) // FRAME_STRIDE, 1)
        legal = " or ".join(f"{n / fps:.4g}" for n in (below, below + FRAME_STRIDE))
        raise ValueError(
            f"a shot of {seconds:g} s is {seconds * fps:g} frames at {fps:g} a second, not a "
            f"multiple of {FRAME_STRIDE}; write {legal} s"
        )
    return frames


def latent_shots(lengths: Sequence[int]) -> np.ndarray:
    """The shot of every latent frame, int32 [T], of pixel frames per shot."""
    shot = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return shot[::FRAME_STRIDE]
