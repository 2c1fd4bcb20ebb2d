"""How captions tell of the camera, with words for speeds and numbers for amounts or without."""

import re

from seedance_jax.data.world import paths, vocabulary
from seedance_jax.data.world.quantities import QUANTITIES

UNITS = {"degrees": "degrees", "focal_ratio": "times", "metres": "metres"}
DIGITS = {"degrees": 0, "focal_ratio": 2, "metres": 1}
_VERBS = {
    move: vocabulary.CAMERA_MOVES[move].sentence.removeprefix("The camera ").rstrip(".")
    for move in vocabulary.CAMERA_MOVES
    if move != "static"
}
_BY = r"(?: by [0-9.]+ (?:degrees|times|metres))?"
_MOVE = rf"(?:{'|'.join(_VERBS.values())})(?: slowly| quickly)?{_BY}"
_STEP = rf"{_MOVE}(?: and {_MOVE})?(?: and back)?"
# The sentence of a path, at the end of a caption.
SENTENCE = re.compile(rf"The camera (?:{_STEP}(?:, then {_STEP})*|is static)\.$")


def tell_camera(plan: object, duration: float) -> str:
    """The sentence of a `scene.CameraPlan` over `duration` seconds, as its `said` wants it."""
    if not plan.steps:
        return vocabulary.CAMERA_MOVES[plan.move].sentence
    steps = [" and ".join(_moves(step, duration, plan.said)) for step in plan.steps]
    if plan.kind == "back":
        steps = [f"{steps[0]} and back"]
    return f"The camera {', then '.join(steps)}."


def _moves(step, duration, said):
    for move, speed in paths.speeds(step, duration).items():
        parts = [_VERBS[move]]
        word = QUANTITIES[f"{paths.axis_of(move)} speed"].word(speed)
        parts += [word] * ("words" in said and bool(word))
        if "numbers" in said:
            unit = vocabulary.CAMERA_MOVES[move].unit
            value = round(paths.number(move, step.moves[move]), DIGITS[unit])
            parts.append(f"by {value:g} {UNITS[unit]}")
        yield " ".join(parts)
