"""Analytic ray caster: spheres, boxes and cylinders on a floor, under one sun and a sky.

`trace` finds what every pixel sees, `paint` colours it (soft shadows, ambient occlusion, more
samples where contrast asks for them), `optical_flow` follows what was seen into the next frame.
"""

import math

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.camera import Cameras
from seedance_jax.data.world.floors import floor_table
from seedance_jax.data.world.kernels import (
    BOX,
    CYLINDER,
    SKY,
    SPHERE,
    Surroundings,
    Things,
    Views,
    paint_frames,
    trace_frames,
)
from seedance_jax.data.world.physics import FAR_BELOW
from seedance_jax.data.world.scene import Scene

KINDS = {"sphere": SPHERE, "box": BOX, "cylinder": CYLINDER}
GAMMA = (np.arange(16384) / 16383) ** (1 / 2.2)

# Cells per radius along the object's axes: stripes are bands across x, checks use all three.
CELLS = {"solid": (0.0, 0.0, 0.0), "striped": (1.6, 0.0, 0.0), "checkered": (1.9, 1.9, 1.9)}


def make_things(scene: Scene, position: np.ndarray, rotation: np.ndarray) -> Things:
    """The scene's objects at `position` [N, K, 3] and `rotation` [N, K, 3, 3]."""
    bodies = scene.parts
    colors = np.array([vocabulary.COLORS[b.color] for b in bodies], float)
    return Things(
        np.array([KINDS[vocabulary.PRIMITIVES[b.shape]] for b in bodies]),
        np.array([b.half for b in bodies], float),
        colors,
        0.2 * colors,  # darker, not another hue: a striped red ball must not pass for pink
        np.array([CELLS[b.texture] for b in bodies], float),
        np.ascontiguousarray(position, float),
        np.ascontiguousarray(rotation, float),
    )


def make_views(cameras: Cameras) -> Views:
    return Views(
        np.ascontiguousarray(cameras.intrinsics[:, 0, 0]),
        np.ascontiguousarray(cameras.rotation),
        np.ascontiguousarray(cameras.eye),
    )


def make_surroundings(scene: Scene) -> Surroundings:
    light = vocabulary.TIMES_OF_DAY[scene.time_of_day]
    low, high = vocabulary.FLOORS[scene.floor]
    azimuth = math.radians(scene.sun_azimuth)  # 0 = behind a camera of azimuth 0
    sun = np.array([math.sin(azimuth), -math.cos(azimuth), light.sun_height])
    vectors = (low, high, light.horizon, light.zenith, light.sun, sun / np.linalg.norm(sun))
    return Surroundings(floor_table(scene.floor), *(np.array(v) for v in vectors), light.ambient)


def trace(
    things: Things, cameras: Cameras, num_frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pixel centre sees.

    Returns:
      depth float32 [T, H, W]: z-depth in metres, inf in the sky.
      seen int8 [T, H, W]: number of the object, from 0, or FLOOR or SKY.
      alone int64 [T, K]: pixels that each object would fill if nothing stood before it.
    """
    shape = (num_frames, cameras.height, cameras.width)
    depth, seen = np.empty(shape, np.float32), np.empty(shape, np.int8)
    alone = np.zeros((num_frames, len(things.kind)), np.int64)
    trace_frames(things, make_views(cameras), depth, seen, alone)
    return depth, seen, alone


def paint(
    things: Things,
    cameras: Cameras,
    surroundings: Surroundings,
    depth: np.ndarray,
    seen: np.ndarray,
) -> np.ndarray:
    """Colours what `trace` found: frames uint8 [T, H, W, 3], sRGB-like."""
    frames = np.empty((*seen.shape, 3), np.uint8)
    paint_frames(things, make_views(cameras), surroundings, depth, seen, frames, GAMMA)
    return frames


def optical_flow(
    things: Things, cameras: Cameras, depth: np.ndarray, seen: np.ndarray, n: int
) -> list[np.ndarray]:
    """Flow [H, W, 2] in pixels (x, y) from frame n to n + 1: (of everything, of the camera alone).

    The sky is infinitely far: it moves with the rotation of the camera only.
    """
    height, width = seen[n].shape
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = np.stack([x, y], -1)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(cameras.intrinsics[n]).T
    rays = rays @ cameras.rotation[n]  # [H, W, 3] world axes, camera depth 1
    sky = seen[n] == SKY
    points = cameras.eye[n] + rays * np.where(sky, 0.0, depth[n])[..., None]
    moved = points.copy()
    for k in range(len(things.kind)):
        if things.position[n + 1, k, 2] < FAR_BELOW / 2:  # it breaks: its pixels go nowhere
            continue
        local = (points[seen[n] == k] - things.position[n, k]) @ things.rotation[n, k]
        moved[seen[n] == k] = local @ things.rotation[n + 1, k].T + things.position[n + 1, k]
    flows = []
    for target in (moved, points):
        relative = np.where(sky[..., None], rays, target - cameras.eye[n + 1])
        image = relative @ cameras.rotation[n + 1].T @ cameras.intrinsics[n + 1].T
        flows.append(image[..., :2] / image[..., 2:] - pixels)
    return flows
