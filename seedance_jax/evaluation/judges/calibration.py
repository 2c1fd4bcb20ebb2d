"""How far the judges can be trusted: thresholds from true clips, then pass rates on other ones.

Scenes are taken as they come from the simulator, one after the other: none is left out for what
its clip looks like. What a scene can show (a long flight, a hidden object) is told by its record.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seedance_jax.data.video import decode_mp4, encode_mp4
from seedance_jax.data.world import WorldSpec, corruptions, generate
from seedance_jax.data.world.spec import CODEC
from seedance_jax.evaluation.judges import sight, verdict
from seedance_jax.evaluation.judges.findings import Finding
from seedance_jax.evaluation.metrics import intervals

SPLIT = "validation"
# First numbers of the clips that set the thresholds, and of those that the report is on: far from
# those of any data set. Those in between were seen while the room in RULES was chosen.
CALIBRATION, REPORT = 1_000_000, 9_000_000

# Gate -> how its bounds follow from true clips: (lower quantile, upper quantile, room below,
# room above); a quantile of None is no bound.
RULES = {
    "alignment_shape": (0.01, None, 0.5, 0.0),
    "gravity": (0.01, 0.99, 0.15, 0.15),
    "bounce": (0.0, 1.0, 0.1, 0.1),
    "permanence": (None, 0.98, 0.0, 0.2),
    "camera_pan": (None, 0.99, 0.0, 2.5),
    "camera_zoom": (None, 0.99, 0.0, 2.0),
    "camera_orbit": (None, 0.99, 0.0, 4.0),
    "flicker": (None, 0.99, 0.0, 0.8),
    "exposure": (None, 0.99, 0.0, 0.5),
    "sharpness": (0.01, 0.99, 0.04, 0.04),
    "jitter": (None, 0.99, 0.0, 0.035),
    "identity": (None, 0.99, 0.0, 0.4),
}
# No bounds are wider than these, whatever true clips have: a gate that lets a standing camera or a
# quarter of gravity pass is none, and true clips that are measured so badly fail.
LIMITS = {
    "gravity": (0.4, 1.7),
    "camera_pan": (-1e3, 9.0),
    "camera_zoom": (-1e3, 8.0),
    "camera_orbit": (-1e3, 18.0),
    "identity": (-1e3, 0.9),
    "permanence": (-1e3, 1.2),
    "jitter": (-1e3, 0.085),
}
# Share of the least and the most motion of true clips of the same event.
DYNAMICS = (0.6, 1.6)


def write_calibration(
    spec: WorldSpec, count: int, counts: tuple[int, int], output: Path, install: bool = False
) -> dict[str, Any]:
    """Measures thresholds and a report of them; writes both, and returns what calibration.json has.

    Args:
      count: true clips that set the thresholds.
      counts: (true clips, clips of each corruption at most) of the `report`.
      install: whether the judges are to use these thresholds of the slice.
    """
    bounds = calibrate(spec, count)
    setting = {"world": spec.version, "clips": count, **spec.as_dict()}
    results = {"setting": setting, "thresholds": bounds, **report(spec, bounds, *counts)}
    if install:
        stored = json.loads(verdict.THRESHOLDS.read_text())
        stored["slices"][spec.slice] = bounds
        stored["made_by"][spec.slice] = setting
        verdict.THRESHOLDS.write_text(json.dumps(stored, indent=1) + "\n")
    (output / "calibration.json").write_text(json.dumps(results, indent=1) + "\n")
    (output / "calibration.md").write_text(table(results) + "\n")
    return results


def read_true(index: int, spec: WorldSpec) -> tuple[np.ndarray, dict]:
    """(frames, scene) of a true clip, as data sets store it."""
    row = generate(SPLIT, index, spec)
    return stored(row["frames"], spec.fps), verdict.expected_scene(row)


def stored(frames: np.ndarray, fps: float) -> np.ndarray:
    return decode_mp4(encode_mp4(frames, fps, **CODEC))[0]


def measured(frames: np.ndarray, fps: float, scene: Mapping[str, Any]) -> dict[str, Finding]:
    shots = sight.look(frames, verdict.shot_lengths(scene, frames), scene)
    return verdict.measure(shots, frames, fps, scene)


def calibrate(spec: WorldSpec, count: int) -> dict[str, Any]:
    """{gate: [least, most]}, of dynamics by event, from true clips."""
    found = []
    for index in range(CALIBRATION, CALIBRATION + count):
        frames, scene = read_true(index, spec)
        found.append((scene, measured(frames, spec.fps, scene)))
    bounds = {"alignment_event": [0.0, 1e3]}
    for name, rule in RULES.items():
        values = [f[name].value for a, f in found if f[name].valid and shown(name, a, spec.fps)]
        if values:
            bounds[name] = bound(values, rule, LIMITS.get(name, (-1e3, 1e3)))
    motion = {"any": [f["dynamics"].value for _, f in found]}
    for scene, finding in found:
        motion.setdefault(scene["event"], []).append(finding["dynamics"].value)
    bounds["dynamics"] = {
        event: [round(DYNAMICS[0] * min(values), 2), round(DYNAMICS[1] * max(values), 2)]
        for event, values in motion.items()
    }
    return bounds


def shown(name: str, scene: Mapping[str, Any], fps: float) -> bool:
    return verdict.shown(scene, fps).get(name, True)


def bound(
    values: Sequence[float], rule: Sequence[float | None], limits: tuple[float, float] = (-1e3, 1e3)
) -> list[float]:
    """[least, most] of true values by one of `RULES`, within limits."""
    low, high, below, above = rule
    least = np.quantile(values, low) - below if low is not None else limits[0]
    most = np.quantile(values, high) + above if high is not None else limits[1]
    return [round(float(max(least, limits[0])), 4), round(float(min(most, limits[1])), 4)]


def report(
    spec: WorldSpec, bounds: Mapping[str, Any], count: int, corrupted: int
) -> dict[str, Any]:
    """Pass rates of true clips and of all corruptions.

    Args:
      count: true clips.
      corrupted: clips of each corruption, at most: of the first true ones that it applies to.

    Returns:
      {"true": {"clips", "passed", "failed": {gate: clips}, "judged": {gate: clips that have it},
      "recall"}, "corruptions": {name: the same without recall}, "seconds_per_clip"}.
    """
    thresholds, seconds = {"slices": {spec.slice: bounds}}, []
    true, wrong = [], {name: [] for name in corruptions.CORRUPTIONS}
    for index in range(REPORT, REPORT + count):
        frames, scene = read_true(index, spec)
        start = time.process_time()
        true.append((scene, verdict.judge_clip(frames, spec.fps, scene, thresholds)))
        seconds.append(time.process_time() - start)
        for name in corruptions.CORRUPTIONS:
            if len(wrong[name]) < corrupted and corruptions.applies(name, scene):
                shot = corruptions.stage(SPLIT, index, spec)[0]
                rng = np.random.default_rng(index)
                frames = corruptions.corrupt(name, shot, 1.0, rng, spec.fps)
                frames = stored(frames, spec.fps)
                wrong[name].append(verdict.judge_clip(frames, spec.fps, scene, thresholds))
    return {
        "true": summary([v for _, v in true]) | {"recall": recall(true)},
        "corruptions": {name: summary(verdicts) for name, verdicts in wrong.items()},
        "seconds_per_clip": float(np.mean(seconds[1:])),
    }


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


def recall(true: Sequence[tuple[dict, verdict.Verdict]]) -> dict[str, float]:
    """Share of the objects of the scenes that are seen, and of their frames."""
    objects, frames = [0, 0], [0, 0]
    for scene, judged in true:
        lost = judged.findings["identity"].evidence["lost"]
        missing = judged.findings["alignment_color"].evidence["missing"]
        objects[0] += scene["num_objects"] * len(scene["shots"])
        objects[1] += len(missing)
        total = sum(shot["num_frames"] for shot in scene["shots"])
        frames[0] += scene["num_objects"] * total
        frames[1] += len(lost)
    return {"objects": 1 - objects[1] / objects[0], "frames": 1 - frames[1] / frames[0]}


def table(results: Mapping[str, Any]) -> str:
    """Markdown of a `report`."""
    lines = ["| clips | number | pass | 95 % interval | gates that shut, in % of the clips |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, part in {"true": results["true"], **results["corruptions"]}.items():
        if not part["clips"]:
            continue
        rate, low, high, _ = intervals.share(part["passed"], part["clips"])
        gates = sorted(part["failed"].items(), key=lambda item: -item[1])
        caught = ", ".join(f"{gate} {100 * n / part['clips']:.0f}" for gate, n in gates[:5])
        lines.append(f"| {name} | {part['clips']} | {rate:.3f} | {low:.2f}-{high:.2f} | {caught} |")
    return "\n".join(lines)
