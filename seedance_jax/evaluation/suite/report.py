"""What the rows of a suite come to: shares of clips that pass, with intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.evaluation.fidelity import decibels, mean_square
from seedance_jax.evaluation.metrics.intervals import in_words, wilson
from seedance_jax.evaluation.suite import axes, results
from seedance_jax.evaluation.suite.cases import Suite

REFERENCES = ("true", "autoencoder", "chance")


def summarize(suite: Suite, rows: Mapping[int, dict]) -> dict[str, Any]:
    """A report of {number: row}, as a plain dict. Shares are [share, low, high], with Wilson's
    interval of 95 %; None of no clips.

    Returns what the rows have in common, and
      clips, of: how many, of how many of the suite.
      passed: share of clips that pass every gate.
      groups: {name: `describe_group`}.
      axes: {name: {clips, passed, headings}}; a clip passes an axis if it passes all of its gates
        that its scene has, and counts if it has any.
      gates: {name: {axis, heading, clips, passed, measured, median}}; measured is the share of
        those clips that could be measured at all: what could not has not passed.
      reference: {"true": of the true clips, which is what judges get wrong; "autoencoder": of those
        as the model's autoencoder gives them back, which nothing that it decodes can be expected
        to beat; "chance": of true clips judged by the scene of another}: each {passed, axes,
        gates}.
    """
    rows = [rows[case.number] for case in suite.cases if case.number in rows]
    verdicts = [row["verdict"] for row in rows]
    groups = dict.fromkeys(case.group for case in suite.cases)
    moving = {c.number for c in suite.cases if c.scene["camera"]["move"] != "static"}
    return {
        **{name: rows[0][name] for name in results.IDENTITY},
        "clips": len(rows),
        "of": len(suite.cases),
        "passed": share(verdict["passed"] for verdict in verdicts),
        "groups": {
            name: describe_group([row for row in rows if row["group"] == name], moving)
            for name in groups
        },
        "axes": {name: describe_axis(verdicts, name) for name in axes.AXES},
        "gates": {name: describe_gate(verdicts, name) for name in axes.HEADINGS},
        "reference": {name: describe_reference(rows, name) for name in REFERENCES},
    }


def describe_reference(rows: Sequence[dict], name: str) -> dict[str, Any]:
    """{passed, axes, gates}: shares of the reference clips of that name."""
    return shares([row["reference"][name] for row in rows if row["reference"][name]])


def shares(gates: Sequence[Mapping[str, bool | None]]) -> dict[str, Any]:
    """{passed, axes, gates} of the gates of clips."""
    of_axis = [axes.gates_by(found, axes.axis) for found in gates]
    return {
        "passed": share(all(found.values()) for found in of_axis),
        "axes": {axis: shares_of(of_axis, axis) for axis in axes.AXES},
        "gates": {gate: shares_of(gates, gate) for gate in axes.HEADINGS},
    }


def shares_of(gates: Iterable[Mapping[str, bool | None]], name: str) -> list[float] | None:
    """`share` of the open ones of a gate, of the scenes that have it."""
    return share(found[name] for found in gates if found.get(name) is not None)


def share(passed: Iterable[bool]) -> list[float] | None:
    """[share, low, high] of true values; None without any."""
    passed = list(passed)
    found = wilson(sum(passed), len(passed))
    return found and list(found)


def describe_group(rows: Sequence[dict], moving: set[int]) -> dict[str, Any]:
    """Of the rows of a group:

    clips, passed, axes, gates: as in the whole report.
    moving_camera: share that passes the camera's gates, of the numbers in `moving`: most stand.
    given_frames: {frame: dB} of the frames that were given, over all clips; they only pass through
      the autoencoder.
    jump: {"made", "autoencoder"}: change from the given frames that begin a clip to the next one
      over that of the true clips: 1 is right, more is a cut, 0 a still. None where none are given.
    """
    of_heading = [
        axes.gates_by(row["verdict"]["gates"], axes.heading)
        for row in rows
        if row["number"] in moving
    ]
    return {
        "clips": len(rows),
        **shares([row["verdict"]["gates"] for row in rows]),
        "moving_camera": shares_of(of_heading, "camera"),
        "given_frames": given_frames(rows),
        "jump": describe_jump([row["jump"] for row in rows]),
    }


def given_frames(rows: Sequence[dict]) -> dict[str, float]:
    """{frame: dB}, errors of all clips pooled before the logarithm."""
    squares = {}
    for row in rows:
        evidence = row["verdict"]["findings"][axes.GIVEN]["evidence"]
        for frame, value in evidence.get("decibels", {}).items():
            squares.setdefault(frame, []).append(mean_square(value, 255.0))
    return {frame: decibels(np.mean(values), 255.0) for frame, values in squares.items()}


def describe_jump(changes: Sequence[Mapping[str, float | None]]) -> dict[str, float] | None:
    """{"made", "autoencoder"}: their summed change over that of the true clips."""
    known = [change for change in changes if change["true"] is not None]
    true = sum(change["true"] for change in known)
    if not true:
        return None
    return {name: sum(c[name] for c in known) / true for name in ("made", "autoencoder")}


def describe_axis(verdicts: Sequence[dict], name: str) -> dict[str, Any]:
    """{clips, passed, headings} of an axis; headings only where there are several."""
    found = opened(verdicts, axes.axis, name)
    names = [heading for heading, axis in axes.AXIS.items() if axis == name]
    headings = {heading: share(opened(verdicts, axes.heading, heading)) for heading in names}
    headings = headings if len(names) > 1 else {}
    return {"clips": len(found), "passed": share(found), "headings": headings}


def opened(verdicts: Sequence[dict], of: Callable[[str], str], name: str) -> list[bool]:
    """Whether all gates of an axis or a heading are open, of each clip whose scene has any."""
    found = [axes.gates_by(verdict["gates"], of) for verdict in verdicts]
    return [gates[name] for gates in found if name in gates]


def describe_gate(verdicts: Sequence[dict], name: str) -> dict[str, Any]:
    """{axis, heading, clips, passed, measured, median} of a gate."""
    judged = [verdict for verdict in verdicts if verdict["gates"][name] is not None]
    findings = [verdict["findings"][name] for verdict in judged]
    valid = [finding["value"] for finding in findings if finding["valid"]]
    numbers = [value for value in valid if type(value) in (int, float)]
    return {
        "axis": axes.axis(name),
        "heading": axes.heading(name),
        "clips": len(judged),
        "passed": share(verdict["gates"][name] for verdict in judged),
        "measured": len(valid) / len(judged) if judged else None,
        "median": float(np.median(numbers)) if numbers else None,
    }


def quality(report: Mapping[str, Any]) -> tuple[float, float]:
    """By what reports of the same clips are compared, the first first: (share of clips that pass
    every gate, mean share over the headings, or over axes that have none)."""
    parts = [
        found
        for axis in report["axes"].values()
        for found in (axis["headings"].values() if axis["headings"] else [axis["passed"]])
    ]
    shares = [found[0] for found in parts if found]
    return report["passed"][0], float(np.mean(shares))


def which(report: Mapping[str, Any]) -> str:
    """Which clips a report is of."""
    some = f"the first {report['clips']} of " if report["clips"] < report["of"] else ""
    return f"{some}{report['of']} clips"


def one_line(report: Mapping[str, Any]) -> str:
    """The report in a line."""
    parts = [
        f"{name} {in_words(part['passed'], '.2f')}"
        for name, part in report["axes"].items()
        if part["clips"]
    ]
    names = ("true clips", "through its autoencoder", "by chance")
    passed = [report["reference"][name]["passed"] for name in REFERENCES]
    others = [f"{name} {found[0]:.2f}" for name, found in zip(names, passed, strict=True) if found]
    return (
        f"{report['suite']}: {in_words(report['passed'], '.2f')} of {which(report)} pass; "
        + ", ".join(parts)
        + "; "
        + ", ".join(others)
    )
