"""What people said of pairs of clips: votes, and tables of labels; and what to do if they differ.

A table of labels is a CSV of pairs, as of VideoGen-RewardBench (arXiv:2501.13918):

    path_A,path_B,prompt,VQ,MQ,TA
    a/1.mp4,b/1.mp4,"A red ball rolls.",A,same,B

Columns of dimensions are VQ, MQ and TA, or names of `answers.AXES`; an empty cell is not judged.
Paths are relative to the table.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from seedance_jax.data import rows
from seedance_jax.data.preferences.answers import AXES
from seedance_jax.data.preferences.compared_clips import Clips, check_sizes, open_files
from seedance_jax.data.preferences.comparisons import TIE, UNKNOWN, Found, Pair, numbered, stored
from seedance_jax.data.preferences.votes import read_votes
from seedance_jax.data.remote import place

# VideoAlign's names: visual quality, motion quality, alignment with the text.
COLUMNS = {"VQ": "aesthetic_quality", "MQ": "motion_quality", "TA": "prompt_following"}
COLUMNS |= {axis: axis for axis in AXES}
LABELS = {"A": 1.0, "B": 0.0, "same": TIE}
RULES = ("keep", "majority", "drop")


class Judgement(NamedTuple):
    """One opinion: label is the probability that the first of two files (paths) is better."""

    files: tuple[str, str]
    prompt: str
    dimension: str
    label: float


def vote_pairs(path: str, contradictions: str) -> Found:
    """The pairs of a file of votes, see `votes`; `contradictions` as of `resolve`."""
    said = [
        Judgement((str(one.winner), str(one.loser)), one.prompt, one.axis, TIE if one.tie else 1.0)
        for one in read_votes(path, ties=True)
    ]
    return found_in(path, "vote", said, contradictions)


def label_pairs(path: str, contradictions: str) -> Found:
    """The pairs of a table of labels, see above; `contradictions` as of `resolve`.

    Raises ValueError naming the lines that are wrong, or the columns if none is of a dimension.
    """
    return found_in(path, "label", read_labels(path), contradictions)


def found_in(path: str, kind: str, said: Sequence[Judgement], contradictions: str) -> Found:
    """The pairs of what was said in a file.

    Raises ValueError for clips that are missing, cannot be read, or are of two sizes in a pair.
    """
    kept, notes = resolve(said, contradictions)
    notes = [f"{path}: {note}" for note in notes]
    paths, number = numbered([file for one in kept for file in one.files])
    prompts, prompt = numbered([one.prompt for one in kept])
    files = open_files(paths)
    check_sizes([tuple(files[number(file)] for file in one.files) for one in kept])
    pairs = [
        Pair(
            tuple(map(number, one.files)),
            (prompt(one.prompt),) * 2,
            one.label,
            (UNKNOWN, UNKNOWN),
            one.dimension,
            kind,
        )
        for one in kept
    ]
    return Found(stored(pairs), Clips(files), prompts, notes, path)


def resolve(said: Sequence[Judgement], rule: str) -> tuple[list[Judgement], list[str]]:
    """(judgements, notes) after what is said of pairs that are judged both ways.

    A pair is contradictory at a dimension if each of its clips is called the better one by someone.

    Args:
      rule: "keep" takes every opinion for itself; "majority" makes of a contradictory pair one
        opinion, that of most, a tie if both have as many; "drop" leaves such pairs out.
    """
    if rule not in RULES:
        raise ValueError(f"contradictions={rule!r} is not one of {list(RULES)}")
    groups = collections.defaultdict(list)
    for one in map(_sorted, said):
        groups[one.files, one.prompt, one.dimension].append(one)
    kept, contradictory = [], 0
    for group in groups.values():
        labels = [one.label for one in group]
        opposed = {0.0, 1.0} <= set(labels)
        contradictory += opposed
        if not opposed or rule == "keep":
            kept += group
        elif rule == "majority":
            kept.append(group[0]._replace(label=_majority(labels)))
    told = {"keep": "kept", "majority": "decided by the majority", "drop": "left out"}[rule]
    note = f"{contradictory} of {len(groups)} judged pairs are contradictory, and {told}"
    return kept, [note] * bool(contradictory)


def _sorted(one: Judgement) -> Judgement:
    """The same with its files in the order of their names."""
    if one.files[0] <= one.files[1]:
        return one
    return one._replace(files=one.files[::-1], label=1 - one.label)


def _majority(labels: Sequence[float]) -> float:
    first, second = labels.count(1.0), labels.count(0.0)
    return TIE if first == second else float(first > second)


def read_labels(path: str) -> list[Judgement]:
    """The judgements of a table of labels."""
    found, broken = [], []
    for line, row in rows.of_csv(rows.read_text(path)):
        try:
            check_columns(row, ("path_A", "path_B", "prompt"))
            found += _judgements(path, row)
        except ValueError as error:
            broken.append((line, error))
    rows.refuse(path, broken)
    return found


def _judgements(path: str, row: Mapping[str, str]) -> Iterator[Judgement]:
    files = tuple(beside(path, row[name]) for name in ("path_A", "path_B"))
    for column, value in judged(row):
        if value not in LABELS:
            raise ValueError(f"{column}={value!r} is not one of {list(LABELS)}")
        yield Judgement(files, row["prompt"], COLUMNS[column], LABELS[value])


def judged(row: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(column, cell) of the dimensions that a row of a table judges."""
    return ((name, row[name].strip()) for name in COLUMNS if row.get(name, "").strip())


def check_columns(row: Any, needed: Sequence[str]) -> None:
    """Raises ValueError unless a row of a table has what it needs, and columns of dimensions."""
    if isinstance(row, ValueError):
        raise row
    if missing := [name for name in needed if not row.get(name, "").strip()]:
        raise ValueError(f"no {', '.join(missing)}")
    if not row.keys() & COLUMNS.keys():
        raise ValueError(f"no column of a dimension among {[*row]}; legal: {[*COLUMNS]}")


def beside(path: str, file: str) -> str:
    """A file that a table names: relative to the table, unless it says otherwise."""
    return str(place(path).parent / file)
