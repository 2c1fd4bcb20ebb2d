"""Thresholds of the judges, from true clips of one form.

Scenes are taken as they come from the simulator, one after the other: none is left out for what
its clip looks like. What a scene can show (a long flight, a hidden object) is told by its record.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data.world.spec import OLD_WORLD
from seedance_jax.evaluation.judges import quality, reduction, sight, true_clips, verdict
from seedance_jax.evaluation.judges.findings import Finding
from seedance_jax.evaluation.judges.forms import Form

SPLIT = "validation"
# First number of the clips that set the thresholds: far from those of any data set, and of those
# that reports are on (`trials`). Those in between were seen while the room in RULES was chosen.
CALIBRATION = 1_000_000

# Gate -> how its bounds follow from true clips: (lower quantile, upper quantile, room below,
# room above); a quantile of None is no bound.
RULES = {
    "alignment_shape": (0.005, None, 0.5, 0.0),
    "gravity": (0.005, 0.995, 0.15, 0.15),
    "bounce": (0.0, 1.0, 0.1, 0.1),
    "permanence": (None, 0.98, 0.0, 0.2),
    "camera_pan": (None, 0.995, 0.0, 2.5),
    "camera_zoom": (None, 0.995, 0.0, 4.0),
    "camera_orbit": (None, 0.995, 0.0, 4.0),
    "camera_roll": (None, 0.995, 0.0, 2.0),
    "camera_shake": (None, 0.995, 0.0, 0.3),
    "flicker": (None, 0.995, 0.0, 0.8),
    "exposure": (None, 0.995, 0.0, 0.5),
    "sharpness": (0.005, 0.995, 0.04, 0.04),
    "jitter": (None, 0.995, 0.0, 0.05),
    "identity": (None, 0.995, 0.0, 0.4),
    "fall": (0.005, 0.995, 0.08, 0.12),
    "fragments": (0.005, None, 0.05, 0.0),
    "spread": (0.005, None, 0.1, 0.0),
    "look_alike": (0.005, None, 0.1, 0.0),
    "appearance": (None, 0.995, 0.0, 0.3),
    "light": (0.005, 0.995, 0.03, 0.03),
    "noise": (None, 0.995, 0.0, 0.5),
}
# Of pictures: one frame varies more than the mean of many.
RULES_OF_PICTURES = {"sharpness": (0.005, 0.995, 0.04, 0.12)}
# No bounds are wider than these, whatever true clips have: a gate that lets a standing camera or a
# quarter of gravity pass is none, and true clips that are measured so badly fail.
LIMITS = {
    "gravity": (0.4, 1.7),
    "camera_pan": (-1e3, 5.0),
    "camera_zoom": (-1e3, 12.0),
    "camera_orbit": (-1e3, 12.0),
    "camera_roll": (-1e3, 6.0),
    "camera_shake": (-1e3, 1.5),
    "identity": (-1e3, 0.9),
    "permanence": (-1e3, 1.2),
    "jitter": (-1e3, 0.12),
    "fall": (0.7, 1.4),
    "fragments": (0.15, 1e3),
    "spread": (1.3, 1e3),
    "look_alike": (0.25, 1e3),
    "appearance": (-1e3, 0.9),
}
SHARPER = 0.01  # than what is blurred beyond all edges, at least
# Moves of the old world are longer, and at one speed.
OLD_LIMITS = {
    "camera_pan": (-1e3, 9.0),
    "camera_zoom": (-1e3, 8.0),
    "camera_orbit": (-1e3, 18.0),
    "jitter": (-1e3, 0.085),
}
# At fewer frames a second what speeds up or stops within a frame or two looks like trembling:
# bounds of these gates are by event then, within wider limits.
STEADY = 12
BY_EVENT = ("jitter",)
SLOW_LIMITS = {"jitter": (-1e3, 0.3)}
# Gates whose room and limits are pixels of a frame of 64.
IN_PIXELS = ("camera_pan", "camera_shake")
# Share of the least and the most motion of true clips of the same event.
DYNAMICS = (0.6, 1.6)


def calibrate(form: Form, count: int, each: Callable = map) -> dict[str, Any]:
    """{gate: [least, most]}, of some gates by event, from `count` true clips of a form.

    Args:
      each: (function, items) -> the results in order, such as `map` or by several processes.
    """
    indices = true_clips.shown_indices(form, SPLIT, CALIBRATION, count)
    found = list(each(functools.partial(measure_true, form), indices))
    bounds = {"alignment_event": [0.0, 1e3]}
    side = min(form.height, form.width) / reduction.factor_of(form.height, form.width)
    limits = LIMITS | OLD_LIMITS if form.version == OLD_WORLD else LIMITS
    limits = limits | SLOW_LIMITS if form.fps < STEADY else limits
    blurred = 1 / (2 * quality.reach(form.height, form.width))
    limits = limits | {"sharpness": (blurred + SHARPER, 1e3)}
    rules = RULES | RULES_OF_PICTURES if form.num_frames == 1 else RULES
    for name, rule in rules.items():
        shown_by = [(a, f[name]) for a, f in found if f[name].valid and shown(name, a, form.fps)]
        if shown_by:
            unit = side / 64 if name in IN_PIXELS else 1.0
            values = [(scene["event"], finding.value / unit) for scene, finding in shown_by]
            edges = functools.partial(bound, rule=rule, limits=limits.get(name, (-1e3, 1e3)))
            if form.fps < STEADY and name in BY_EVENT:
                bounds[name] = by_event(values, edges)
            else:
                bounds[name] = [edge * unit for edge in edges([value for _, value in values])]
    moving = [(a["event"], f["dynamics"].value) for a, f in found if f["dynamics"].valid]
    bounds["dynamics"] = by_event(moving, motion_bound) if moving else {}  # of pictures
    return bounds


def motion_bound(values: Sequence[float]) -> list[float]:
    """[least, most] of "dynamics", of those of true clips of an event."""
    return [round(DYNAMICS[0] * min(values), 2), round(DYNAMICS[1] * max(values), 2)]


def measure_true(form: Form, index: int) -> tuple[dict, dict[str, Finding]]:
    """(scene, {gate: `Finding`}) of a true clip."""
    frames, scene = true_clips.read(form, SPLIT, index)
    shots = sight.look(frames, verdict.shot_lengths(scene, frames), scene)
    return scene, verdict.measure(shots, form.fps, scene)


def shown(name: str, scene: Mapping[str, Any], fps: float) -> bool:
    """Whether a scene shows what a gate judges."""
    return verdict.shown(scene, fps).get(name, True)


def by_event(
    values: Sequence[tuple[str, float]], edges: Callable[[Sequence[float]], list[float]]
) -> dict[str, list[float]]:
    """{event or "any": `edges` of the values of its clips}, of (event, value) of clips."""
    own = {"any": [value for _, value in values]}
    for event, value in values:
        own.setdefault(event, []).append(value)
    return {event: edges(of_event) for event, of_event in own.items()}


def bound(
    values: Sequence[float], rule: Sequence[float | None], limits: tuple[float, float] = (-1e3, 1e3)
) -> list[float]:
    """[least, most] of true values by one of `RULES`, within limits."""
    low, high, below, above = rule
    least = np.quantile(values, low) - below if low is not None else limits[0]
    most = np.quantile(values, high) + above if high is not None else limits[1]
    return [round(float(max(least, limits[0])), 4), round(float(min(most, limits[1])), 4)]
