"""From (split, index) to a clip record: draw, simulate, film, check, perhaps again, render."""

import json

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.world import render, vocabulary
from seedance_jax.data.world.camera import Rejected, film
from seedance_jax.data.world.checks import Shot, check, preview, visible_pixels
from seedance_jax.data.world.events import sample_scene
from seedance_jax.data.world.language.captions import captions
from seedance_jax.data.world.physics import SLOTS, simulate
from seedance_jax.data.world.scene import CameraPlan, Draw, generator
from seedance_jax.data.world.spec import WORLD_VERSION, WorldSpec

ATTEMPTS = 200
# Metres of world that the frame's shorter side may show at most, by the objects in the event.
REACH = {"single": 2.9, "several": 3.4, "out_of_range": 4.6}


def make_clip(split: str, index: int, spec: WorldSpec, dense: bool = False) -> dict:
    """See `seedance_jax.data.world.generate`."""
    if split not in vocabulary.SPLITS:
        raise ValueError(f"split={split!r} is not one of {list(vocabulary.SPLITS)}")
    if index < 0:
        raise ValueError(f"index={index} is not one of 0, 1, 2, ...")
    shots, attempt = shoot(split, index, spec)
    full, motion_only, own = captions(shots, spec.slice)
    pieces = [_render(shot, dense) for shot in shots]
    return {
        "id": f"{split}/{index:06d}",
        "caption": full,
        "caption_motion": motion_only,
        "shots": schema.write_shots(
            [schema.Shot(len(shot.area), text) for shot, text in zip(shots, own, strict=True)]
        ),
        "fps": float(spec.fps),
        "num_frames": spec.num_frames,
        "height": spec.height,
        "width": spec.width,
        "scene": json.dumps(describe(shots, spec, (split, index, attempt))),
        **{name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]},
    }


def _render(shot: Shot, dense: bool) -> dict:
    """The fields of one shot that have a value per frame."""
    things = render.make_things(shot.scene, shot.motion.position, shot.motion.rotation)
    depth, seen, alone = render.trace(things, shot.cameras, len(shot.area))
    surroundings = render.make_surroundings(shot.scene)
    fields = {
        "frames": render.paint(things, shot.cameras, surroundings, depth, seen),
        **_motion_fields(shot, len(shot.area)),
        **_camera_fields(shot, len(shot.area)),
        "visibility": _slots(visible_pixels(seen, alone.shape[1]) / np.maximum(alone, 1)),
    }
    return fields | _dense_fields(things, shot, depth, seen) if dense else fields


def shoot(split: str, index: int, spec: WorldSpec) -> tuple:
    """The first acceptable attempt: (its one or two shots, number of the attempt).

    Cut, event and camera moves are drawn once for all attempts, so that hard ones do not become
    rare.
    """
    shared = Draw(generator(split, index, 0), split, spec)
    events, lengths = shared.slice.events, [spec.num_frames]
    if len(spec.cut_lengths) > 1 and shared.rng.random() < shared.slice.two_shot:
        lengths = spec.cut_lengths
        events = [name for name in vocabulary.TWO_SHOT_EVENTS if name in events]
    event, moves = shared.choice(events), [shared.choice(shared.slice.moves) for _ in lengths]
    for attempt in range(1, ATTEMPTS + 1):
        rng = generator(split, index, attempt)
        try:
            draw = Draw(rng, split, spec, alone=len(lengths) > 1)
            return try_shots(draw, event, moves, lengths), attempt
        except Rejected as error:
            reason = error
    raise RuntimeError(
        f"no clip for split={split!r} index={index} {spec} ({event}, camera {' then '.join(moves)})"
        f" in {ATTEMPTS} attempts; the last one failed because: {reason}"
    )


def try_shots(draw: Draw, event: str, moves: list, lengths: list) -> list:
    """One attempt: one simulation, filmed by a camera for every shot. Raises Rejected."""
    scene = sample_scene(draw, event, moves)
    motion = simulate(scene, draw.spec.num_frames, draw.spec.fps)
    several = event in ("drop", "collide", "topple", "occlude") and len(scene.bodies) > 1
    reach = REACH["several" if several else "single"]
    reach = REACH["out_of_range"] if scene.outside else reach
    shots, start = [], 0
    for plan, length in zip(scene.cameras, lengths, strict=True):
        part = motion.part(start, start + length)
        cameras = film(plan, part, _extents(scene), draw.spec.height, draw.spec.width, reach)
        shots.append(preview(scene, part, plan, cameras))
        start += length
    check(shots)
    return shots


def _extents(scene) -> np.ndarray:
    """Radius [K] that must stay in the frame: of whatever moves or is met, not of bystanders."""
    reach = {"ball": 1.0, "cube": 1.25, "cylinder": 1.1, "pillar": 1.0}  # corners stick out
    return np.array(
        [
            0.0 if body.static and scene.event != "occlude" else reach[body.shape] * max(body.half)
            for body in scene.bodies
        ]
    )


def describe(shots: list, spec: WorldSpec, seed: tuple) -> dict:
    """The scene in words and numbers, ready for JSON; `camera` is that of the first shot."""
    scene = shots[0].scene
    cameras = [_describe_camera(plan) for plan in scene.cameras]
    return {
        "version": WORLD_VERSION,
        "slice": spec.slice,
        "split": seed[0],
        "seed": list(seed[1:]),
        "event": scene.event,
        "objects": [
            {
                "shape": body.shape,
                "color": body.color,
                "texture": body.texture,
                "size": body.size,
                "half_extents": [float(h) for h in body.half],
                "friction": body.friction,
                "restitution": body.restitution,
                "static": body.static,
            }
            for body in scene.bodies
        ],
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


def _describe_camera(plan: CameraPlan) -> dict:
    move = vocabulary.CAMERA_MOVES[plan.move]
    views = ("azimuth", "elevation", "focal")
    camera = {"move": plan.move} | {name: getattr(plan, name) for name in views}
    return camera | ({move.unit: plan.amount} if move.sign else {})


def _slots(values) -> np.ndarray:
    """[T, K, ...] -> float32 [T, SLOTS, ...], zeros in the slots of absent objects."""
    padded = np.zeros((len(values), SLOTS, *values.shape[2:]), np.float32)
    padded[:, : values.shape[1]] = values
    return padded


def _motion_fields(shot: Shot, count: int) -> dict:
    motion = shot.motion
    return {
        "object_position": _slots(motion.position[:count]),
        "object_rotation": _slots(motion.rotation[:count]),
        "object_velocity": _slots(motion.velocity[:count]),
        "contacts": motion.contacts[:count],
    }


def _camera_fields(shot: Shot, count: int) -> dict:
    cameras = shot.cameras
    return {
        "camera_intrinsics": cameras.intrinsics[:count].astype(np.float32),
        "camera_rotation": cameras.rotation[:count].astype(np.float32),
        "camera_translation": cameras.translation[:count].astype(np.float32),
    }


def _dense_fields(things, shot: Shot, depth, seen) -> dict:
    flows = [render.optical_flow(things, shot.cameras, depth, seen, n) for n in range(len(seen))]
    both = np.array(flows, np.float16)  # [T, 2, H, W, 2]
    segmentation = np.where(seen == render.SKY, 255, seen.astype(np.int16) + 1).astype(np.uint8)
    return {
        "depth": depth.astype(np.float16),
        "segmentation": segmentation,
        "flow": both[:, 0],
        "camera_flow": both[:, 1],
    }
