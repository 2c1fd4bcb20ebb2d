"""What a voter is asked, and in which order: drawn from a seed, the voter's name and the pair."""

import hashlib
from collections.abc import Sequence
from typing import Any

AXES = {
    "prompt_following": "Which shows better what the prompt says?",
    "motion_quality": "Which moves better: natural, smooth, lively?",
    "aesthetic_quality": "Which looks better: sharp, steady, pleasing?",
    "preservation": "Which keeps the given image better?",
}
FIRST, SECOND, TIE, CANNOT_TELL = ANSWERS = ("first", "second", "tie", "cannot_tell")
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


def check_answers(answers: Any, axes: Sequence[str]) -> None:
    """Raises ValueError unless each of the axes, and nothing else, has a legal answer."""
    if not isinstance(answers, dict) or set(answers) != set(axes):
        raise ValueError(f"answers={answers!r} must be of {list(axes)}")
    for axis, answer in answers.items():
        if answer not in ANSWERS:
            raise ValueError(f"{axis}={answer!r} is not one of {list(ANSWERS)}")
