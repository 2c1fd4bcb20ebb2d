"""What is known of the clips of a simulation: cameras, gravity and states, as conditions.

Of a latent frame, which covers four pixel frames, it is that of the last one, so that latent frames
are equally far apart in time. NaN stands for what a row does not tell; rows of real clips have none
of it. Of rows with more than `schema.STATE_SLOTS` objects and fragments the last are left out.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.transforms import Crop


def camera(row: Mapping[str, Any], numbers: np.ndarray, crop: Crop) -> np.ndarray:
    """`schema.CONDITION["camera"]` of frames of a row."""
    if "camera_rotation" not in row:
        return np.full((len(numbers), *schema.CONDITION["camera"].shape[1:]), np.nan, np.float32)
    rotation, eye = row["camera_rotation"][numbers], eyes(row, numbers)
    turned = rotation[0] @ rotation.swapaxes(1, 2)  # camera -> first camera
    rays = turned @ np.linalg.inv(frame_intrinsics(row, numbers, crop))
    stands = (eye - eye[0]) @ rotation[0].T
    return np.concatenate([rays, stands[:, :, None]], axis=2).astype(np.float32)


def gravity(row: Mapping[str, Any], numbers: np.ndarray, crop: Crop) -> np.ndarray:
    """`schema.CONDITION["gravity"]` of a row, if its scene may tell it (slice `full` may not)."""
    del numbers, crop
    scene = json.loads(row.get("scene", "{}"))
    return np.float32(scene.get("physics", scene).get("gravity", np.nan))


def states(row: Mapping[str, Any], numbers: np.ndarray, crop: Crop) -> np.ndarray:
    """`schema.CONDITION["states"]` of frames of a row."""
    found = np.zeros((len(numbers), *schema.CONDITION["states"].shape[1:]), np.float32)
    if "object_position" not in row:
        return np.full_like(found, np.nan)
    kept = slice(0, schema.STATE_SLOTS)
    points = row["object_position"][numbers, kept]
    intrinsics = frame_intrinsics(row, numbers, crop)
    local = (points - eyes(row, numbers)[:, None]) @ row["camera_rotation"][numbers].swapaxes(1, 2)
    depth = local[..., 2]
    there = row["exists"][numbers, kept] & (depth > 0)
    place = local @ intrinsics.swapaxes(1, 2) / np.where(there, depth, 1.0)[..., None]
    size = intrinsics[:, 1, 1, None] * radii(row)[: points.shape[1]] / np.where(there, depth, 1.0)
    parts = place[..., 0], place[..., 1], depth, size, row["visibility"][numbers, kept]
    found[:, : points.shape[1]] = np.where(there[..., None], np.stack(parts, -1), 0.0)
    return found


READERS = {"camera": camera, "gravity": gravity, "states": states}


def eyes(row: Mapping[str, Any], numbers: np.ndarray) -> np.ndarray:
    """Where the cameras of frames of a row stand, [N, 3] m in world axes."""
    rotation, translation = row["camera_rotation"][numbers], row["camera_translation"][numbers]
    return -np.einsum("nji,nj->ni", rotation, translation)


def frame_intrinsics(row: Mapping[str, Any], numbers: np.ndarray, crop: Crop) -> np.ndarray:
    """Intrinsics [N, 3, 3] of frames of a row as they are shown, of 1 to either side."""
    down, across = crop.height / row["height"], crop.width / row["width"]
    shown = [[across, 0, -crop.left], [0, down, -crop.top], [0, 0, 1]]
    one = np.diag([1 / crop.size[1], 1 / crop.size[0], 1.0])
    return one @ shown @ row["camera_intrinsics"][numbers]


def radii(row: Mapping[str, Any]) -> np.ndarray:
    """Half the longest side, m, of every object of a row and of every fragment, then zeros."""
    scene = json.loads(row["scene"])
    parts = [*scene["objects"], *scene.get("fragments", ())]
    found = np.zeros(row["object_position"].shape[1])
    found[: len(parts)] = [max(part["half_extents"]) for part in parts]
    return found
