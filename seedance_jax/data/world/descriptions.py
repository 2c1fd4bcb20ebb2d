"""The scene of a record: what was simulated and filmed, in words and numbers, ready for JSON."""

import itertools

import numpy as np

from seedance_jax.data.world import paths, vocabulary
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.quantities import QUANTITIES
from seedance_jax.data.world.scene import Body, CameraPlan
from seedance_jax.data.world.spec import OLD_WORLD, WorldSpec

HIDDEN = 0.12  # visible share of an object under which it counts as hidden
PHYSICS = ("gravity", "bounciness", "friction")


def describe(shots: list, spec: WorldSpec, seed: tuple) -> dict:
    """The scene of shots; `camera` is that of the first. Those of the old world have less."""
    scene = shots[0].scene
    cameras = [_camera(shot.plan, shot, spec) for shot in shots]
    found = {
        "version": spec.version,
        "slice": spec.slice,
        "split": seed[0],
        "seed": list(seed[1:]),
        "event": scene.event,
        "objects": [_object(body, spec) for body in scene.bodies],
        "num_objects": len(scene.bodies),
        "floor": scene.floor,
        "time_of_day": scene.time_of_day,
        "camera": cameras[0],
        "shots": [
            {"num_frames": len(shot.area), "camera": camera}
            for shot, camera in zip(shots, cameras, strict=True)
        ],
        "gravity": scene.gravity,
        "numbers": scene.numbers,
        "training_ranges": scene.ranges,
        "outside_training_range": scene.outside,
    }
    return found if spec.version == OLD_WORLD else found | _additions(shots, scene, spec)


def _additions(shots, scene, spec):
    """What scenes have since 2.0.0."""
    labelled = PHYSICS if spec.allowed.physics_labels else ()
    return {
        "held_out": {
            name: [list(band) for band in QUANTITIES[name].held_out]
            for name in scene.numbers
            if name in QUANTITIES
        },
        "physics": {
            name: scene.numbers[name] for name in labelled if name in scene.numbers
        },  # labels to train with
        "said": list(scene.said),
        "fragments": [_fragment(body) for body in scene.fragments],
        "chapters": scene.chapters,
        "look_alikes": _look_alikes(scene),
        "hidden": hidden_intervals(shots),
        "flaw": {"name": scene.flaw[0], "severity": scene.flaw[1]} if scene.flaw else None,
    }


def _object(body: Body, spec):
    found = {
        "shape": body.shape,
        "color": body.color,
        "texture": body.texture,
        "size": body.size,
        "half_extents": [float(h) for h in body.half],
        "friction": body.friction,
        "restitution": body.restitution,
        "static": body.static,
    }
    if spec.version == OLD_WORLD:
        return found
    return found | {"scenery": body.shape in vocabulary.SCENERY, "moved": bool(body.path)}


def _fragment(body: Body):
    return {"of": body.number, "half_extents": [float(h) for h in body.half]}


def _look_alikes(scene):
    """Pairs of objects of one colour and shape."""
    looks = [(body.color, body.shape) for body in scene.bodies]
    pairs = itertools.combinations(range(len(looks)), 2)
    return [[j, k] for j, k in pairs if looks[j] == looks[k]]


def hidden_intervals(shots: list[Shot]) -> list:
    """[object, first frame, last frame] of all intervals in which something else hides it.

    What breaks, or leaves the frame, is not hidden.
    """
    found, start = [], 0
    for shot in shots:
        count = len(shot.scene.bodies)
        pixels, depth = shot.cameras.project(shot.motion.position[:, :count])
        size = np.array([shot.cameras.width, shot.cameras.height])
        inside = ((pixels > 0) & (pixels < size)).all(-1) & (depth > 0)
        inside &= shot.motion.exists[:, :count]
        hidden = (shot.visibility[:, :count] < HIDDEN) & inside[: len(shot.area)]
        for k in range(count):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden[:, k], [0]])))
            found += [[k, int(start + a), int(start + b) - 1] for a, b in edges.reshape(-1, 2)]
        start += len(shot.area)
    return found


def _camera(plan: CameraPlan, shot: Shot, spec: WorldSpec) -> dict:
    views = ("azimuth", "elevation", "focal")
    camera = {"move": plan.move} | {name: getattr(plan, name) for name in views}
    if plan.move != "path":
        move = vocabulary.CAMERA_MOVES[plan.move]
        camera |= {move.unit: plan.amount} if move.sign else {}
    if spec.version == OLD_WORLD:
        return camera
    seconds = (len(shot.area) - 1) / spec.fps
    return camera | {
        "kind": plan.kind,
        "said": list(plan.said),
        "steps": [
            {
                "moves": step.moves,
                "speeds": paths.speeds(step, seconds),
                "start": step.start * seconds,
                "stop": step.stop * seconds,
                "easing": step.easing,
            }
            for step in plan.steps
        ],
        "keyframes": [
            {"time": frame.time * seconds, "easing": frame.easing, **frame.values}
            for frame in plan.path
        ],
    }
