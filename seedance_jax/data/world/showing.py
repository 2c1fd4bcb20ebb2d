"""What frames of a record of the world show: the scene that they are to be judged by."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def expected_scene(row: Mapping[str, Any], numbers: Sequence[int] | None = None) -> dict[str, Any]:
    """What frames of a record show: its scene, the lengths of its shots and the direction.

    Args:
      row: a record of the world with its ground truth.
      numbers: of the frames; None is all.

    The direction is that of the captions: before the first camera "left", "right", "towards" or
    "away"; "down" for what is dropped; "" for what hardly moves.
    """
    scene = json.loads(row["scene"])
    numbers = np.arange(row["num_frames"]) if numbers is None else np.asarray(numbers)
    of_frame = np.repeat(np.arange(len(scene["shots"])), [s["num_frames"] for s in scene["shots"]])
    seen, lengths = np.unique(of_frame[numbers], return_counts=True)
    starts = np.cumsum([0, *np.bincount(of_frame)])
    windows = [numbers[of_frame[numbers] == k][[0, -1]] - starts[k] for k in seen]
    shots = [
        scene["shots"][k]
        | {"num_frames": int(n), "camera": part_of(scene["shots"][k], window, row["fps"])}
        for k, n, window in zip(seen, lengths, windows, strict=True)
    ]
    first = numbers[of_frame[numbers] == seen[0]]
    way = row["object_position"][first[-1], 0] - row["object_position"][first[0], 0]
    right, _, forward = row["camera_rotation"][first[0]] @ way
    if max(abs(right), abs(forward)) < 0.25:
        word = ""
    elif abs(right) >= abs(forward):
        word = "right" if right > 0 else "left"
    else:
        word = "away" if forward > 0 else "towards"
    told = {"drop": "down", "break": "down", "rest": "", "episodes": ""}
    word = told.get(scene["event"], word)
    extra = {"direction": word, "from_start": bool(numbers[0] == 0)}
    return scene | {"camera": shots[0]["camera"], "shots": shots} | extra


def part_of(shot: Mapping[str, Any], window: np.ndarray, fps: float) -> dict[str, Any]:
    """The camera of a shot of which frames `window` (first, last) are shown: since 2.0.0 it tells
    which seconds these are, if they are not all."""
    camera, whole = shot["camera"], [0, shot["num_frames"] - 1]
    if "steps" not in camera or window.tolist() == whole:
        return camera
    return camera | {"window": (window / fps).tolist()}
