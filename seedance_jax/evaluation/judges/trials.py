"""How far the judges can be trusted: pass rates of true clips, and of wrong ones by severity.

The clips are of other numbers than those that set the thresholds. A report of a form is

    {"true": {"clips", "passed", "failed": {gate: clips}, "judged": {gate: clips that have it}},
     "corruptions": {kind: {the same, at full severity; "passing": {severity: share of its clips
     that pass}, "half": the severity at which half of them do not}}, "seconds_per_clip"}
"""

import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data.world import corruptions
from seedance_jax.evaluation.judges import true_clips, verdict
from seedance_jax.evaluation.judges.calibration import SPLIT
from seedance_jax.evaluation.judges.forms import Form
from seedance_jax.evaluation.metrics import intervals

FIRST = 9_000_000  # number of the first clip that a report is on


class Trial(NamedTuple):
    """A clip that is made wrong: of what number, in which way, how much."""

    index: int
    name: str
    severity: float


def report(
    form: Form,
    bounds: Mapping[str, Any],
    count: int,
    corrupted: int,
    severities: Sequence[float] = (1.0,),
    each: Callable = map,
) -> dict[str, Any]:
    """Pass rates of clips of a form, see above.

    Args:
      bounds: the thresholds, of `calibration.calibrate`.
      count: true clips.
      corrupted: clips of each corruption, at most: of the first true ones that it applies to.
      severities: of corruptions, rising to 1.
      each: see `calibration.calibrate`.

    Raises:
      ValueError: severities do not end at 1, or leave [0, 1].
    """
    check_severities(severities)
    judge = functools.partial(judge_true, form, bounds)
    indices = true_clips.shown_indices(form, SPLIT, FIRST, count)
    true = list(each(judge, indices))
    scenes = {index: scene for index, (scene, _, _) in zip(indices, true, strict=True)}
    trials = plan(scenes, corrupted, severities)
    judge = functools.partial(judge_wrong, form, bounds, scenes)
    wrong = list(each(judge, trials))
    verdicts = dict(zip(trials, wrong, strict=True))
    right = {index: v.passed for index, (_, v, _) in zip(indices, true, strict=True)}
    kinds = list(dict.fromkeys(trial.name for trial in trials))
    return {
        "true": summary([v for _, v, _ in true]),
        "corruptions": {name: by_severity(name, verdicts, right) for name in kinds},
        "seconds_per_clip": float(np.median([seconds for *_, seconds in true])),
    }


def check_severities(severities: Sequence[float]) -> None:
    """Raises ValueError unless they rise within (0, 1], to 1."""
    for severity in severities:
        corruptions.check_severity(severity)
    rising = list(severities) == sorted({*severities} - {0.0})
    if not rising or not severities or severities[-1] != 1:
        raise ValueError(
            f"severities={[*severities]} do not rise from above 0 to 1, such as 0.5, 1"
        )


def judge_true(
    form: Form, bounds: Mapping[str, Any], index: int
) -> tuple[dict, verdict.Verdict, float]:
    """(scene, verdict, seconds of the judges) of a true clip."""
    frames, scene = true_clips.read(form, SPLIT, index)
    start = time.process_time()
    found = verdict.judge_clip(frames, form.fps, scene, {str(form): {"bounds": bounds}})
    return scene, found, time.process_time() - start


def judge_wrong(
    form: Form, bounds: Mapping[str, Any], scenes: Mapping[int, Mapping], trial: Trial
) -> verdict.Verdict:
    """The verdict on a clip that is made wrong, by the scene of the true one."""
    shot = true_clips.stage(form, SPLIT, trial.index)
    rng = np.random.default_rng(trial.index)
    frames = corruptions.corrupt(trial.name, shot, trial.severity, rng, form.fps)
    frames = true_clips.stored(form, frames, range(form.num_frames))
    scene = scenes[trial.index]
    return verdict.judge_clip(frames, form.fps, scene, {str(form): {"bounds": bounds}})


def plan(scenes: Mapping[int, Mapping], corrupted: int, severities: Sequence[float]) -> list[Trial]:
    """The trials of the first `corrupted` scenes, by index, that each corruption applies to."""
    chosen = []
    for name in corruptions.CORRUPTIONS:
        fits = [index for index, scene in scenes.items() if corruptions.applies(name, scene)]
        chosen += [Trial(k, name, s) for k in fits[:corrupted] for s in severities]
    return chosen


def by_severity(
    name: str, verdicts: Mapping[Trial, verdict.Verdict], right: Mapping[int, bool]
) -> dict[str, Any]:
    """The part of a report on one corruption; right: {index: whether the true clip passes}."""
    found = {trial: v for trial, v in verdicts.items() if trial.name == name}
    indices = {trial.index for trial in found}
    passing = {0.0: sum(right[index] for index in indices) / len(indices)}
    for severity in sorted({trial.severity for trial in found}):
        passed = [v.passed for trial, v in found.items() if trial.severity == severity]
        passing[severity] = sum(passed) / len(passed)
    full = summary([v for trial, v in found.items() if trial.severity == 1])
    shares = {f"{s:g}": share for s, share in passing.items()}
    return full | {"passing": shares, "half": halfway(passing)}


def halfway(passing: Mapping[float, float]) -> float | None:
    """The severity at which half of the clips are refused, between those that were tried; None if
    fewer are even at the last."""
    steps = sorted(passing.items())
    if steps[-1][1] > 0.5:
        return None
    for (low, before), (high, after) in itertools.pairwise(steps):
        if before > 0.5 >= after:
            return low + (high - low) * (before - 0.5) / (before - after)
    return 0.0 if steps[0][1] <= 0.5 else None


def summary(verdicts: Sequence[verdict.Verdict]) -> dict[str, Any]:
    """Clips, how many pass and how many fail by each gate; and how many have each gate."""
    names = verdict.GATES
    failed = {name: sum(v.gates[name] is False for v in verdicts) for name in names}
    judged = {name: sum(v.gates[name] is not None for v in verdicts) for name in names}
    return {
        "clips": len(verdicts),
        "passed": sum(v.passed for v in verdicts),
        "failed": {name: n for name, n in failed.items() if n},
        "judged": {name: n for name, n in judged.items() if n},
    }


def table(found: Mapping[str, Any]) -> str:
    """Markdown of a `report`."""
    lines = ["| clips | number | pass | 95 % interval | half fail at | gates that shut, in % |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, part in {"true": found["true"], **found["corruptions"]}.items():
        rate, low, high, _ = intervals.share(part["passed"], part["clips"])
        gates = sorted(part["failed"].items(), key=lambda item: -item[1])
        caught = ", ".join(f"{gate} {100 * n / part['clips']:.0f}" for gate, n in gates[:5])
        half = "" if name == "true" else in_words(part["half"])
        cells = [name, str(part["clips"]), f"{rate:.3f}", f"{low:.2f}-{high:.2f}", half, caught]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def in_words(half: float | None) -> str:
    """The severity of `halfway` in a table."""
    return "never" if half is None else f"{half:.2f}"


def overview(forms: Mapping[str, Any]) -> str:
    """Markdown of {form: report}: shares that pass, and by corruption the share at full severity
    with the severity at which half of the clips fail."""
    kinds = [
        k for k in corruptions.CORRUPTIONS if any(k in r["corruptions"] for r in forms.values())
    ]
    lines = [["clips", *forms], ["---"] * (1 + len(forms)), ["true", *map(_true, forms.values())]]
    for name in kinds:
        parts = [found["corruptions"].get(name) for found in forms.values()]
        lines.append([name, *(_wrong(part) if part else "" for part in parts)])
    seconds = [f"{found['seconds_per_clip']:.2f}" for found in forms.values()]
    lines.append(["seconds a clip", *seconds])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _true(found):
    part = found["true"]
    rate, low, high, _ = intervals.share(part["passed"], part["clips"])
    return f"{rate:.2f} [{low:.2f}, {high:.2f}] of {part['clips']}"


def _wrong(part):
    return f"{part['passed'] / part['clips']:.2f} of {part['clips']}; {in_words(part['half'])}"
