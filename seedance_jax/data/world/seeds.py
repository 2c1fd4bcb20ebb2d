"""Seeds: a stream of random numbers for each feature of each clip.

What is added to the world later draws from a stream of its own and leaves every other stream, and
with it the bytes of every scene that does not have the addition, as they were.
"""

import numpy as np

from seedance_jax.data.world.vocabulary import SPLITS

SCENE = "scene"  # objects, places and speeds: all that the world of the released weights draws


def seed_sequence(
    split: str, index: int, attempt: int, feature: str = SCENE, version: str = "2.0.0"
) -> np.random.SeedSequence:
    """The seed of a feature of one attempt at one clip; attempt 0 is for what attempts share."""
    own = () if feature == SCENE else (0, *feature.encode())
    place = SPLITS.index(split), index, attempt
    return np.random.SeedSequence([*version.encode(), *place, *own])


def generator(
    split: str, index: int, attempt: int, feature: str = SCENE, version: str = "2.0.0"
) -> np.random.Generator:
    """Its random numbers."""
    seed = seed_sequence(split, index, attempt, feature, version)
    return np.random.Generator(np.random.Philox(seed))
