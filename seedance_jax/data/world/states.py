"""Clips of the world and the state of their scenes, to train its feature network on."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world.spec import OLD_WORLD
from seedance_jax.data.world.vocabulary import OLD_MOVES, WORLDS

SLICE = "tiny"  # of the old world, which the released network was trained on
STRIDE = 4  # frames per state, as the network has features
# {target of a clip: its classes}.
KINDS = {
    "color": WORLDS[OLD_WORLD][SLICE].colors,
    "shape": WORLDS[OLD_WORLD][SLICE].shapes,
    "event": tuple(WORLDS[OLD_WORLD][SLICE].events),
    "floor": WORLDS[OLD_WORLD][SLICE].floors,
    "camera": OLD_MOVES,
}
# {regression target of each frame: (usual value, its spread)}.
NUMBERS = {
    "position": (0.0, 0.15),  # x, y of the main object, in frames from the middle
    "size": (0.15, 0.04),  # its radius, in frames
    "motion": (0.0, 0.15),  # x, y over 4 frames, in frames
    "view": (0.0, 0.03),  # x, y of a point of the world, the same: pans and tilts
    "zoom": (0.0, 0.05),  # logarithm of its growth
}
HEADS = {name: len(legal) for name, legal in KINDS.items()} | dict.fromkeys(NUMBERS, 2)
HEADS |= {"size": 1, "zoom": 1, "quality": 3}
LASTING = ("color", "shape", "floor", "quality")  # targets that shuffling frames does not change
MIRRORED = ("position", "motion", "view")  # change sign along x if a clip is mirrored


def read_state(
    record: Mapping[str, Any],
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """(classes {target: int}, numbers {target: float32 [ceil(T / 4), its size]}) of a record."""
    scene = json.loads(record["scene"])
    main = scene["objects"][0]
    named = {
        "color": main["color"],
        "shape": main["shape"],
        "event": scene["event"],
        "floor": scene["floor"],
        "camera": scene["camera"]["move"],
    }
    names = {kind: KINDS[kind].index(name) for kind, name in named.items()}
    place, depth = project(record, record["object_position"][:, 0])
    fixed, _ = project(record, np.zeros_like(record["object_position"][:, 0]))
    focal = record["camera_intrinsics"][:, 0, 0] / record["width"]
    numbers = {
        "position": place,
        "size": (focal * max(main["half_extents"]) / depth)[:, None],
        "motion": change(place),
        "view": change(fixed),
        "zoom": change(np.log(focal / depth_of_origin(record)))[:, None],
    }
    scaled = {}
    for name, value in numbers.items():
        usual, spread = NUMBERS[name]
        scaled[name] = np.clip((value[::STRIDE] - usual) / spread, -3, 3).astype(np.float32)
    return names, scaled


def project(record: Mapping[str, Any], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the world [T, 3] -> (x, y from the middle in frames [T, 2], depth [T])."""
    local = np.einsum("tij,tj->ti", record["camera_rotation"], points)
    local = local + record["camera_translation"]
    image = np.einsum("tij,tj->ti", record["camera_intrinsics"], local)
    size = np.array([record["width"], record["height"]])
    return image[:, :2] / image[:, 2:] / size - 0.5, local[:, 2]


def depth_of_origin(record: Mapping[str, Any]) -> np.ndarray:
    """Depth of the origin of the world in the camera, [T]."""
    return record["camera_translation"][:, 2]


def change(values: np.ndarray) -> np.ndarray:
    """Change of values [T, ...] over 4 frames around each, 2 on either side within the clip."""
    count = len(values)
    after = np.minimum(np.arange(count) + STRIDE // 2, count - 1)
    before = np.maximum(np.arange(count) - STRIDE // 2, 0)
    rate = (values[after] - values[before]).T / (after - before)
    return STRIDE * rate.T


def read_clips(split: str, count: int, start: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(frames uint8 [B, T, H, W, 3], states) of `count` clips of a split of the world.

    states: {target: int [B] for KINDS, float32 [B, ceil(T / 4), its size] for NUMBERS}.
    """
    spec = WorldSpec(slice=SLICE, version=OLD_WORLD)
    frames, states = [], []
    for index in range(start, start + count):
        record = generate(split, index, spec)
        names, numbers = read_state(record)
        frames.append(record["frames"])
        states.append(names | numbers)
    return np.stack(frames), {name: np.stack([s[name] for s in states]) for name in states[0]}


def mirror(
    frames: np.ndarray, states: Mapping[str, np.ndarray], chosen: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mirrors the chosen clips (bool [B]) left to right, and their states."""
    frames, states = frames.copy(), {name: value.copy() for name, value in states.items()}
    frames[chosen] = frames[chosen][:, :, :, ::-1]
    for name in MIRRORED:
        states[name][chosen, :, 0] *= -1
    sides = {"left": "right", "right": "left"}
    swapped = [" ".join(sides.get(word, word) for word in name.split()) for name in OLD_MOVES]
    table = np.array([KINDS["camera"].index(name) for name in swapped])
    states["camera"][chosen] = table[states["camera"][chosen]]
    return frames, states
