"""Shots of which one attribute is another in the record alone: for captions that are wrong.

No change makes a pair of colour and shape that a split does not show, or a camera move that looks
like the true one.

A text alone must not tell that it is wrong, or nobody need look at the clip. So what is said in the
place of the truth comes as often as it is true in scenes that are like this one else: a right word
and a wrong one are as likely the other way round.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from seedance_jax.data.world import paths, vocabulary
from seedance_jax.data.world.checks import REBOUND_SPEED, Shot, direction, rebounds
from seedance_jax.data.world.events import UPRIGHT
from seedance_jax.data.world.fragments import COUNT
from seedance_jax.data.world.scene import choose
from seedance_jax.data.world.spec import OLD_WORLD
from seedance_jax.data.world.staging import draw_moves, draw_said

# Events that are told in the place of each other, with the shapes of their objects: those that go
# somewhere, and those that do not. (What is thrown falls, too; so of these none is of the other.)
GOING = {"roll": ("ball", "cylinder"), "slide": UPRIGHT, "throw": ("ball", *UPRIGHT)}
STAYING = {"drop": UPRIGHT, "spin": UPRIGHT}  # without balls, whose captions tell if they bounce
SHAPES = {**GOING, **dict.fromkeys(("drop", "spin", "break", "collide"), ("ball", *UPRIGHT))}
BALL = 0.6  # as often as another shape, see `Draw.body`
# Of what else is met, by the event.
MET = {"collide": ("ball", *UPRIGHT), "topple": ("pillar",)}
DIRECTED = ("roll", "slide", "throw", "collide", "topple", "occlude")
SIDEWAYS = ("throw", "collide", "topple", "occlude")  # to the left or to the right alone
ALONG = {"left": 1.0, "right": 1.0, "towards": 1 / 3, "away": 1 / 3}  # how often, where all come
CAMERAS = 3  # other cameras that are tried


def with_scene(shot: Shot, **fields: Any) -> Shot:
    """The shot with other fields of its scene."""
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
        yield with_scene(shot, bodies=bodies)


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
            # Of the main object captions tell whether it bounces, if it is a ball.
            bounces = k == 0 and shot.scene.event in ("drop", "throw")
            legal = shape in spec.allowed.shapes and shape != body.shape
            legal &= not (bounces and "ball" in (shape, body.shape))
            if legal and rng.random() < _weight(shape, spec):
                yield from _with_looks(shot, {k: (body.color, shape)}, split)


def _shapes_of(shot: Shot, k: int) -> tuple:
    """The shapes that object k may have in the event of a shot, beside its own."""
    event = shot.scene.event
    if event == "rest":
        return ("ball", *UPRIGHT, "pillar")
    if k == 0:
        return () if event in ("collide", "topple", "occlude", "push") else SHAPES[event]
    if event == "drop":
        return SHAPES[event]
    return MET.get(event, UPRIGHT) if k == 1 else UPRIGHT


def _weight(shape, spec):
    return BALL if shape == "ball" and spec.version != OLD_WORLD else 1.0


def _counts(shot, spec, split, rng):
    scene = shot.scene
    if scene.event == "break":
        own = len(scene.fragments)
        for count in range(COUNT[0], COUNT[1] + 1):
            if count != own:
                yield with_scene(shot, fragments=(scene.fragments * COUNT[1])[:count])
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
        for angle in (90, 180, 270):
            other = _heading(shot, np.radians(angle))
            word, often = direction(other, 0), rng.random()
            if (
                word not in ("", own)
                and often < ALONG[word]
                and not (sideways and word in ("towards", "away"))
            ):
                yield other


def _heading(shot: Shot, angle: float) -> Shot:
    """As if the main object had gone so much further to the left, seen from above."""
    c, s = np.cos(angle), np.sin(angle)
    position = shot.motion.position.copy()
    way = position[:, 0, :2] - position[0, 0, :2]
    position[:, 0, :2] = position[0, 0, :2] + way @ np.array([[c, s], [-s, c]])
    return _moving(shot, position=position)


def _events(shot, spec, split, rng):
    own = shot.scene.event
    group = next((group for group in (GOING, STAYING) if own in group), {})
    events = [event for event in group if event in spec.allowed.events]
    likely = np.array([_likelihood(shot, event, group, spec) for event in events])
    if likely.sum() > 0:
        event = events[rng.choice(len(events), p=likely / likely.sum())]
        if event != own and (group is GOING or len(shot.scene.bodies) == 1):
            yield with_scene(shot, event=event)


def _likelihood(shot, event, group, spec):
    """How often an event has such an object that goes such a way, beside the others of a group."""
    body, shapes = shot.scene.bodies[0], group[event]
    if body.shape not in shapes or (group is GOING and not direction(shot, 0)):
        return 0.0
    textures = {"spin": ("striped",), "roll": [t for t in spec.allowed.textures if t != "solid"]}
    textures = textures.get(event) or spec.allowed.textures
    if body.texture not in textures:
        return 0.0
    across = direction(shot, 0) in ("left", "right")
    along = {False: 1.0, True: 0.75 if across else 0.25}[spec.allowed.companions]
    way = along if event not in SIDEWAYS else float(across)
    weights = {shape: _weight(shape, spec) for shape in shapes}
    share = weights[body.shape] / sum(weights.values())
    return share * way / len(textures) * spec.allowed.events[event]


def _cameras(shot, spec, split, rng):
    plan = shot.plan
    if plan.steps and "moves" not in plan.said:
        return  # captions do not tell of it
    moves = [move for step in plan.steps for move in step.moves] or [plan.move]
    axes = {paths.axis_of(move) for move in moves} - {"static"}
    for axis in sorted(axes) if plan.steps else ():
        steps = tuple(_reversed(step, axis) for step in plan.steps)
        yield dataclasses.replace(shot, plan=dataclasses.replace(plan, steps=steps))
    alike = {other for axis in axes for other in paths.ALIKE.get(axis, ())}
    for _ in range(CAMERAS):
        other = _other_plan(plan, (len(shot.area) - 1) / spec.fps, spec, rng)
        told = {move for step in other.steps for move in step.moves} or {other.move}
        if told != {*moves} and not alike & {paths.axis_of(move) for move in told}:
            yield dataclasses.replace(shot, plan=other)


def _other_plan(plan, seconds, spec, rng):
    """A plan as the world draws them, told as the true one is, if that moves."""
    if spec.version == OLD_WORLD:
        return dataclasses.replace(plan, move=choose(rng, spec.allowed.moves))
    steps = None
    while steps is None:
        kind, moves = draw_moves(rng, spec.allowed, True)
        steps = () if moves == ["static"] else paths.draw_steps(rng, kind, moves, seconds)
    said = plan.said if plan.steps else tuple(dict.fromkeys((*draw_said(rng), "moves")))
    move = moves[0] if len(moves) == 1 and kind != "back" else "path"
    return dataclasses.replace(plan, move=move, kind=kind, steps=steps, path=(), said=said)


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
