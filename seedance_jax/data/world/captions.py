"""Captions, derived from what was simulated and filmed."""

from seedance_jax.data.world import vocabulary as words
from seedance_jax.data.world.checks import Shot, direction, rebounds
from seedance_jax.data.world.scene import Body

TIMES = ("", "", " twice", " three times", " four times", " five times")
DIRECTIONS = {
    "left": "to the left",
    "right": "to the right",
    "towards": "towards the camera",
    "away": "away from the camera",
}


def captions(shot: Shot, slice_name: str) -> tuple:
    """(full caption, caption of the motion alone: no looks, no place)."""
    camera = words.CAMERA_MOVES[shot.scene.camera.move].sentence
    allowed = words.SLICES[slice_name]
    names = [_described(body, allowed) for body in shot.scene.bodies]
    place = f"{_article(shot.scene.floor)} floor"
    sentence = SENTENCES[shot.scene.event]
    full = sentence(shot, names, place) + _time(shot, allowed) + "." + _bystander(shot, names)
    motion = sentence(shot, _bare_names(shot.scene.bodies), "") + "."
    return f"{_capital(full)} {camera}", f"{_capital(motion)} {camera}"


def _described(body: Body, allowed: words.Slice) -> str:
    """Size only where sizes differ, texture only where there is one."""
    parts = [body.size] if len(allowed.sizes) > 1 else []
    parts += [body.texture] if body.texture != "solid" else []
    return _article(" ".join([*parts, body.color, body.shape]))


def _bare_names(bodies) -> list:
    names = []
    for k, body in enumerate(bodies):
        same = sum(other.shape == body.shape for other in bodies[:k])
        names.append(f"{('the', 'another', 'a third')[same]} {body.shape}")
    return names


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _listed(names) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _on(place: str, word: str = "on") -> str:
    return f" {word} {place}" if place else ""


def _time(shot: Shot, allowed: words.Slice) -> str:
    several = len(allowed.times_of_day) > 1
    return ", " + words.TIMES_OF_DAY[shot.scene.time_of_day].phrase if several else ""


def _bystander(shot: Shot, names) -> str:
    """A sentence for the object that takes no part, where there is one."""
    event_objects = {"drop": len(names), "collide": 2, "topple": 2, "occlude": 2}
    rest = names[event_objects.get(shot.scene.event, 1) :]
    return f" {_capital(rest[0])} stands in the background." if rest else ""


def _drop(shot, names, place):
    if len(names) > 1:
        return f"{_listed(names)} fall{_on(place, 'onto')}"
    count = rebounds(shot, 0) if shot.scene.bodies[0].shape == "ball" else 0
    return f"{names[0]} falls{_on(place, 'onto')}" + (
        f" and bounces{TIMES[count]}" if count else ""
    )


def _goes(verb):
    def sentence(shot, names, place):
        return f"{names[0]} {verb} {DIRECTIONS[direction(shot, 0)]}{_on(place)}"

    return sentence


def _throw(shot, names, place):
    landing = _on(place, "onto") or " and lands"
    return f"{names[0]} is thrown {DIRECTIONS[direction(shot, 0)]}{landing}"


def _spin(shot, names, place):
    """Clockwise as seen from above, where all cameras are."""
    turning = shot.motion.velocity[: shot.last + 1, 0, 5].mean()
    return f"{names[0]} spins {'counterclockwise' if turning > 0 else 'clockwise'}{_on(place)}"


def _meets(what):
    def sentence(shot, names, place):
        where = DIRECTIONS[direction(shot, 0)]
        return f"{names[0]} rolls {where} and {what} {names[1]}{_on(place)}"

    return sentence


def _occlude(shot, names, place):
    where = DIRECTIONS[direction(shot, 0)]
    return f"{names[0]} rolls {where}{_on(place)}, goes behind {names[1]} and re-appears"


SENTENCES = {
    "drop": _drop,
    "roll": _goes("rolls"),
    "slide": _goes("slides"),
    "throw": _throw,
    "spin": _spin,
    "collide": _meets("hits"),
    "topple": _meets("knocks over"),
    "occlude": _occlude,
}
