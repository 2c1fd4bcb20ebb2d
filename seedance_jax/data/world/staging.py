"""Scenes: an event with what stands about it, its light and its cameras."""

import dataclasses

import numpy as np

from seedance_jax.data.world import paths, vocabulary
from seedance_jax.data.world.camera import Rejected
from seedance_jax.data.world.events import EVENTS, UPRIGHT
from seedance_jax.data.world.fragments import pieces
from seedance_jax.data.world.nature import SHOWS
from seedance_jax.data.world.physics import nominal
from seedance_jax.data.world.quantities import QUANTITIES
from seedance_jax.data.world.scene import (
    Body,
    CameraPlan,
    Draw,
    Scene,
    choose,
    resting,
    turn,
)

# Size of the main object -> metres that the frame's shorter side shows, if the action fits.
VIEW_HEIGHT = {"large": (2.1, 2.5), "small": (1.8, 2.1)}
# Events that go differently under another gravity, and events that leave room for a bystander.
SHOW_GRAVITY = ("drop", "throw")
LEAVE_ROOM = ("roll", "slide", "throw", "spin")


def draw_cameras(shared: Draw, shots: int, still: bool) -> list:
    """(kind of path, moves) of every shot."""
    if shared.old:
        return [("single", [shared.choice(shared.slice.moves)]) for _ in range(shots)]
    rng = shared.stream("moves")
    return [
        ("single", ["static"]) if still else draw_moves(rng, shared.slice, shots == 1)
        for _ in range(shots)
    ]


def draw_moves(
    rng: np.random.Generator, allowed: vocabulary.Slice, whole: bool
) -> tuple[str, list[str]]:
    """(kind of path, its moves) of a camera; of a whole clip, or of a shot of several."""
    move, kind = choose(rng, allowed.moves), choose(rng, allowed.paths)
    if move == "static" or kind == "single" or not whole:
        return "single", [move]
    if kind == "back":
        return kind, [move]
    axes = ("static", paths.axis_of(move), *(paths.ALIKE.get(paths.axis_of(move), ())))
    others = [name for name in allowed.moves if paths.axis_of(name) not in axes]
    return kind, [move, choose(rng, others)]


def sample_scene(draw: Draw, event: str, cameras: list) -> Scene:
    """Draws the scene of one attempt; event and (kind of path, moves) a shot are the caller's."""
    draw.draw_gravity(matters=event in SHOW_GRAVITY)
    bodies = EVENTS[event](draw)
    if draw.nature.bounciness is not None and bodies[0].shape == "ball":
        bodies[0].restitution = draw.note("bounciness", draw.nature.bounciness)
        bodies[0].nominal = nominal(bodies[0].restitution)
    if draw.company and event in LEAVE_ROOM and draw.rng.random() < 0.3:
        bodies.append(_bystander(draw))
    # The sun stands on the cameras' side, so that the faces that are seen are lit.
    side = draw.side()
    if draw.nature.strange not in ("", "own", "camera", *draw.numbers):
        raise Rejected(f"does not show {draw.nature.strange}")
    return Scene(
        event=event,
        bodies=bodies,
        floor=draw.choice(draw.slice.floors),
        time_of_day=draw.choice(draw.slice.times_of_day),
        sun_azimuth=draw.azimuth + side * draw.uniform(25, 80),
        gravity=draw.gravity,
        cameras=_views(draw, cameras, VIEW_HEIGHT[bodies[0].size], side),
        numbers=draw.numbers,
        ranges=draw.ranges,
        outside=draw.outside,
        fragments=pieces(draw, bodies[0]) if event == "break" else [],
        said=_said(draw, event, cut=len(cameras) > 1),
    )


def _said(draw: Draw, event: str, cut: bool):
    """Which of the numbers that vary a caption tells, in words, as numbers, or both; of cut clips,
    whose captions are long enough, in words alone."""
    if draw.old or not draw.slice.physics_labels:
        return ()
    rng, said = draw.stream("words"), []
    for name in SHOWS.get(event, ()):
        words, number = rng.random(2).tolist()
        if name in draw.numbers:
            said += [name] * (words < 0.7) + [f"{name} number"] * (number < 0.4 and not cut)
    return tuple(said)


def _views(draw: Draw, cameras: list, view_height: tuple, side: float) -> list:
    """A camera for every shot; the second looks from the side, and from higher up."""
    azimuth, elevations = draw.azimuth, ((12, 24), (30, 45))
    plans = []
    for number, ((kind, moves), elevation) in enumerate(zip(cameras, elevations, strict=False)):
        move = moves[0] if len(moves) == 1 and kind != "back" else "path"
        low, high = vocabulary.CAMERA_MOVES[moves[0]].amount
        plan = CameraPlan(
            move=move,
            amount=draw.uniform(low, high),
            azimuth=azimuth,
            elevation=draw.uniform(*elevation),
            focal=draw.uniform(1.4, 1.8),
            view_height=draw.uniform(*view_height),
            kind=kind,
        )
        plans.append(plan if draw.old else _on_its_way(draw, plan, moves, (number, len(cameras))))
        azimuth = draw.azimuth + side * draw.uniform(45, 160)
    return plans


def _on_its_way(draw: Draw, plan: CameraPlan, moves: list, place: tuple) -> CameraPlan:
    """The plan with a drawn path, unless the camera stands still."""
    if moves == ["static"]:
        return plan
    rng, (number, shots) = draw.stream("camera"), place
    lengths = draw.spec.cut_lengths if shots > 1 else [draw.spec.num_frames]
    duration = max(lengths[number] - 1, 1) / draw.spec.fps
    strange = draw.nature.strange == "camera" and not number
    steps = paths.draw_steps(rng, plan.kind, moves, duration, strange)
    if steps is None:
        raise Rejected(f"{' and '.join(moves)} ({plan.kind}) do not fit into {duration:.2f} s")
    said = draw_said(rng)
    if shots > 1:  # as in `_said`
        said = ["moves"]
    first, speed = next(iter(paths.speeds(steps[0], duration).items()))
    name = f"{paths.axis_of(first)} speed"
    quantity = QUANTITIES[name]
    if not number:
        draw.numbers[name], draw.ranges[name] = speed, (quantity.low, quantity.high)
        draw.outside = name if strange else draw.outside
    return dataclasses.replace(
        plan,
        amount=paths.number(first, steps[0].moves[first]),
        steps=steps,
        path=paths.centred(paths.keyframes(steps)),
        said=tuple(said),
    )


def draw_said(rng: np.random.Generator) -> list[str]:
    """What a caption tells of a camera, see `scene.CameraPlan`."""
    words, numbers, moves_told = rng.random(3).tolist()
    said = ["words"] * (words < 0.6) + ["numbers"] * (numbers < 0.4) + ["moves"]
    return [] if moves_told < 0.05 else said


def _bystander(draw: Draw) -> Body:
    """An object that stands in the background and takes no part."""
    body = draw.body(UPRIGHT, size="small")
    body.position = resting(
        body.half[2], draw.side() * draw.uniform(0.3, 0.9), draw.uniform(1.1, 1.5)
    )
    body.quaternion = turn((0, 0, 1), draw.uniform(0, 6.28))
    body.static = True
    return body
