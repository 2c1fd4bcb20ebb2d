"""The headings of a report: what is judged of a clip, by the axes that people vote on too.

SeedVideoBench-1.0 (arXiv:2506.09113) judges prompt following by subject, action and camera.
"""

from seedance_jax.evaluation import fidelity
from seedance_jax.evaluation.judges.findings import Finding
from seedance_jax.evaluation.judges.verdict import AXES as HEADINGS
from seedance_jax.evaluation.voting.ballot import DIMENSIONS as AXES

GIVEN = "given_frames"
# dB that the frames a model was given keep: an autoencoder loses some, the one that comes with the
# package leaves 31; frames of another scene of the world have 20 or less in common.
MIN_PSNR = 25.0
# Heading of a dimension -> axis.
AXIS = {
    "subject": "prompt_following",
    "action": "prompt_following",
    "camera": "prompt_following",
    "motion quality": "motion_quality",
    "aesthetic quality": "aesthetic_quality",
    "preservation": "preservation",
}
HEADING = {**HEADINGS, GIVEN: "preservation"}
assert set(AXIS.values()) == set(AXES), AXES


def preservation(frames, given):
    """(`Finding`, gate) of how well a clip uint8 [T,H,W,3] keeps the frames that it was given.

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


def gates_by(gates, of):
    """{heading or axis: whether all its gates are open}, of those that were asked.

    Args:
      gates: {dimension: True, False or None}.
      of: function of a dimension.
    """
    found = {}
    for name, gate in gates.items():
        if gate is not None:
            found[of(name)] = found.get(of(name), True) and gate
    return found


def heading(dimension):
    """Subject, action, camera, motion quality, aesthetic quality or preservation."""
    return HEADING[dimension]


def axis(dimension):
    """Of `AXES`."""
    return AXIS[HEADING[dimension]]
