"""What is worse about a wrong clip of the world: the axes that each corruption is a flaw of.

A pair of severities of a corruption is a pair of each of its axes. On the axes of UNCHANGED the
most severe clip is as good as the true one: such ties teach a reward what it must not see.
"""

from collections.abc import Iterable

from seedance_jax.data.preferences.answers import AXES
from seedance_jax.data.world.vocabulary import ACCEPTANCE

# Things that go as nothing goes, or stop, or are gone from one frame to the next; a camera that is
# shaken, or jumps. Of the brightness that wobbles each frame alone looks good: it is motion, too.
MOTION = (
    *("freeze", "slow_gravity", "no_bounce", "linear_fall", "hover", "speed_up", "vanish"),
    *("teleport", "jitter", "disorder", "shuffled_frames", "lost_fragments", "stuck_fragments"),
    *("shaky_camera", "spurious_cut", "stagnate", "moved_hidden", "identity_swap"),
    "exposure_wobble",
)
# What captions of the world tell: the colour of a thing, that it is there, what happens (a clip in
# which nothing moves follows no prompt), and how the camera goes.
PROMPT = (
    *("recolor", "vanish", "freeze", "wrong_pan", "wrong_tilt", "wrong_roll", "wrong_zoom"),
    *("static_camera", "recolor_hidden"),
)
# What can be seen in a single frame.
AESTHETIC = ("noise", "blur", "overexposed", "underexposed")
# Things of the first frame that are others, or none, in later ones.
PRESERVATION = ("recolor", "recolor_hidden", "vanish", "identity_swap")
WORSE = {
    "prompt_following": PROMPT,
    "motion_quality": MOTION,
    "aesthetic_quality": AESTHETIC,
    "preservation": PRESERVATION,
}
# Whose corruptions a scene gets, in turn: there are most of motion, and those of preservation are
# corruptions of other axes, too.
TURNS = ("motion_quality", "prompt_following", "aesthetic_quality", "motion_quality")
UNCHANGED = {
    "prompt_following": ("noise", "blur"),
    "motion_quality": ("wrong_pan", "wrong_tilt", "wrong_roll", "wrong_zoom"),
    "aesthetic_quality": ("disorder", "shuffled_frames", "slow_gravity", "speed_up", "wrong_pan"),
    "preservation": ("slow_gravity", "linear_fall", "hover"),
}
CORRUPTIONS = tuple(dict.fromkeys(name for names in WORSE.values() for name in names))
TRAINING = tuple(name for name in CORRUPTIONS if name not in ACCEPTANCE)


def check_corruptions(names: Iterable[str], training: bool) -> None:
    """Raises ValueError for a name that is none, or, of training data, one that is kept from it."""
    legal = TRAINING if training else CORRUPTIONS
    for name in names:
        if training and name in ACCEPTANCE:
            raise ValueError(
                f"corruption={name!r} is kept from all training data, for rewards are tried on it: "
                f"use another split than train, or some of {sorted(legal)}"
            )
        if name not in legal:
            raise ValueError(f"corruption={name!r} is not one of {sorted(legal)}")


def check_axes(names: Iterable[str], where: str) -> tuple[str, ...]:
    """The names; ValueError, beginning with `where`, if one is no axis, or there is none."""
    names = tuple(names)
    for name in names:
        if name not in AXES:
            raise ValueError(f"{where}: dimension {name!r} is not one of {list(AXES)}")
    if not names:
        raise ValueError(f"{where}: name one or more of the dimensions {list(AXES)}")
    return names
