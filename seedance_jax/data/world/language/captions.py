"""Captions, derived from what was simulated and filmed."""

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.checks import (
    Shot,
    direction,
    in_the_air,
    lands,
    rebounds,
    stirs,
    turned,
)
from seedance_jax.data.world.scene import Body, Scene

TIMES = ("", "", " twice", " three times", " four times", " five times")
DIRECTIONS = {
    "left": "to the left",
    "right": "to the right",
    "towards": "towards the camera",
    "away": "away from the camera",
}


def captions(shots: list, slice_name: str) -> tuple:
    """(caption, caption of the motion alone: no looks, no place, captions of the shots).

    Every shot tells where things go before its own camera.
    """
    allowed = vocabulary.SLICES[slice_name]
    return _caption_cut(shots, allowed) if len(shots) > 1 else _caption_single(*shots, allowed)


def _caption_single(shot: Shot, allowed: vocabulary.Slice) -> tuple:
    scene, sentence = shot.scene, SENTENCES[shot.scene.event]
    names = [_article(_looks(body, allowed)) for body in scene.bodies]
    full = sentence(shot, names, _place(scene)) + _time(scene, allowed) + "."
    full = _filmed(shot, full + _bystander(shot, names))
    motion = sentence(shot, _bare_names(scene.bodies), "") + "."
    return full, _filmed(shot, motion), [full]


def _caption_cut(shots: list, allowed: vocabulary.Slice) -> tuple:
    scene = shots[0].scene
    looks, place, time = _looks(scene.bodies[0], allowed), _place(scene), _time(scene, allowed)
    going, where = vocabulary.TWO_SHOT_EVENTS[scene.event]
    sentence = OPENINGS.get(scene.event, SENTENCES[scene.event])
    first = sentence(shots[0], [_article(looks)], place) + time + "."
    second = CONTINUATIONS[scene.event](shots, f"the {looks}") + "."
    return (
        f"Two shots of {_article(looks)} {going} {where} {place}{time}.",
        f"Two shots of the {scene.bodies[0].shape} {going}.",
        [_filmed(shots[0], first), _filmed(shots[1], second)],
    )


def _filmed(shot: Shot, text: str) -> str:
    return f"{_capital(text)} {vocabulary.CAMERA_MOVES[shot.plan.move].sentence}"


def _looks(body: Body, allowed: vocabulary.Slice) -> str:
    """Size only where sizes differ, texture only where there is one."""
    parts = [body.size] if len(allowed.sizes) > 1 else []
    parts += [body.texture] if body.texture != "solid" else []
    return " ".join([*parts, body.color, body.shape])


def _bare_names(bodies) -> list:
    names = []
    for k, body in enumerate(bodies):
        same = sum(other.shape == body.shape for other in bodies[:k])
        names.append(f"{('the', 'another', 'a third')[same]} {body.shape}")
    return names


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _place(scene: Scene) -> str:
    return f"{_article(scene.floor)} floor"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _listed(names) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _on(place: str, word: str = "on") -> str:
    return f" {word} {place}" if place else ""


def _time(scene: Scene, allowed: vocabulary.Slice) -> str:
    several = len(allowed.times_of_day) > 1
    return ", " + vocabulary.TIMES_OF_DAY[scene.time_of_day].phrase if several else ""


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


def _thrown_up(shot, names, place):
    """A throw of which the first shot may end before the landing."""
    if lands(shot):
        return _throw(shot, names, place)
    return f"{names[0]} is thrown {DIRECTIONS[direction(shot, 0)]}"


def _goes_on(verb):
    def sentence(shots, name):
        return f"{name} {verb} {DIRECTIONS[direction(shots[1], 0)]}"

    return sentence


def _spins_on(shots, name):
    return _spin(shots[1], [name], "")


def _slides_on(shots, name):
    where = direction(shots[1], 0)
    if where:
        return f"{name} slides {DIRECTIONS[where]}"
    return f"{name} {'slides to a stop' if stirs(shots[1]) else 'stands still'}"


def _settles(shots, name):
    """After a landing; or, of a throw, before it."""
    first, second = shots
    where = direction(second, 0)
    way = f" {DIRECTIONS[where]}" if where else ""
    if lands(second) and not lands(first):
        return f"{name} flies{way} and lands" if way else f"{name} lands"
    if in_the_air(second):
        return f"{name} bounces{way}"
    if way:
        return f"{name} {_verb(second)}{way}"
    return f"{name} {'comes to rest' if stirs(second) else 'lies still'}"


def _verb(shot):
    if shot.scene.bodies[0].shape == "ball":
        return "rolls"
    return "tumbles" if turned(shot) > 30 else "slides"


# How the sentences of clips of two shots differ.
OPENINGS = {"throw": _thrown_up}
CONTINUATIONS = {
    "drop": _settles,
    "roll": _goes_on("rolls"),
    "slide": _slides_on,
    "throw": _settles,
    "spin": _spins_on,
}
