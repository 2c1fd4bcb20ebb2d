"""Small clips for the tests of the data layer. Not in conftest.py: that name is not unique."""

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


def write_clips(directory, records):
    """Writes clip records as the split "train" of a complete data set and opens it."""
    with storage.writing(directory) as draft:
        rows = storage.write_records(draft, "clips", schema.CLIP, {"train": lambda: records})
        storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
        storage.write_json(draft / "spec.json", {})
    return storage.open_split(directory, "train")
