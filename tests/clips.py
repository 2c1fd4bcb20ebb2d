"""Small clips for the tests of the data layer. Not in conftest.py: that name is not unique."""

import json

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.builders import storage
from seedance_jax.data.video import encode_mp4


def moving_square(seed, num_frames=9, height=32, width=48):
    """A square that moves over a gradient; its colour, place and path depend on the seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    background = np.stack([255 * y / height, 255 * x / width, np.full_like(x, 60)], -1)
    frames = np.repeat(background[None].astype(np.uint8), num_frames, 0)
    top, left = rng.integers(height - 8), rng.integers(width - 8)
    colour = rng.integers(40, 256, 3)
    for number, frame in enumerate(frames):
        column = (left + number) % (width - 8)
        frame[top : top + 8, column : column + 8] = colour
    return frames


def gradient(height=64, width=64):
    """An image, uint8 [height, width, 3], no two pixels of which are alike up to 256 a side."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 // height, x * 255 // width, 0 * x + 90], -1).astype(np.uint8)


def clip_record(index, num_frames=9, height=32, width=48, caption=""):
    """A record whose frames and caption depend on its number."""
    frames = moving_square(index, num_frames, height, width)
    caption = caption or f"square {index}"
    return {
        "id": f"clip/{index}",
        "video": encode_mp4(frames, 12),
        "caption": caption,
        "caption_motion": "",
        "shots": schema.write_shots([schema.Shot(num_frames, caption)]),
        "fps": 12.0,
        "num_frames": num_frames,
        "height": height,
        "width": width,
    }


def cut_record(index, lengths):
    """A clip of several shots of those lengths, "shot 0", "shot 1", ..., each of one grey level.

    Shot k is of level 40 + 30 k.
    """
    levels = np.repeat(40 + 30 * np.arange(len(lengths)), lengths).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (len(levels), 32, 48, 3))
    shots = [schema.Shot(length, f"shot {k}") for k, length in enumerate(lengths)]
    return clip_record(index, len(levels), caption="all shots") | {
        "video": encode_mp4(frames, 12),
        "shots": schema.write_shots(shots),
    }


def world_record(index, num_frames=9, height=32, width=48, objects=2):
    """A record as of the world, without a simulation: the camera pans and dollies, objects move.

    Object k is 0.1 (k + 1) m large, its gravity 5 + index m/s^2; the last is there but for frame 0.
    """
    rng, time = np.random.default_rng(index), np.linspace(0, 1, num_frames)[:, None, None]
    start, way = rng.uniform(-0.5, 0.5, (2, objects, 3))
    angle = 0.3 * time[:, 0, 0]
    zero, one = 0 * angle, 1 + 0 * angle
    # From an upright view along y at first, to the right.
    right = np.stack([np.cos(angle), -np.sin(angle), zero], -1)
    forward = np.stack([np.sin(angle), np.cos(angle), zero], -1)
    rotation = np.stack([right, np.stack([zero, zero, -one], -1), forward], 1)
    eye = np.array([0.2, -4.0, 0.3]) + time[:, 0] * [0.0, 0.5, 0.0]
    focal, there = 1.5 * height, np.ones((num_frames, objects), bool)
    there[0, -1] = False
    scene = {"objects": [{"half_extents": [0.1 * (k + 1), 0.05, 0.05]} for k in range(objects)]}
    arrays = {
        "object_position": (start + time * way) * there[..., None],
        "object_rotation": np.broadcast_to(np.eye(3), (num_frames, objects, 3, 3)),
        "object_velocity": np.zeros((num_frames, objects, 6)),
        "visibility": np.full((num_frames, objects), 0.75) * there,
        "camera_rotation": rotation,
        "camera_translation": -np.einsum("tij,tj->ti", rotation, eye),
        "camera_intrinsics": np.broadcast_to(
            [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], (num_frames, 3, 3)
        ),
    }
    return (
        clip_record(index, num_frames, height, width)
        | {name: array.astype(np.float32) for name, array in arrays.items()}
        | {"exists": there, "contacts": np.zeros((num_frames, objects + 1, objects + 1), bool)}
        | {"scene": json.dumps(scene | {"physics": {"gravity": 5.0 + index}})}
        | {"caption_motion": f"moves {index}"}
    )


def write_clips(directory, records):
    """Writes clip records as the split "train" of a complete data set and opens it."""
    fields = schema.WORLD_CLIP if records and "scene" in records[0] else schema.CLIP
    with storage.writing(directory) as draft:
        rows = storage.write_records(draft, "clips", fields, {"train": lambda: records})
        storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
        storage.write_json(draft / "spec.json", {})
    return storage.open_split(directory, "train")
