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
from seedance_jax.data.world.language.camera_words import tell_camera
from seedance_jax.data.world.language.chapters import caption_long
from seedance_jax.data.world.language.naming import (
    article,
    bare_names,
    capital,
    listed,
    looks_of,
    on,
    place_of,
    time_of,
)
from seedance_jax.data.world.quantities import QUANTITIES
from seedance_jax.data.world.scene import Scene
from seedance_jax.data.world.spec import WorldSpec

TIMES = ("", "", " twice", " three times", " four times", " five times")  # more in figures
DIRECTIONS = {
    "left": "to the left",
    "right": "to the right",
    "towards": "towards the camera",
    "away": "away from the camera",
}


def captions(shots: list, spec: WorldSpec) -> tuple:
    """(caption, caption of the motion alone: no looks, no place, captions of the shots).

    Every shot tells where things go before its own camera.
    """
    if len(shots) > 1:
        return _caption_cut(shots, spec)
    if spec.allowed.long:
        return caption_long(*shots, spec.allowed)
    if spec.is_still:
        return _caption_picture(*shots, spec.allowed)
    return _caption_single(*shots, spec)


def _caption_picture(shot: Shot, allowed: vocabulary.Slice) -> tuple:
    scene = shot.scene
    names = [article(looks_of(body, allowed)) for body in scene.bodies]
    full = f"A picture of {listed(names)} on {place_of(scene)}{time_of(scene, allowed)}."
    return full, "", [full]


def _caption_single(shot: Shot, spec: WorldSpec) -> tuple:
    scene, sentence, allowed = shot.scene, SENTENCES[shot.scene.event], spec.allowed
    names = [article(looks_of(body, allowed)) for body in scene.bodies]
    full = sentence(shot, names, place_of(scene)) + time_of(scene, allowed) + "."
    full = _filmed(shot, full + _bystander(shot, names) + tell_physics(scene), spec)
    motion = sentence(shot, bare_names(scene.bodies), "") + "."
    return full, _filmed(shot, motion, spec), [full]


def _caption_cut(shots: list, spec: WorldSpec) -> tuple:
    scene, allowed = shots[0].scene, spec.allowed
    looks, place, time = (
        looks_of(scene.bodies[0], allowed),
        place_of(scene),
        time_of(scene, allowed),
    )
    going, where = vocabulary.TWO_SHOT_EVENTS[scene.event]
    sentence = OPENINGS.get(scene.event, SENTENCES[scene.event])
    first = sentence(shots[0], [article(looks)], place) + time + "." + tell_physics(scene)
    second = CONTINUATIONS[scene.event](shots, f"the {looks}") + "."
    return (
        f"Two shots of {article(looks)} {going} {where} {place}{time}.",
        f"Two shots of the {scene.bodies[0].shape} {going}.",
        [_filmed(shots[0], first, spec), _filmed(shots[1], second, spec)],
    )


def _filmed(shot: Shot, text: str, spec: WorldSpec) -> str:
    if shot.plan.steps and "moves" not in shot.plan.said:
        return capital(text)
    return f"{capital(text)} {tell_camera(shot.plan, (len(shot.area) - 1) / spec.fps)}"


def tell_physics(scene: Scene) -> str:
    """Sentences for the numbers that captions tell, in words or as numbers; "" for none."""
    parts = []
    for name in ("gravity", "bounciness", "friction"):
        value, quantity = scene.numbers.get(name), QUANTITIES[name]
        if name in scene.said and quantity.word(value):
            parts.append(PHYSICS_WORDS[name].format(quantity.word(value)))
        if f"{name} number" in scene.said:
            unit = f" {quantity.unit}" if quantity.unit else ""
            parts.append(f"The {name} is {value:.{1 if unit else 2}f}{unit}.")
    return "".join(f" {part}" for part in parts)


PHYSICS_WORDS = {
    "gravity": "Gravity is {}.",
    "bounciness": "It is {}.",
    "friction": "The floor is {}.",
}


def _bystander(shot: Shot, names) -> str:
    """A sentence for the object that takes no part, where there is one."""
    event_objects = {"collide": 2, "topple": 2, "occlude": 2, "push": 3}
    event_objects |= dict.fromkeys(("drop", "rest"), len(names))
    rest = names[event_objects.get(shot.scene.event, 1) :]
    return f" {capital(rest[0])} stands in the background." if rest else ""


def _drop(shot, names, place):
    if len(names) > 1:
        return f"{listed(names)} fall{on(place, 'onto')}"
    count = rebounds(shot, 0) if shot.scene.bodies[0].shape == "ball" else 0
    times = TIMES[count] if count < len(TIMES) else f" {count} times"
    return f"{names[0]} falls{on(place, 'onto')}" + (f" and bounces{times}" if count else "")


def _goes(verb):
    def sentence(shot, names, place):
        return f"{names[0]} {verb} {DIRECTIONS[direction(shot, 0)]}{on(place)}"

    return sentence


def _throw(shot, names, place):
    landing = on(place, "onto") or " and lands"
    return f"{names[0]} is thrown {DIRECTIONS[direction(shot, 0)]}{landing}"


def _spin(shot, names, place):
    """Clockwise as seen from above, where all cameras are."""
    turning = shot.motion.velocity[: shot.last + 1, 0, 5].mean()
    return f"{names[0]} spins {'counterclockwise' if turning > 0 else 'clockwise'}{on(place)}"


def _meets(what):
    def sentence(shot, names, place):
        where = DIRECTIONS[direction(shot, 0)]
        return f"{names[0]} rolls {where} and {what} {names[1]}{on(place)}"

    return sentence


def _occlude(shot, names, place):
    where = DIRECTIONS[direction(shot, 0)]
    return f"{names[0]} rolls {where}{on(place)}, goes behind {names[1]} and re-appears"


def _push(shot, names, place):
    where = DIRECTIONS[direction(shot, 0)]
    return f"{names[0]} rolls {where} and pushes {names[1]} off {names[2]}{on(place, 'onto')}"


def _break(shot, names, place):
    return f"{names[0]} falls{on(place, 'onto')} and breaks into {len(shot.scene.fragments)} pieces"


def _rest(shot, names, place):
    return f"{listed(names)} {'stand' if len(names) > 1 else 'stands'} still{on(place)}"


SENTENCES = {
    "push": _push,
    "break": _break,
    "rest": _rest,
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
