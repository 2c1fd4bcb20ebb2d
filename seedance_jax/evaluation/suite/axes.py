"""From gates to what a report has them under: headings, and the axes that people vote on.

A gate is one measured condition; a heading, such as motion quality, has several gates; an axis one
heading or several. SeedVideoBench-1.0 (arXiv:2506.09113) judges prompt following by subject, action
and camera.
"""

from collections.abc import Callable, Mapping

import numpy as np

from seedance_jax.data.preferences.answers import AXES
from seedance_jax.evaluation import fidelity
from seedance_jax.evaluation.judges import verdict
from seedance_jax.evaluation.judges.findings import Finding

GIVEN = "given_frames"
# dB that the frames a model was given keep: an autoencoder loses some, the one that comes with the
# package leaves 31; frames of another scene of the world have 20 or less in common.
MIN_PSNR = 25.0
# Heading -> axis.
AXIS = {
    "subject": "prompt_following",
    "action": "prompt_following",
    "camera": "prompt_following",
    "motion quality": "motion_quality",
    "aesthetic quality": "aesthetic_quality",
    "preservation": "preservation",
}
# Gate -> heading.
HEADINGS = {**verdict.HEADINGS, GIVEN: "preservation"}
assert set(AXIS.values()) == set(AXES), AXES


def preservation(
    frames: np.ndarray, given: Mapping[int, np.ndarray]
) -> tuple[Finding, bool | None]:
    """(`Finding` in dB, gate) of how well a clip uint8 [T,H,W,3] keeps the frames it was given.

    Args:
      given: {frame: image or clip that begins there}; none at all is no gate.
    """
    kept = {}
    for first, pixels in given.items():
        pixels = pixels[None] if pixels.ndim == 3 else pixels
        for number, image in enumerate(pixels, first):
            kept[number] = min(fidelity.psnr(frames[number], image), fidelity.MOST)
    if not kept:
        return Finding(None, False, {}), None
    least = min(kept.values())
    return Finding(least, True, {"decibels": kept}), least >= MIN_PSNR


def gates_by(gates: Mapping[str, bool | None], of: Callable[[str], str]) -> dict[str, bool]:
    """{heading or axis: whether all its gates are open}, of those that the scene has.

    Args:
      gates: {gate: True, False or None}.
      of: function of a gate: `heading` or `axis`.
    """
    found = {}
    for name, gate in gates.items():
        if gate is not None:
            found[of(name)] = found.get(of(name), True) and gate
    return found


def heading(gate: str) -> str:
    """Subject, action, camera, motion quality, aesthetic quality or preservation."""
    return HEADINGS[gate]


def axis(gate: str) -> str:
    """Of `AXES`."""
    return AXIS[HEADINGS[gate]]
