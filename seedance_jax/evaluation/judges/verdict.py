"""The verdict on a clip: what was measured, and which gates it passes.

    verdict = judge_clip(frames, fps, scene)
    verdict.passed, verdict.gates, verdict.findings["gravity"].value

Only pixels are looked at; `scene` is the record of the scene that the clip should show. Numbers
that true clips have were measured on a population of clips of the same form: see `forms`, and
`python -m seedance_jax calibrate`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.evaluation.judges import (
    camera_paths,
    continuity,
    cuts,
    forms,
    mechanics,
    objects,
    sight,
)
from seedance_jax.evaluation.judges import findings as measures
from seedance_jax.evaluation.judges.forms import Form

# Gate -> heading of the report.
HEADINGS = {
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
    "camera_roll": "camera",
    "camera_shake": "camera",
    "flicker": "aesthetic quality",
    "exposure": "aesthetic quality",
    "dynamics": "motion quality",
    "sharpness": "aesthetic quality",
    "jitter": "motion quality",
    "identity": "motion quality",
    "cuts": "camera",
    "alignment_floor": "subject",
    "fall": "motion quality",
    "fragments": "motion quality",
    "spread": "motion quality",
    "look_alike": "motion quality",
    "appearance": "motion quality",
    "light": "aesthetic quality",
    "noise": "aesthetic quality",
}
# Gates of what the old world does not have, or was not judged on.
NEW = (
    "alignment_floor",
    "fall",
    "fragments",
    "spread",
    "look_alike",
    "appearance",
    "light",
    "camera_roll",
    "camera_shake",
    "noise",
)
# Gates of single pictures.
OF_PICTURES = (
    "alignment_color",
    "alignment_shape",
    "alignment_count",
    "alignment_floor",
    "sharpness",
    "light",
    "noise",
)
GATES = tuple(HEADINGS)
RELATIONS = {"collide": "meets", "topple": "meets", "occlude": "behind", "push": "meets"}
NEEDED = ("version", "slice", "event", "objects", "num_objects", "shots", "gravity", "numbers")


class Verdict(NamedTuple):
    """What a clip shows.

    Attributes:
      findings: {gate: `Finding`}.
      gates: {gate: True, False, or None if the scene does not have it}.
    """

    findings: dict
    gates: dict

    @property
    def passed(self) -> bool:
        """Whether all gates that the scene has are open."""
        return all(gate is not False for gate in self.gates.values())

    @property
    def failed(self) -> list[str]:
        """The gates that are shut."""
        return [name for name, gate in self.gates.items() if gate is False]

    def as_json(self) -> dict[str, Any]:
        """A plain dict, ready for JSON."""
        found = {name: finding._asdict() for name, finding in self.findings.items()}
        return {"passed": self.passed, "gates": self.gates, "findings": found}


def judge_clip(
    frames: np.ndarray,
    fps: float,
    scene: Mapping[str, Any],
    thresholds: Mapping[str, Any] | None = None,
) -> Verdict:
    """The `Verdict` on frames uint8 [T,H,W,3].

    Args:
      fps: frames a second.
      scene: the record of the scene that the clip should show; with "direction" (see
        `data.world.showing`), that is judged too.
      thresholds: of `forms.read_thresholds`; None reads them.

    Raises:
      ValueError: these are no frames, or not as many as the scene has; the record lacks something;
        there are no thresholds for clips of this form.
    """
    sight.check_clip(frames, fps)
    lengths = shot_lengths(scene, frames)
    form = Form(*frames.shape[:3], fps, scene["slice"], scene["version"])
    bounds = of_event(forms.find_bounds(form, thresholds), scene["event"])
    shots = sight.look(frames, lengths, scene)
    found = measure(shots, fps, scene)
    return Verdict(found, gates(found, scene, fps, bounds))


def shot_lengths(scene: Mapping[str, Any], frames: np.ndarray) -> list[int]:
    """The lengths of the shots of a scene; raises ValueError if it is no such record."""
    missing = [name for name in NEEDED if name not in scene]
    if missing:
        raise ValueError(f"the record of the scene lacks {missing}; it has {sorted(scene)}")
    lengths = [shot["num_frames"] for shot in scene["shots"]]
    if sum(lengths) != len(frames):
        raise ValueError(f"the scene has shots of {lengths} frames, the clip has {len(frames)}")
    if min(lengths) < sight.MIN_FRAMES and lengths != [1]:
        raise ValueError(f"shots of {lengths} frames: one under {sight.MIN_FRAMES} is too short")
    return lengths


def measure(
    shots: Sequence[sight.Shot], fps: float, scene: Mapping[str, Any]
) -> dict[str, measures.Finding]:
    """All findings; {gate: `Finding`} in the order of `GATES`."""
    found_cuts = cuts.find_cuts(np.concatenate([shot.frames for shot in shots]), shots)
    found = {
        **measures.alignment(shots, fps, scene),
        **mechanics.mechanics(shots, fps, scene),
        **measures.cameras(shots, scene),
        **measures.looks(shots, scene),
        **measures.broken(shots, scene),
        **continuity.continuity(shots, fps, scene),
        **continuity.identities(shots, fps, scene),
        "cuts": measures.Finding(found_cuts, True, {"asked": [shot.start for shot in shots[1:]]}),
    }
    unasked = measures.Finding(None, False, {})
    return {name: found.get(name, unasked) for name in GATES}


def of_event(bounds: Mapping[str, Any], event: str) -> dict[str, Any]:
    """{gate: [least, most]} for an event, of the bounds of a form."""
    by_event = {name: part for name, part in bounds.items() if isinstance(part, Mapping)}
    own = {name: part.get(event, part.get("any")) for name, part in by_event.items()}
    return {**bounds, **own}  # of "dynamics" None of pictures


def shown(scene: Mapping[str, Any], fps: float) -> dict[str, bool]:
    """{gate: whether a scene shows it}, by its record; others are always shown."""
    if len(scene["shots"]) == 1 and scene["shots"][0]["num_frames"] == 1:
        return {name: name in OF_PICTURES for name in GATES}
    told = camera_paths.are_told(scene)
    prompted = mechanics.mechanics_shown(scene, fps) | dict.fromkeys(camera_paths.GATES, told)
    prompted |= {
        "alignment_direction": bool(scene.get("direction")) and scene["event"] != "spin",
        "alignment_relation": scene["event"] in RELATIONS,
        "fragments": bool(scene.get("fragments")),
        "spread": bool(scene.get("fragments")),
        "look_alike": bool(scene.get("look_alikes")),
        "appearance": continuity.hides(scene),
        "permanence": scene["event"] == "occlude" or continuity.hides(scene),
        "noise": False,
    }
    new = objects.is_new(scene)
    return prompted | {name: prompted.get(name, True) and new for name in NEW}


def gates(
    found: Mapping[str, measures.Finding],
    scene: Mapping[str, Any],
    fps: float,
    bounds: Mapping[str, Any],
) -> dict[str, bool | None]:
    """{gate: True, False or None}, see `Verdict`."""
    prompted = shown(scene, fps)
    right = {
        "alignment_color": True,
        "alignment_count": scene["num_objects"],
        "alignment_relation": RELATIONS.get(scene["event"]),
        "alignment_direction": scene.get("direction"),
        "alignment_floor": scene.get("floor"),
        "cuts": found["cuts"].evidence["asked"],
    }
    opened = {}
    for name, finding in found.items():
        if not prompted.get(name, True):
            opened[name] = None
        elif not finding.valid:
            opened[name] = False
        elif name in right:
            opened[name] = finding.value == right[name]
        else:
            low, high = bounds[name]
            opened[name] = low <= finding.value <= high
    return opened
