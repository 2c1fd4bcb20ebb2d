"""From (split, index) to a clip record: draw, simulate, film, check, perhaps again, render."""

import dataclasses
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.world import episodes, flaws, render, vocabulary
from seedance_jax.data.world.camera import Rejected, Unfilmable, film
from seedance_jax.data.world.checks import Shot, check, preview, visible_pixels
from seedance_jax.data.world.descriptions import describe
from seedance_jax.data.world.language.captions import captions
from seedance_jax.data.world.nature import draw_nature
from seedance_jax.data.world.physics import simulate
from seedance_jax.data.world.scene import Draw
from seedance_jax.data.world.spec import WorldSpec
from seedance_jax.data.world.staging import draw_cameras, sample_scene

ATTEMPTS = 200
PATIENCE, FARTHER = 25, 1.01  # attempts, and by how much each later one may see more
CHUNK = 24  # frames that are rendered at a time
# Metres of world that the frame's shorter side may show at most, by the objects in the event.
REACH = {"single": 2.9, "several": 3.4, "out_of_range": 4.6, "break": 4.0}
SEVERAL = ("drop", "collide", "topple", "occlude", "push", "break", "rest")


class Stream(NamedTuple):
    """A clip, rendered as its parts are taken: no more than CHUNK frames are held at a time.

    record: its fields without those that have a value per frame; parts: dicts of these, in turn.
    """

    record: dict
    parts: Iterator[dict]


def make_clip(split: str, index: int, spec: WorldSpec, dense: bool = False) -> dict:
    """See `seedance_jax.data.world.generate`."""
    record, parts = make_stream(split, index, spec, dense)
    pieces = list(parts)
    clip = record | {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return clip


def make_stream(split: str, index: int, spec: WorldSpec, dense: bool = False) -> Stream:
    """See `seedance_jax.data.world.stream`."""
    if split not in vocabulary.SPLITS:
        raise ValueError(f"split={split!r} is not one of {list(vocabulary.SPLITS)}")
    if index < 0:
        raise ValueError(f"index={index} is not one of 0, 1, 2, ...")
    shots, attempt = shoot(split, index, spec)
    full, motion_only, own = captions(shots, spec)
    record = {
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
    }
    return Stream(record, _parts(shots, dense))


def _parts(shots, dense):
    for shot in shots:
        for first in range(0, len(shot.area), CHUNK):
            last = min(first + CHUNK, len(shot.area))
            part = _render(shot.part(first, last), dense)
            if shot.scene.flaw:
                part["frames"] = flaws.spoil(shot.scene.flaw, part["frames"])
            yield part


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

    Cut, event, camera moves, physics and flaws are drawn once for all attempts, so that hard ones
    do not become rare.
    """
    shared = Draw((split, index, 0), spec)
    if spec.allowed.long:
        return episodes.shoot(shared)
    events, lengths = shared.slice.events, [spec.num_frames]
    if len(spec.cut_lengths) > 1 and shared.rng.random() < shared.slice.two_shot:
        lengths = spec.cut_lengths
        events = [name for name in vocabulary.TWO_SHOT_EVENTS if name in events]
    event = shared.choice(events)
    flaw = flaws.draw_flaw(shared.stream("flaw"), spec)
    if spec.is_still or (flaw and flaw[0] in flaws.BORING):
        event, lengths = "rest", [spec.num_frames]
    cameras = draw_cameras(shared, len(lengths), still=event == "rest")
    moving = cameras[0][1] != ["static"]
    seconds = (lengths[0] - 1) / spec.fps
    rng = shared.stream("nature")
    nature = None if shared.old else draw_nature(rng, shared, event, moving, seconds)
    for attempt in range(1, ATTEMPTS + 1):
        draw = Draw((split, index, attempt), spec, nature, lengths)
        try:
            return try_shots(draw, event, cameras, lengths, flaw), attempt
        except Rejected as error:
            reason = error
    moves = " then ".join(" and ".join(moves) for _, moves in cameras)
    raise Unfilmable(
        f"no clip for split={split!r} index={index} {spec} ({event}, camera {moves}, {nature})"
        f" in {ATTEMPTS} attempts; the last one failed because: {reason}"
    )


def try_shots(draw: Draw, event: str, cameras: list, lengths: list, flaw: tuple = ()) -> list:
    """One attempt: one simulation, filmed by a camera for every shot. Raises Rejected."""
    spec = draw.spec
    scene = dataclasses.replace(sample_scene(draw, event, cameras), flaw=flaw)
    motion = flaws.slow(scene, simulate(scene, spec.num_frames, spec.fps), spec.fps)
    several = event in SEVERAL and len(scene.parts) > 1
    reach = REACH["several" if several else "single"]
    reach = REACH.get(event, reach)
    reach = REACH["out_of_range"] if scene.outside else reach
    if not draw.old:  # what hardly fits is seen from ever farther away
        reach *= FARTHER ** max(0, draw.place[2] - PATIENCE)
    shots, start = [], 0
    for plan, length in zip(scene.cameras, lengths, strict=True):
        part = motion.part(start, start + length)
        views = film(plan, part, _extents(scene), spec.height, spec.width, reach)
        shots.append(preview(scene, part, plan, flaws.shake(draw, scene, views)))
        start += length
    check(shots)
    return shots


# Radius that must stay in the frame, in largest half extents: corners stick out, ledges may too.
ROUND = {"ball": 1.0, "cube": 1.25, "cylinder": 1.1, "pillar": 1.0, "ledge": 0.6, "fragment": 0.8}


def _extents(scene) -> np.ndarray:
    """Radius [K] that must stay in the frame: of whatever moves or is met, not of bystanders."""
    bystanders = scene.event in ("roll", "slide", "throw", "spin")
    return np.array(
        [
            0.0 if body.static and bystanders else ROUND[body.shape] * max(body.half)
            for body in scene.parts
        ]
    )


def _slots(values) -> np.ndarray:
    """[T, K, ...] -> float32 [T, slots, ...], zeros in the slots of absent objects."""
    slots = max(schema.OBJECT_SLOTS, values.shape[1])
    padded = np.zeros((len(values), slots, *values.shape[2:]), np.float32)
    padded[:, : values.shape[1]] = values
    return padded


def _motion_fields(shot: Shot, count: int) -> dict:
    motion, there = shot.motion, shot.motion.exists[:count]
    return {
        "exists": _slots(there) > 0,
        "object_position": _slots(motion.position[:count] * there[..., None]),
        "object_rotation": _slots(motion.rotation[:count] * there[..., None, None]),
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
