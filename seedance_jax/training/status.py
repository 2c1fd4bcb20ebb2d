"""How a run goes on, from the files of its directory alone: no device is used, nothing is written.

The run may go on meanwhile, on other machines; ages are by the clock of this one.
"""

import datetime
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seedance_jax.training import heartbeat, lag, release, run_directory
from seedance_jax.training.places import Place, place

LOST = 60.0  # seconds without a sign after which a run does not go on
CHECKPOINT = "_CHECKPOINT_METADATA"  # of Orbax


def read(workdir: str | Place, clips_per_step: float) -> dict[str, Any]:
    """What `lines` prints of a run (JSON); None stands for what cannot be known.

    Raises:
      FileNotFoundError: `workdir` is not a run.
      ValueError: it is a release, or a file of it is not JSON.
    """
    config = run_directory.read_json(workdir, "config.json")
    if release.exists(workdir):
        raise ValueError(f"{workdir} is a release, which nothing trains any more")
    beats = heartbeat.read_heartbeats(workdir)
    records = run_directory.read_lines(workdir, "metrics.jsonl")
    starts = run_directory.read_lines(workdir, heartbeat.STARTS)
    saved, last = run_directory.latest_step(workdir), records[-1] if records else {}
    silence = _seconds_since(beats["written"]) if beats else 0.0
    hosts = [{**host, "age": host["age"] + silence} for host in beats.get("hosts", [])]
    state, why = _state(workdir, beats, silence, starts)
    steps = [saved, last.get("step"), *(host["step"] for host in hosts)]
    step = max((one for one in steps if one is not None), default=0)
    reached = step if state == "running" else saved or 0
    # By the ages as process 0 saw them: since then it has not looked.
    found = lag.find(beats["hosts"], heartbeat.BEAT) if beats and state == "running" else None
    return {
        "workdir": str(workdir),
        "state": state,
        "why": why,
        "stage": config.get("stage"),
        "step": step,
        "num_steps": config.get("num_steps"),
        "loss": last.get("loss"),
        **_rates(hosts, records, clips_per_step),
        "checkpoint": saved,
        "checkpoint_age": _checkpoint_age(workdir, saved),
        **_efficiency(starts, records, reached, beats),
        "hosts": hosts,
        "slowest": found and found.text,
    }


def _state(workdir, beats, silence, starts):
    """(a word, why)."""
    if not beats:
        done = run_directory.finished(workdir)
        why = "no sign of it since its start" if starts else "no start of it was written down"
        return ("finished", "") if done else ("unknown", why)
    state, error = beats["state"], beats["error"]
    if state == "running" and silence > LOST:
        return "lost", f"no sign of it for {duration(silence)}; started again, it goes on"
    if state == "running" and all(host["step"] is None for host in beats["hosts"]):
        return state, "starting"
    if state == "interrupted":
        return state, "saved; started again, it goes on"
    if state == "finished":
        return state, _end(workdir)
    return state, error


def _end(workdir):
    if not run_directory.finished(workdir):
        return "metadata.json is still to come"
    return run_directory.read_json(workdir, "metadata.json").get("stopped", "")


def _efficiency(starts, records, reached, beats):
    """What starts and restarts have cost.

    The goodput is the share of the time since the first start in which steps were computed that
    were not lost: each of them counts with the median of its record.
    """
    names = ("since", "seconds", "goodput", "restarts", "repeated_steps")
    if not starts or not beats:
        return dict.fromkeys(names)
    seconds = _seconds_between(starts[0]["time"], beats["written"])
    repeated = sum(max(one["reached"] - one["step"], 0) for one in starts)
    useful = useful_seconds(records, starts[0]["step"], reached)
    goodput = min(useful / seconds, 1.0) if seconds else 0.0
    values = (starts[0]["time"], seconds, goodput, len(starts) - 1, repeated)
    return dict(zip(names, values, strict=True))


def useful_seconds(records: Sequence[Mapping[str, Any]], start: int, end: int) -> float:
    """The time that the steps after `start`, up to `end`, take at the medians of their records.

    Steps without a record, which are the last ones, or of one that has no median, as of a single
    step, count as the median of the others.
    """
    paces = [
        record["goodput"] / record["steps_per_second"]
        for record in records
        if record.get("goodput") and record.get("steps_per_second")
    ]
    usual = statistics.median(paces) if paces else 0.0
    total, done = 0.0, start
    for record in records:
        steps = min(record["step"], end) - done
        if steps > 0:
            pace = usual
            if record.get("goodput") and record.get("steps_per_second"):
                pace = record["goodput"] / record["steps_per_second"]
            total, done = total + steps * pace, done + steps
    return total + max(end - done, 0) * usual


def _rates(hosts, records, clips_per_step):
    """Of the last minute; else of the last few records, one of which has the time of compiling."""
    pace = hosts[0]["seconds_per_step"] if hosts else None
    last = [one["steps_per_second"] for one in records[-5:] if one.get("steps_per_second")]
    rate = 1 / pace if pace else statistics.median(last) if last else None
    return {"steps_per_second": rate, "clips_per_second": rate and rate * clips_per_step}


def _checkpoint_age(workdir, step):
    path = place(workdir) / "checkpoints" / str(step)
    if step is None or not (path / CHECKPOINT).exists():
        return None
    written = run_directory.read_json(path, CHECKPOINT).get("commit_timestamp_nsecs")
    now = datetime.datetime.now(datetime.UTC).timestamp()
    return max(now - written / 1e9, 0.0) if written else None


def _seconds_since(time):
    return _seconds_between(time, heartbeat.now())


def _seconds_between(one, other):
    one, other = map(datetime.datetime.fromisoformat, (one, other))
    return max((other - one).total_seconds(), 0.0)


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """A report of `read` in words."""
    why = f": {report['why']}" if report["why"] else ""
    yield f"{report['workdir']}: {report['state']}{why}"
    for name, text in _rows(report):
        yield f"  {name:10}  {text}"
    for host in report["hosts"]:
        yield f"    {lag.describe(host)}, {duration(host['age'])} ago"
    if report["slowest"]:
        yield f"  {report['slowest']}"


def _rows(report):
    yield "step", f"{report['step']} of {report['num_steps']} ({report['stage']})"
    yield "loss", "not yet known" if report["loss"] is None else f"{report['loss']:.4g}"
    yield "rate", _rate(report)
    age = "" if report["checkpoint_age"] is None else f", {duration(report['checkpoint_age'])} ago"
    saved = "none yet" if report["checkpoint"] is None else f"step {report['checkpoint']}{age}"
    yield "checkpoint", saved
    if report["goodput"] is not None:
        since = f"{duration(report['seconds'])} since {report['since']}"
        yield "goodput", f"{report['goodput']:.0%} of {since}"
        again = f", which repeated {report['repeated_steps']} steps"
        yield "restarts", f"{report['restarts']}{again if report['restarts'] else ''}"
    if report["hosts"]:
        yield "hosts", str(len(report["hosts"]))


def _rate(report):
    rate = report["steps_per_second"]
    if not rate:
        return "not yet known"
    text = f"{rate:.3g} steps/s, {report['clips_per_second']:.3g} clips/s"
    left = (report["num_steps"] - report["step"]) / rate
    return text + (f", {duration(left)} to go" if report["state"] == "running" else "")


def duration(seconds: float) -> str:
    """A time in words: 5 s, 12 min, 3.2 h, 4.1 days."""
    for unit, size, digits in (("days", 86400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"
