"""What a file of votes says: wins, ties and losses of one folder over another, with intervals."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seedance_jax.data.preferences.answers import AXES, CANNOT_TELL, FIRST, SECOND, TIE
from seedance_jax.data.preferences.votes import standing
from seedance_jax.evaluation.metrics.intervals import grouped_mean, in_words, wilson

VALUES = {FIRST: 1, TIE: 0, SECOND: -1}


def summarise(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Any]:
    """{"A over B": {"voters", "pairs", "votes", "axes": {name: counts and intervals}}}.

    Folders are told apart by the paths of their files, and compared in the order of the alphabet.
    """
    votes = collections.defaultdict(list)
    for row in standing(rows):
        folders = [str(Path(file["path"]).parent) for file in row["files"]]
        votes[tuple(sorted(folders))].append((row, folders[0] > folders[1]))
    report = {}
    for (one, other), both in sorted(votes.items()):
        axes = {}
        for name in AXES:
            answers = [
                (row["pair"], row["voter"], row["answers"][name], swapped)
                for row, swapped in both
                if name in row["answers"]
            ]
            if answers:
                axes[name] = summarise_axis(answers, seed)
        report[f"{one} over {other}"] = {
            "voters": len({row["voter"] for row, _ in both}),
            "pairs": len({row["pair"] for row, _ in both}),
            "votes": len(both),
            "axes": axes,
        }
    return report


def summarise_axis(answers: Sequence[tuple], seed: int) -> dict[str, Any]:
    """Counts of (pair, voter, answer, whether the other folder was shown first), and what follows.

    All None where nothing was decided:
      wins, ties, losses, cannot_tell: counts.
      win_rate: wins of wins and losses; Wilson's interval, which takes votes as independent.
      gsb: (G - B) / (G + S + B); a bootstrap interval over pairs, so that many voters on few pairs
        do not narrow it; NaN bounds of fewer than two pairs.
      agreement: of voters, see `agreement`.
      first_rate: how often the clip shown first won, with Wilson's interval; far from 0.5, voters
        do not look.
    """
    by_pair = collections.defaultdict(list)
    for pair, _, answer, swapped in answers:
        if answer != CANNOT_TELL:
            by_pair[pair].append(-VALUES[answer] if swapped else VALUES[answer])
    values = list(itertools.chain.from_iterable(by_pair.values()))
    wins, losses = values.count(1), values.count(-1)
    gsb = grouped_mean(list(by_pair.values()), seed)[:3] if values else None
    first = sum(answer == FIRST for _, _, answer, _ in answers)
    return {
        "wins": wins,
        "ties": values.count(0),
        "losses": losses,
        "cannot_tell": len(answers) - len(values),
        "win_rate": wilson(wins, wins + losses),
        "gsb": gsb,
        "agreement": agreement(list(by_pair.values())),
        "first_rate": wilson(first, wins + losses),
    }


def agreement(units: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's alpha for values at equal distances: 1 is perfect, 0 is chance.

    units: lists of the values that voters gave to one thing; those of a single value say nothing.
    1 - (observed / expected mean squared difference) of two voters' values. None if no two voters
    meet, or if all values are the same.
    """
    units = [np.array(unit, float) for unit in units if len(unit) > 1]
    if not units:
        return None
    values = np.concatenate(units)
    observed = sum(squared_differences(unit) / (len(unit) - 1) for unit in units) / len(values)
    expected = squared_differences(values) / (len(values) * (len(values) - 1))
    return float(1 - observed / expected) if expected else None


def squared_differences(values: np.ndarray) -> float:
    """Sum of (a - b)^2 over all ordered pairs of values."""
    return 2 * (len(values) * (values**2).sum() - values.sum() ** 2)


def format_summary(report: Mapping[str, Any]) -> str:
    """The report of `summarise` as a table for people."""
    if not report:
        return "no votes"
    head = f"{'':18} {'win':>4} {'tie':>4} {'loss':>4} {'?':>4}  {'win rate':20} {'GSB':22}"
    lines = []
    for name, part in report.items():
        sizes = ", ".join(f"{part[unit]} {unit}" for unit in ("voters", "pairs", "votes"))
        lines += [f"{name}: {sizes}", f"{head} {'agree':>6}  shown first won"]
        for axis, found in part["axes"].items():
            counts = [found[key] for key in ("wins", "ties", "losses", "cannot_tell")]
            numbers = " ".join(f"{count:4d}" for count in counts)
            rate, first = (in_words(found[key], ".2f") for key in ("win_rate", "first_rate"))
            alpha = "-" if found["agreement"] is None else f"{found['agreement']:+.2f}"
            gsb = in_words(found["gsb"], "+.2f")
            lines.append(f"{axis:18} {numbers}  {rate:20} {gsb:22} {alpha:>6}  {first}")
    return "\n".join(lines)
