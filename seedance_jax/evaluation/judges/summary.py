"""Shares of many verdicts, for reports: how often a generator does what it is asked for."""

import numpy as np

from seedance_jax.evaluation.judges import verdict

# Dimensions that reports call by a shorter name.
ACCURACIES = {
    "alignment_color": "color_accuracy",
    "alignment_shape": "shape_accuracy",
    "alignment_direction": "direction_accuracy",
}
CAMERA = ("camera_pan", "camera_zoom", "camera_orbit")


def judge_clips(clips, fps, asked):
    """The `Verdict`s on clips uint8 [N,T,H,W,3]; asked as `verdict.asked_of` makes it."""
    return [
        verdict.judge_clip(*clip) for clip in zip(clips, [fps] * len(asked), asked, strict=True)
    ]


def summarize(verdicts, asked):
    """Shares of clips of a single shot that pass, over all gates and by each; None of no clips.

    camera_accuracy is of all camera gates, moving_camera_accuracy of the clips whose camera should
    move: most stand. A clip that cannot be measured fails. has_object is the share with any object,
    moving that with one that moves as much as it should; motion is the mean in 8-bit levels.
    """
    passed = {
        ACCURACIES.get(name, name): share([v.gates[name] for v in verdicts])
        for name in verdict.DIMENSIONS
    }
    camera = [all(v.gates[name] for name in CAMERA) for v in verdicts]
    moving = [c for c, a in zip(camera, asked, strict=True) if a["camera"]["move"] != "static"]
    objects = [all(seen_colors(v)) for v in verdicts]
    moves = [o and v.gates["dynamics"] for o, v in zip(objects, verdicts, strict=True)]
    return {
        "passed": share([v.passed for v in verdicts]),
        **passed,
        "camera_accuracy": share(camera),
        "moving_camera_accuracy": share(moving),
        "has_object": share(objects),
        "moving": share(moves),
        "motion": float(np.mean([v.findings["dynamics"].value for v in verdicts])),
    }


def share(gates):
    """Share of the gates that are open; None if none was asked for."""
    gates = [gate for gate in gates if gate is not None]
    return float(np.mean(gates)) if gates else None


def seen_colors(judged):
    """The colours of each shot, the largest object's first."""
    return judged.findings["alignment_color"].evidence["seen"]


def summarize_shots(verdicts):
    """Shares of clips of several shots with their cuts in place, an object in every shot, whose
    largest has the same colour in all, and with the right colours in all; and that pass."""
    colors = [seen_colors(v) for v in verdicts]
    return {
        "passed": share([v.passed for v in verdicts]),
        "cut_in_place": share([v.gates["cuts"] for v in verdicts]),
        "has_object": share([all(shots) for shots in colors]),
        "same_color": share([all(s) and len({names[0] for names in s}) == 1 for s in colors]),
        "color_accuracy": share([v.gates["alignment_color"] for v in verdicts]),
    }


def chance(clips, fps, asked):
    """The `summarize` of clips that are judged by what the next one was asked for."""
    others = asked[1:] + asked[:1]
    return summarize(judge_clips(clips, fps, others), others)
