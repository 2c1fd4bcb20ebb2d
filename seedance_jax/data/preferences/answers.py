"""The axes that people compare clips on, with what a voter is asked, and the legal answers."""

from collections.abc import Sequence
from typing import Any

AXES = {
    "prompt_following": "Which shows better what the prompt says?",
    "motion_quality": "Which moves better: natural, smooth, lively?",
    "aesthetic_quality": "Which looks better: sharp, steady, pleasing?",
    "preservation": "Which keeps the given image better?",
}
FIRST, SECOND, TIE, CANNOT_TELL = ANSWERS = ("first", "second", "tie", "cannot_tell")


def check_answers(answers: Any, axes: Sequence[str]) -> None:
    """Raises ValueError unless each of the axes, and nothing else, has a legal answer."""
    if not isinstance(answers, dict) or set(answers) != set(axes):
        raise ValueError(f"answers={answers!r} must be of {list(axes)}")
    for axis, answer in answers.items():
        if answer not in ANSWERS:
            raise ValueError(f"{axis}={answer!r} is not one of {list(ANSWERS)}")
