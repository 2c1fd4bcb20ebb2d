"""Which of several hosts the others wait for, by the lines of their heartbeats.

All hosts compute a step together, so one that is slow makes all slow: its steps are begun last.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SILENT = 3  # beats without a sign
STUCK = 5  # steps that could have been done meanwhile
# A share of the steps: for so many more than on other hosts the devices of a slow one had to wait.
MORE = 0.5


class Lag(NamedTuple):
    """A host that lags: its process, what lags ("heartbeat", "input" or "step"), and a sentence."""

    process: int
    what: str
    text: str


def find(hosts: Sequence[Mapping[str, Any]], beat: float) -> Lag | None:
    """The host that lags most, if one does.

    hosts: lines of `Progress.report`, each with "process", "host" and "age", the seconds since it
    was heard, and "ended" if it ends; beat: seconds from one line to the next.
    """
    if len(hosts) < 2 or any(host.get("ended") for host in hosts):
        return None
    return _silent(hosts, beat) or _stuck(hosts, beat) or _slow(hosts)


def _silent(hosts, beat):
    worst = max(hosts, key=lambda host: host["age"])
    if worst["age"] <= SILENT * beat:
        return None
    return Lag(
        worst["process"],
        "heartbeat",
        f"{name(worst)} has not been heard of for {worst['age']:.0f} s; its last step: "
        f"{worst['step']}",
    )


def _stuck(hosts, beat):
    first = max(_step(host) for host in hosts)
    behind = [host for host in hosts if _step(host) < first]
    worst = max(behind, key=lambda host: host.get("still", 0.0), default=None)
    if worst is None:
        return None
    patience = max(SILENT * beat, STUCK * (worst.get("seconds_per_step") or 0.0))
    if worst.get("still", 0.0) <= patience:
        return None
    what = "input" if worst["waiting"] else "step"
    return Lag(
        worst["process"],
        what,
        f"{name(worst)} {_doing(worst)} for {worst['still']:.0f} s; the others, in step {first}, "
        "wait for it",
    )


def _doing(host):
    if host["step"] is None:
        return "has waited for its first batch" if host["waiting"] else "has been starting"
    if host["waiting"]:
        return f"has waited for its input, after step {host['step']},"
    return f"has been in step {host['step']}"


def _slow(hosts):
    known = [host for host in hosts if host.get("late") is not None]
    if len(known) < len(hosts):
        return None
    worst = max(known, key=lambda host: host["late"])
    others = statistics.median(host["late"] for host in known if host is not worst)
    if worst["late"] - others < MORE:
        return None
    what = "input" if worst["input"] >= 0.5 else "step"
    return Lag(
        worst["process"],
        what,
        f"{name(worst)} is the slowest: its devices waited for it in {worst['late']:.0%} of the "
        f"steps, those of the others in {others:.0%}; of the time it waited for its input "
        f"{worst['input']:.0%}",
    )


def _step(host):
    return -1 if host["step"] is None else host["step"]


def name(host: Mapping[str, Any]) -> str:
    """A host in words, by its process and name."""
    return f"process {host['process']} on {host['host'] or 'an unknown host'}"


def describe(host: Mapping[str, Any]) -> str:
    """The line of a host: its step, and what it waited for."""
    if host["step"] is None:
        return f"{name(host)}: starting"
    words = [f"step {host['step']}"]
    if host["input"] is not None:
        words.append(f"waited for its input {host['input']:.0%} of the time")
    if host["late"] is not None:
        words.append(f"late in {host['late']:.0%} of the steps")
    return f"{name(host)}: {', '.join(words)}"
