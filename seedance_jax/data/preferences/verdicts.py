"""Single clips that pass or fail, and pairs of them, across prompts.

A table of verdicts is a CSV of clips,

    path,prompt,motion_quality,prompt_following
    a/1.mp4,"A red ball rolls.",1,0

with 1 for pass and 0 for fail; columns and paths as in `judgements`. What passes beats what fails,
and of two that pass neither is better: such ties keep a reward from ranking what is good by chance
(SoliReward, arXiv:2512.22170). Each clip is scored with its own prompt.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seedance_jax.data import rows
from seedance_jax.data.preferences.compared_clips import ClipFile, Clips, open_files
from seedance_jax.data.preferences.comparisons import TIE, Found, Pair, numbered, stored
from seedance_jax.data.preferences.judgements import COLUMNS, beside, check_columns, judged

VERDICTS = {"1": True, "0": False}


class Verdict(NamedTuple):
    """Whether a file passes at a dimension."""

    file: str
    prompt: str
    dimension: str
    passes: bool


class Side(NamedTuple):
    """One clip of a pair: its number, and that of its prompt."""

    clip: int
    prompt: int


def pass_fail_pairs(path: str, per_clip: int = 1, seed: int = 0) -> Found:
    """Pairs of clips of one size and dimension, drawn by a seed from a table of verdicts.

    Args:
      per_clip: passing clips that each failing one is compared with, at most; and other passing
        ones that each passing one is a tie with.

    Raises ValueError for lines that are wrong, a clip judged both ways, clips that are missing, or
    if no two clips can be compared.
    """
    said = read_verdicts(path)
    paths, number = numbered([one.file for one in said])
    prompts, prompt = numbered([one.prompt for one in said])
    files = open_files(paths)
    groups = collections.defaultdict(lambda: {True: [], False: []})
    for one in said:
        side = Side(number(one.file), prompt(one.prompt))
        groups[one.dimension, files[side.clip].shape][one.passes].append(side)
    rng, pairs = np.random.default_rng(seed), []
    for (dimension, _), sides in groups.items():
        pairs += _across(sides[True], sides[False], dimension, per_clip, rng)
    if not pairs:
        raise ValueError(f"{path}: {len(said)} verdicts, and no two clips of one size to compare")
    return Found(stored(pairs), Clips(files), prompts, _notes(path, files, pairs), path)


def _across(
    passing: Sequence[Side],
    failing: Sequence[Side],
    dimension: str,
    per_clip: int,
    rng: np.random.Generator,
) -> Iterator[Pair]:
    for bad in failing:
        for good in _draw(passing, per_clip, rng):
            yield _pair(good, bad, 1.0, (1.0, 0.0), dimension)
    for number, good in enumerate(passing):
        for other in _draw(passing[number + 1 :], per_clip, rng):
            yield _pair(good, other, TIE, (1.0, 1.0), dimension)


def _draw(sides: Sequence[Side], count: int, rng: np.random.Generator) -> list[Side]:
    chosen = rng.permutation(len(sides))[:count]
    return [sides[number] for number in chosen]


def _pair(one: Side, other: Side, label: float, good: tuple[float, float], dimension: str) -> Pair:
    clips, prompts = (one.clip, other.clip), (one.prompt, other.prompt)
    return Pair(clips, prompts, label, good, dimension, "pass_fail")


def _notes(path: str, files: Sequence[ClipFile], pairs: Sequence[Pair]) -> list[str]:
    used = {clip for pair in pairs for clip in pair.clips}
    alone = [file.path for number, file in enumerate(files) if number not in used]
    note = f"{path}: {len(alone)} of {len(files)} clips have no other of their size to be compared"
    return [note] * bool(alone)


def read_verdicts(path: str) -> list[Verdict]:
    """The verdicts of a table; of several that say the same, one."""
    found, broken = {}, []
    for line, row in rows.of_csv(rows.read_text(path)):
        try:
            check_columns(row, ("path", "prompt"))
            for one in _verdicts(path, row):
                key = one._replace(passes=True)
                if found.setdefault(key, one) != one:
                    raise ValueError(f"{one.file} passes and fails at {one.dimension}")
        except ValueError as error:
            broken.append((line, error))
    rows.refuse(path, broken)
    return list(found.values())


def _verdicts(path: str, row: Mapping[str, str]) -> Iterator[Verdict]:
    for column, value in judged(row):
        if value not in VERDICTS:
            raise ValueError(f"{column}={value!r} is not one of {list(VERDICTS)}")
        yield Verdict(beside(path, row["path"]), row["prompt"], COLUMNS[column], VERDICTS[value])
