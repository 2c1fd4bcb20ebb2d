"""Two runs on the same prompts and seeds, clip by clip."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from seedance_jax.evaluation.metrics.intervals import in_words, wilson
from seedance_jax.evaluation.suite import axes, results

SAME = ("suite", "checksum", "judges")
OF_CLIP = ("prompt", "seed", "given", "group")
NO_PAIR = "they cannot be compared"


def compare(first: Path, second: Path) -> tuple[dict[str, Any], list]:
    """Compares two folders of results: (report, [(row of the first, row of the second), ...]).

    The report has clips (that both have), first and second (folder, weights, settings, clips), and
    rows: {"all gates", axes and gates: see `pair_up`}.

    Raises:
      ValueError, with both values: other suites, judges or seeds, or no clip in common.
      FileNotFoundError: a folder without results.
    """
    if Path(first).resolve() == Path(second).resolve():
        raise ValueError(f"{first} cannot be compared with itself")
    rows = {folder: results.read_rows(folder) for folder in (first, second)}
    for folder, found in rows.items():
        if not found:
            raise FileNotFoundError(f"{str(folder)!r} has no {results.FILE}; run --suite first")
    one, other = rows[first], rows[second]
    check_comparable(first, next(iter(one.values())), second, next(iter(other.values())))
    pairs = [(one[number], other[number]) for number in one if number in other]
    if not pairs:
        raise ValueError(f"{first} and {second} have no clip in common")
    for row, partner in pairs:
        names = (f"clip {row['number']} of {folder}" for folder in (first, second))
        results.check_same(next(names), row, next(names), partner, OF_CLIP, NO_PAIR)
    report = {
        "clips": len(pairs),
        "first": describe(first, one),
        "second": describe(second, other),
        "rows": summarize(pairs),
    }
    return report, pairs


def describe(folder: str | Path, rows: Mapping[int, dict]) -> dict[str, Any]:
    """What a folder holds."""
    row = next(iter(rows.values()))
    return {
        "folder": str(folder),
        "clips": len(rows),
        **{name: row[name] for name in results.IDENTITY},
    }


def check_comparable(
    first: str | Path, row: Mapping[str, Any], second: str | Path, other: Mapping[str, Any]
) -> None:
    """Raises ValueError unless two folders are of one suite, judged alike, from one seed."""
    results.check_same(str(first), row, str(second), other, SAME, NO_PAIR)
    seeds = [part["settings"]["seed"] for part in (row, other)]
    if seeds[0] != seeds[1]:
        raise ValueError(f"{first} has seed={seeds[0]}, {second} has seed={seeds[1]}: no pairs")


def summarize(pairs: Sequence[tuple[dict, dict]]) -> dict[str, dict]:
    """{"all gates", axes and gates: `pair_up`} of pairs of rows."""
    found = {"all gates": pair_up([[row["verdict"]["passed"] for row in pair] for pair in pairs])}
    gates = [[row["verdict"]["gates"] for row in pair] for pair in pairs]
    grouped = [[axes.gates_by(gate, axes.axis) for gate in pair] for pair in gates]
    for names, parts in ((axes.AXES, grouped), (axes.HEADINGS, gates)):
        for name in names:
            values = [[part.get(name) for part in pair] for pair in parts]
            judged = [pair for pair in values if None not in pair]
            if judged:
                found[name] = pair_up(judged)
    return found


def pair_up(values: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """Counts and intervals of pairs (whether the first clip passes, whether the second does).

    Returns clips; wins (the first passes alone), ties, losses; first and second, the shares that
    pass; difference: see `difference`; p: McNemar's exact test, the chance of so uneven wins and
    losses if both were alike.
    """
    both, wins, losses = (
        sum((bool(first), bool(second)) == kind for first, second in values)
        for kind in ((True, True), (True, False), (False, True))
    )
    neither = len(values) - both - wins - losses
    return {
        "clips": len(values),
        "wins": wins,
        "ties": both + neither,
        "losses": losses,
        "first": (both + wins) / len(values),
        "second": (both + losses) / len(values),
        "difference": list(difference(both, wins, losses, neither)),
        "p": float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0,
    }


def difference(both: int, first: int, second: int, neither: int) -> tuple[float, float, float]:
    """(difference of two paired shares, low, high) of counts of pairs: who passes.

    95 %, by Newcombe's method 10 (Statistics in Medicine 17, 1998): Wilson's intervals of the two
    shares, squared and added, less what their correlation takes.
    """
    count = both + first + second + neither
    (p, p_low, p_high), (q, q_low, q_high) = (wilson(both + own, count) for own in (first, second))
    scale = (both + first) * (second + neither) * (both + second) * (first + neither)
    joint = both * neither - first * second
    joint = max(joint - count / 2, 0) if joint > 0 else joint
    phi = joint / math.sqrt(scale) if scale else 0.0

    def spread(one, other):
        return math.sqrt(max(one**2 - 2 * phi * one * other + other**2, 0.0))

    low, high = spread(p - p_low, q_high - q), spread(p_high - p, q - q_low)
    return p - q, max(p - q - low, -1.0), min(p - q + high, 1.0)


def one_line(report: Mapping[str, Any]) -> str:
    """The comparison in a line: all gates, and the axes."""
    names = ("all gates", *(name for name in axes.AXES if name in report["rows"]))
    first, second = (report[name] for name in ("first", "second"))
    counts = f"{report['clips']} clips"
    if {first["clips"], second["clips"]} != {report["clips"]}:
        counts += f" that both have, of {first['clips']} and {second['clips']}"
    differences = "; ".join(tell(name, report["rows"][name]) for name in names)
    return f"{first['folder']} against {second['folder']}, {counts}: {differences}"


def tell(name: str, found: Mapping[str, Any]) -> str:
    """A row of a comparison in words."""
    return (
        f"{name} {found['first']:.2f} and {found['second']:.2f}, difference "
        f"{in_words(found['difference'], '+.2f')}, {found['wins']} wins, {found['ties']} ties, "
        f"{found['losses']} losses, p = {found['p']:.2g}"
    )
