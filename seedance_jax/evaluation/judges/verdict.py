"""The verdict on a clip: what was measured, and which gates it passes.

    verdict = judge_clip(frames, fps, asked)
    verdict.passed, verdict.gates, verdict.findings["gravity"].value

Only pixels are looked at; `asked` is the record of the scene that the clip should show. Numbers
that true clips have were measured on a population of them: see `thresholds.json`, and
`python -m seedance_jax calibrate`, which makes it.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seedance_jax.evaluation.judges import findings as measures
from seedance_jax.evaluation.judges import sight

THRESHOLDS = Path(__file__).with_name("thresholds.json")

# Dimension -> heading of the report.
AXES = {
    "alignment_color": "subject",
    "alignment_shape": "subject",
    "alignment_count": "subject",
    "alignment_relation": "action",
    "alignment_event": "action",
    "alignment_direction": "action",
    "gravity": "motion quality",
    "bounce": "motion quality",
    "permanence": "motion quality",
    "camera_pan": "camera",
    "camera_zoom": "camera",
    "camera_orbit": "camera",
    "flicker": "aesthetic quality",
    "exposure": "aesthetic quality",
    "dynamics": "motion quality",
    "sharpness": "aesthetic quality",
    "jitter": "motion quality",
    "identity": "motion quality",
    "cuts": "camera",
}
DIMENSIONS = tuple(AXES)
RELATIONS = {"collide": "meets", "topple": "meets", "occlude": "behind"}
NEEDED = ("slice", "event", "objects", "num_objects", "shots", "gravity", "numbers")


class Verdict(NamedTuple):
    """What a clip shows.

    Attributes:
      findings: {dimension: `Finding`}.
      gates: {dimension: True, False, or None if this was not asked of the clip}.
    """

    findings: dict
    gates: dict

    @property
    def passed(self):
        """Whether all gates that were asked for are open."""
        return all(gate is not False for gate in self.gates.values())

    @property
    def failed(self):
        """The dimensions whose gates are shut."""
        return [name for name, gate in self.gates.items() if gate is False]

    def as_json(self):
        """A plain dict, ready for JSON."""
        found = {name: finding._asdict() for name, finding in self.findings.items()}
        return {"passed": self.passed, "gates": self.gates, "findings": found}


def asked_of(row, numbers=None):
    """What frames of a record show: its scene, the lengths of its shots and the direction.

    Args:
      row: a record of the world with its ground truth.
      numbers: of the frames; None is all.

    The direction is that of the captions: before the first camera "left", "right", "towards" or
    "away"; "down" for what is dropped; "" for what hardly moves.
    """
    scene = json.loads(row["scene"])
    numbers = np.arange(row["num_frames"]) if numbers is None else np.asarray(numbers)
    of_frame = np.repeat(np.arange(len(scene["shots"])), [s["num_frames"] for s in scene["shots"]])
    seen, lengths = np.unique(of_frame[numbers], return_counts=True)
    shots = [scene["shots"][k] | {"num_frames": int(n)} for k, n in zip(seen, lengths, strict=True)]
    first = numbers[of_frame[numbers] == seen[0]]
    way = row["object_position"][first[-1], 0] - row["object_position"][first[0], 0]
    right, _, forward = row["camera_rotation"][first[0]] @ way
    if max(abs(right), abs(forward)) < 0.25:
        word = ""
    elif abs(right) >= abs(forward):
        word = "right" if right > 0 else "left"
    else:
        word = "away" if forward > 0 else "towards"
    word = "down" if scene["event"] == "drop" else word
    told = {"direction": word, "from_start": bool(numbers[0] == 0)}
    return scene | {"camera": shots[0]["camera"], "shots": shots} | told


def judge_clip(frames, fps, asked, thresholds=None):
    """The `Verdict` on frames uint8 [T,H,W,3].

    Args:
      fps: frames a second.
      asked: the scene of the clip's record, as a dict; with "direction" (see `asked_of`), it is
        judged too.
      thresholds: as in `thresholds.json`; None is that file.

    Raises:
      ValueError: these are no frames, or not as many as were asked for; the record lacks something.
    """
    sight.check_clip(frames, fps)
    lengths = check_asked(asked, frames)
    shots = sight.look(frames, lengths, asked)
    found = measure(shots, frames, fps, asked)
    bounds = choose_thresholds(asked, thresholds)
    return Verdict(found, gates(found, asked, fps, bounds))


def check_asked(asked, frames):
    """The lengths of the shots that are asked for; raises ValueError if it is no such record."""
    missing = [name for name in NEEDED if name not in asked]
    if missing:
        raise ValueError(f"the record of the scene lacks {missing}; it has {sorted(asked)}")
    lengths = [shot["num_frames"] for shot in asked["shots"]]
    if sum(lengths) != len(frames):
        raise ValueError(f"shots of {lengths} frames were asked for, the clip has {len(frames)}")
    if min(lengths) < sight.MIN_FRAMES:
        raise ValueError(f"shots of {lengths} frames: one under {sight.MIN_FRAMES} is too short")
    return lengths


def measure(shots, frames, fps, asked):
    """All findings; {dimension: `Finding`} in the order of `DIMENSIONS`."""
    cuts = sight.find_cuts(frames, shots)
    found = {
        **measures.alignment(shots, asked),
        **measures.mechanics(shots, fps, asked),
        **measures.cameras(shots, asked),
        **measures.looks(shots),
        **measures.continuity(shots, asked),
        "cuts": measures.Finding(cuts, True, {"asked": [shot.start for shot in shots[1:]]}),
    }
    return {name: found[name] for name in DIMENSIONS}


def choose_thresholds(asked, thresholds=None):
    """{dimension: [least, most]} for the slice and event of a scene.

    What a slice's own clips do not tell is that of "plain", which shows everything.
    """
    thresholds = json.loads(THRESHOLDS.read_text()) if thresholds is None else thresholds
    slices = thresholds["slices"]
    bounds = slices.get("plain", {}) | slices.get(asked["slice"], {})
    motion = bounds["dynamics"]
    return bounds | {"dynamics": motion.get(asked["event"], motion["any"])}


def shown(asked, fps):
    """{dimension: whether a scene shows it}, by its record; others are always shown."""
    return measures.mechanics_asked(asked, fps) | {
        "alignment_direction": bool(asked.get("direction")) and asked["event"] != "spin",
        "alignment_relation": asked["event"] in RELATIONS,
    }


def gates(found, asked, fps, bounds):
    """{dimension: True, False or None}, see `Verdict`."""
    asked_for = shown(asked, fps)
    right = {
        "alignment_color": True,
        "alignment_count": asked["num_objects"],
        "alignment_relation": RELATIONS.get(asked["event"]),
        "alignment_direction": asked.get("direction"),
        "cuts": found["cuts"].evidence["asked"],
    }
    opened = {}
    for name, finding in found.items():
        if not asked_for.get(name, True):
            opened[name] = None
        elif not finding.valid:
            opened[name] = False
        elif name in right:
            opened[name] = finding.value == right[name]
        else:
            low, high = bounds[name]
            opened[name] = low <= finding.value <= high
    return opened
