"""What the rows of a suite come to: shares of clips that pass, with intervals."""

import numpy as np

from seedance_jax.evaluation.metrics.intervals import in_words, wilson
from seedance_jax.evaluation.suite import axes, results
from seedance_jax.evaluation.suite.drawing_up import GROUPS

REFERENCES = ("true", "autoencoder")


def summarize(suite, rows):
    """A report of {number: row}, as a plain dict.

    Returns what the rows have in common, and
      clips, of: how many, of how many of the suite.
      passed: [share of clips that pass every gate, low, high], Wilson's interval of 95 %.
      groups: {name: {clips, passed, axes}}.
      axes: {name: {clips, passed, headings}}; a clip passes an axis if it passes all of its gates
        that were asked, and counts if any was.
      dimensions: {name: {axis, heading, asked, passed, measured, median}}; measured is the share of
        what was asked that could be measured at all, what could not has not passed.
      reference: {"true": shares that pass of the true clips, which is what judges get wrong;
        "autoencoder": of those as the model's autoencoder gives them back, which nothing that it
        decodes can be expected to beat}: each {passed, axes, dimensions}.
    """
    rows = list(rows.values())
    verdicts = [row["verdict"] for row in rows]
    return {
        **{name: rows[0][name] for name in results.IDENTITY},
        "clips": len(rows),
        "of": len(suite.cases),
        "passed": share(verdict["passed"] for verdict in verdicts),
        "groups": {name: describe_group(rows, name) for name in GROUPS},
        "axes": {name: describe_axis(verdicts, name) for name in axes.AXES},
        "dimensions": {name: describe_dimension(verdicts, name) for name in axes.HEADING},
        "reference": {name: describe_reference(rows, name) for name in REFERENCES},
    }


def describe_reference(rows, name):
    """{passed, axes, dimensions}: shares of the reference clips of that name."""
    gates = [row["reference"][name] for row in rows]
    of_axis = [axes.gates_by(found, axes.axis) for found in gates]
    return {
        "passed": share(all(found.values()) for found in of_axis),
        "axes": {axis: shares_of(of_axis, axis) for axis in axes.AXES},
        "dimensions": {dimension: shares_of(gates, dimension) for dimension in axes.HEADING},
    }


def shares_of(gates, name):
    """`share` of the open ones of a gate, where it was asked."""
    return share(found[name] for found in gates if found.get(name) is not None)


def share(passed):
    """[share, low, high] of true values; None without any."""
    passed = list(passed)
    found = wilson(sum(passed), len(passed))
    return found and list(found)


def describe_group(rows, name):
    """{clips, passed, axes} of a group."""
    verdicts = [row["verdict"] for row in rows if row["group"] == name]
    of_axis = {axis: share(opened(verdicts, axes.axis, axis)) for axis in axes.AXES}
    passed = share(verdict["passed"] for verdict in verdicts)
    return {"clips": len(verdicts), "passed": passed, "axes": of_axis}


def describe_axis(verdicts, name):
    """{clips, passed, headings} of an axis; headings only where there are several."""
    found = opened(verdicts, axes.axis, name)
    names = [heading for heading, axis in axes.AXIS.items() if axis == name]
    headings = {heading: share(opened(verdicts, axes.heading, heading)) for heading in names}
    headings = headings if len(names) > 1 else {}
    return {"clips": len(found), "passed": share(found), "headings": headings}


def opened(verdicts, of, name):
    """Whether all gates of an axis or a heading are open, of each clip that was asked for any."""
    found = [axes.gates_by(verdict["gates"], of) for verdict in verdicts]
    return [gates[name] for gates in found if name in gates]


def describe_dimension(verdicts, name):
    """{axis, heading, asked, passed, measured, median} of a dimension."""
    asked = [verdict for verdict in verdicts if verdict["gates"][name] is not None]
    findings = [verdict["findings"][name] for verdict in asked]
    valid = [finding["value"] for finding in findings if finding["valid"]]
    numbers = [value for value in valid if type(value) in (int, float)]
    return {
        "axis": axes.axis(name),
        "heading": axes.heading(name),
        "asked": len(asked),
        "passed": share(verdict["gates"][name] for verdict in asked),
        "measured": len(valid) / len(asked) if asked else None,
        "median": float(np.median(numbers)) if numbers else None,
    }


def one_line(report):
    """The report in a line."""
    parts = [
        f"{name} {in_words(part['passed'], '.2f')}"
        for name, part in report["axes"].items()
        if part["clips"]
    ]
    true, coded = (report["reference"][name]["passed"][0] for name in REFERENCES)
    return (
        f"{report['suite']}: {in_words(report['passed'], '.2f')} of {report['clips']} clips pass; "
        + ", ".join(parts)
        + f"; true clips {true:.2f}, through its autoencoder {coded:.2f}"
    )
