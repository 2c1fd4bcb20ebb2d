"""Which axes a voter is asked of a pair, and the order: of a seed, the voter's name, the pair."""

import hashlib
from collections.abc import Sequence
from typing import Any

from seedance_jax.data.preferences.answers import AXES

NAME_LENGTH = 40


def axes_of(pair: Any) -> tuple[str, ...]:
    """The axes that can be asked of a pair: images do not move, text alone preserves none."""
    moves = pair.clips[0].settings["num_frames"] > 1
    left_out = {"motion_quality": not moves, "preservation": not pair.given}
    return tuple(name for name in AXES if not left_out.get(name))


def voter_name(text: Any) -> str:
    """A voter's name without the accidents of typing; raises ValueError if nothing is left."""
    name = " ".join(str(text).split()).casefold()
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise ValueError(f"voter {text!r}: give a name of 1 to {NAME_LENGTH} letters")
    return name


def draw(seed: int, voter: str, pair: Any) -> bytes:
    """32 random bytes of a voter and a pair, always the same."""
    return hashlib.sha256(f"{seed}\n{voter}\n{pair.id}".encode()).digest()


def order(pairs: Sequence[Any], voter: str, seed: int) -> list:
    """The pairs in the order in which a voter sees them."""
    return sorted(pairs, key=lambda pair: draw(seed, voter, pair)[1:])


def arrange(pair: Any, voter: str, seed: int) -> tuple:
    """The two clips of a pair in the order in which a voter sees them."""
    return pair.clips if draw(seed, voter, pair)[0] % 2 else pair.clips[::-1]
