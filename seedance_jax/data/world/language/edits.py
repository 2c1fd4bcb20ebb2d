"""Captions that are wrong about a clip in one attribute: the scene is changed, and told again.

Nothing is replaced in the text. A shot is changed in its record alone (the colour of an object, the
way it goes, how often it bounces ...) and captioned by the code that captions all of the world. No
edit makes a pair of colour and shape that a split does not show, an event that its object never
takes part in, or a camera move that looks like the true one.
"""

import collections
import dataclasses
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data.world import paths, vocabulary
from seedance_jax.data.world.checks import REBOUND_SPEED, Shot, direction, rebounds
from seedance_jax.data.world.events import UPRIGHT
from seedance_jax.data.world.fragments import COUNT
from seedance_jax.data.world.language.captions import captions
from seedance_jax.data.world.nature import SHOWS
from seedance_jax.data.world.spec import OLD_WORLD, WorldSpec

# Event -> the shapes of its main object, of those that may be told in the place of each other.
ALONE = {
    "drop": ("ball", *UPRIGHT),
    "roll": ("ball", "cylinder"),
    "slide": UPRIGHT,
    "throw": ("ball", *UPRIGHT),
    "spin": ("ball", *UPRIGHT),
}
# Event -> the shapes of what its ball meets.
MEETING = {"collide": ("ball", *UPRIGHT), "topple": ("pillar",), "occlude": UPRIGHT}
DIRECTED = ("roll", "slide", "throw", *MEETING)
SIDEWAYS = ("throw", *MEETING)  # go to the left or to the right alone


class Edit(NamedTuple):
    """A caption that is wrong in one attribute.

    attribute: one of `vocabulary.EDITED`. hard: all its words are in the true caption, so that it
    names what is in the scene, or it differs from that in one word alone.
    """

    attribute: str
    caption: str
    hard: bool


def edited(shot: Shot, spec: WorldSpec, split: str, rng: np.random.Generator) -> list[Edit]:
    """All edits of the caption of a clip of one shot, each caption once."""
    changed = edited_shots(shot, spec, split, rng)
    true, found = captions([shot], spec)[0], {}
    for attribute, other in changed:
        caption = captions([other], spec)[0]
        if caption != true:
            found.setdefault(caption, Edit(attribute, caption, is_hard(true, caption)))
    return list(found.values())


def edited_shots(
    shot: Shot, spec: WorldSpec, split: str, rng: np.random.Generator
) -> Iterator[tuple[str, Shot]]:
    """Yields (attribute, the shot with that alone changed), as captions would tell of it."""
    for attribute, changes in CHANGES.items():
        for other in changes(shot, spec, split, rng):
            yield attribute, other


def choose(found: list[Edit], count: int, rng: np.random.Generator) -> list[Edit]:
    """Up to `count` edits, as many hard ones as others, of different attributes where there are."""
    seen, ranked = collections.Counter(), []
    for number in rng.permutation(len(found)):
        edit = found[number]
        ranked.append((seen[edit.attribute, edit.hard], edit))
        seen[edit.attribute, edit.hard] += 1
    ordered = [edit for _, edit in sorted(ranked, key=lambda item: item[0])]
    hard = [edit for edit in ordered if edit.hard]
    easy = [edit for edit in ordered if not edit.hard]
    each = min(count // 2, len(hard), len(easy))
    return hard[:each] + easy[:each]


def is_hard(true: str, caption: str) -> bool:
    """Whether a wrong caption differs in one word, or has words of the true one alone."""
    one, other = words(true), words(caption)
    differ = sum(a != b for a, b in zip(one, other, strict=False))
    return (len(one) == len(other) and differ == 1) or set(other) <= set(one)


def words(caption: str) -> list[str]:
    """The words of a caption, articles alike."""
    found = re.findall(r"[a-z0-9.]*[a-z0-9]|-", caption.lower())
    return ["a" if word == "an" else word for word in found]


def attributes(shot: Shot) -> dict[str, Any]:
    """What captions tell of a shot, by the attribute that an edit changes."""
    scene, turning = shot.scene, shot.motion.velocity[: shot.last + 1, 0, 5].mean()
    return {
        "color": [body.color for body in scene.bodies],
        "shape": [body.shape for body in scene.bodies],
        "count": (len(scene.bodies), len(scene.fragments), rebounds(shot, 0)),
        "direction": (direction(shot, 0), bool(turning > 0)),
        "event": scene.event,
        "camera": (shot.plan.move, shot.plan.steps),
    }


def _scene(shot: Shot, **fields: Any) -> Shot:
    return dataclasses.replace(shot, scene=dataclasses.replace(shot.scene, **fields))


def _moving(shot: Shot, **fields: Any) -> Shot:
    return dataclasses.replace(shot, motion=dataclasses.replace(shot.motion, **fields))


def _with_looks(shot: Shot, looks: dict, split: str) -> Iterator[Shot]:
    """The shot with other (colour, shape) of objects, if the split may show them."""
    bodies = [*shot.scene.bodies]
    for k, (color, shape) in looks.items():
        if (shape in vocabulary.HELD_OUT[color]) != (split == "held_out_combinations"):
            return
        bodies[k] = dataclasses.replace(bodies[k], color=color, shape=shape)
    named = [(body.color, body.shape) for body in bodies]
    if len(set(named)) == len(named):
        yield _scene(shot, bodies=bodies)


def _objects(shot: Shot) -> list:
    """(number, Body) of what is no scenery."""
    return [
        (k, body)
        for k, body in enumerate(shot.scene.bodies)
        if body.shape not in vocabulary.SCENERY
    ]


def _colors(shot, spec, split, rng):
    found = _objects(shot)
    for k, body in found:
        for color in spec.allowed.colors:
            if color != body.color:
                yield from _with_looks(shot, {k: (color, body.shape)}, split)
    for n, (j, one) in enumerate(found):
        for k, other in found[n + 1 :]:
            swapped = {j: (other.color, one.shape), k: (one.color, other.shape)}
            yield from _with_looks(shot, swapped, split)


def _shapes(shot, spec, split, rng):
    for k, body in _objects(shot):
        for shape in _shapes_of(shot, k):
            if shape == body.shape or shape not in spec.allowed.shapes:
                continue
            bounces = "bounciness" in " ".join(shot.scene.said) or rebounds(shot, 0)
            if k or not (bounces and body.shape == "ball"):
                yield from _with_looks(shot, {k: (body.color, shape)}, split)


def _shapes_of(shot: Shot, k: int) -> tuple:
    """The shapes that object k may have in the event of a shot."""
    event = shot.scene.event
    if k == 0:
        return () if event in (*MEETING, "push") else ALONE.get(event, ALONE["drop"])
    return MEETING[event] if k == 1 and event in MEETING else UPRIGHT


def _counts(shot, spec, split, rng):
    scene = shot.scene
    if scene.event == "break":
        own = len(scene.fragments)
        for count in range(COUNT[0], COUNT[1] + 1):
            if count != own:
                yield _scene(shot, fragments=(scene.fragments * COUNT[1])[:count])
    if scene.event == "drop" and len(scene.bodies) == 1 and scene.bodies[0].shape == "ball":
        own = rebounds(shot, 0)
        for count in (own - 1, own + 1, own + 2):
            if count >= 0:
                yield _rebounding(shot, count)


def _rebounding(shot: Shot, count: int) -> Shot:
    """As if the main object had left the floor so often."""
    on_floor = np.zeros_like(shot.motion.on_floor)
    on_floor[: 2 * count : 2, 0] = True
    rise = np.full_like(shot.motion.rise, 2 * REBOUND_SPEED)
    return _moving(shot, on_floor=on_floor, rise=rise)


def _directions(shot, spec, split, rng):
    event, own = shot.scene.event, direction(shot, 0)
    if event == "spin":
        velocity = shot.motion.velocity.copy()
        velocity[:, 0, 5] *= -1
        yield _moving(shot, velocity=velocity)
    if event in DIRECTED and own:
        sideways = event in SIDEWAYS or not spec.allowed.companions
        legal = ("left", "right") if sideways else ("left", "right", "towards", "away")
        for angle in (90, 180, 270):
            other = _heading(shot, np.radians(angle))
            if (word := direction(other, 0)) != own and word in legal:
                yield other


def _heading(shot: Shot, angle: float) -> Shot:
    """As if the main object had gone so much further to the left, seen from above."""
    c, s = np.cos(angle), np.sin(angle)
    position = shot.motion.position.copy()
    way = position[:, 0, :2] - position[0, 0, :2]
    position[:, 0, :2] = position[0, 0, :2] + way @ np.array([[c, s], [-s, c]])
    return _moving(shot, position=position)


def _events(shot, spec, split, rng):
    own, bodies = shot.scene.event, shot.scene.bodies
    group = next((group for group in (ALONE, MEETING) if own in group), {})
    for event in (name for name in group if name != own and name in spec.allowed.events):
        fits = bodies[group is MEETING].shape in group[event]
        fits &= event not in DIRECTED or bool(direction(shot, 0))
        fits &= event != "spin" or bodies[0].texture == "striped"
        fits &= "drop" not in (own, event) or len(bodies) == 1
        fits &= (own, event) != ("throw", "drop")  # what is thrown falls, too
        fits &= not shot.scene.said or SHOWS.get(own) == SHOWS.get(event)
        fits &= event not in SIDEWAYS or direction(shot, 0) in ("left", "right")
        if fits:
            yield _scene(shot, event=event)


def _cameras(shot, spec, split, rng):
    plan = shot.plan
    if plan.steps and "moves" not in plan.said:
        return  # captions do not tell of it
    moves = [move for step in plan.steps for move in step.moves] or [plan.move]
    axes = {paths.axis_of(move) for move in moves}
    for axis in sorted(axes - {"static"}) if plan.steps else ():
        steps = [_reversed(step, axis) for step in plan.steps]
        yield dataclasses.replace(shot, plan=dataclasses.replace(plan, steps=tuple(steps)))
    seconds = (len(shot.area) - 1) / spec.fps
    for move in spec.allowed.moves:
        alike = paths.ALIKE.get(paths.axis_of(move), ())
        if move not in moves and not axes & set(alike):
            steps = _steps(move, seconds, spec, rng)
            fields = {"move": move, "kind": "single", "steps": steps or (), "path": ()}
            if steps is not None:
                yield dataclasses.replace(shot, plan=dataclasses.replace(plan, **fields))


def _steps(move, seconds, spec, rng):
    """Steps of one move; () of a standing camera, and in the old world; None if none fit."""
    if move == "static" or spec.version == OLD_WORLD:
        return ()
    return paths.draw_steps(rng, "single", [move], seconds)


def _reversed(step, axis):
    """A step with its move along an axis the other way."""
    moves = {
        paths.opposite(move) if paths.axis_of(move) == axis else move: amount
        for move, amount in step.moves.items()
    }
    return dataclasses.replace(step, moves=moves)


CHANGES = {
    "color": _colors,
    "shape": _shapes,
    "count": _counts,
    "direction": _directions,
    "event": _events,
    "camera": _cameras,
}
