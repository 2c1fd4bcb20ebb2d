"""Names, shapes and types of everything that is stored or batched: spelled here and nowhere else.

A record (one row of a data set) is described by a dictionary name -> `Field`. `None` in a shape is
a length that differs between rows.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

OBJECT_SLOTS = 3
LATENT_CHANNELS = 48

# Strides of the autoencoder: 4n+1 frames become n+1 latent frames of 1/16 of the size.
FRAME_STRIDE = 4
PIXEL_STRIDE = 16


class Field(NamedTuple):
    """One value of a record; dtype `str` is text, `bytes` is an opaque blob."""

    shape: tuple[int | None, ...]
    dtype: Any


CLIP = {
    "id": Field((), str),  # unique in the data set
    "video": Field((), bytes),  # an mp4 file, every frame of which decodes
    "caption": Field((), str),  # the whole scene
    "caption_motion": Field((), str),  # what moves and how; "" where unknown
    "fps": Field((), np.float32),
    "num_frames": Field((), np.int32),
    "height": Field((), np.int32),
    "width": Field((), np.int32),
}

# World axes: metres, z up. Camera axes: x right, y down, z forward; x_camera = R x_world + t.
# Object slots that a scene does not use hold zeros.
WORLD_CLIP = CLIP | {
    "scene": Field((), str),  # JSON: what was simulated
    "object_position": Field((None, OBJECT_SLOTS, 3), np.float32),  # m
    "object_rotation": Field((None, OBJECT_SLOTS, 3, 3), np.float32),  # object -> world
    "object_velocity": Field((None, OBJECT_SLOTS, 6), np.float32),  # m/s, then rad/s
    "camera_intrinsics": Field((None, 3, 3), np.float32),  # pixels
    "camera_rotation": Field((None, 3, 3), np.float32),  # world -> camera
    "camera_translation": Field((None, 3), np.float32),
    # Visible pixels over the pixels of the object drawn alone; 0 when out of the frame.
    "visibility": Field((None, OBJECT_SLOTS), np.float32),
    # Which of (floor, object 1, 2, 3) touched which since the previous frame; symmetric.
    "contacts": Field((None, 1 + OBJECT_SLOTS, 1 + OBJECT_SLOTS), np.bool_),
}

# Per-pixel ground truth, row for row with the clips.
WORLD_DENSE = {
    "id": Field((), str),
    "depth": Field((None, None, None), np.float16),  # along the optical axis, m; inf for sky
    "segmentation": Field((None, None, None), np.uint8),  # 0 floor, k object k, 255 sky
    "flow": Field((None, None, None, 2), np.float16),  # pixels, frame t to t+1
    "camera_flow": Field((None, None, None, 2), np.float16),  # the part the camera causes
}

LATENTS = {
    "id": Field((), str),
    "latents": Field((None, None, None, LATENT_CHANNELS), ml_dtypes.bfloat16),
}

# What is known of every row without decoding it (kept beside the records).
TABLE = {
    "num_frames": np.int32,
    "height": np.int32,
    "width": np.int32,
    "fps": np.float32,
    "caption_bytes": np.int32,
}


def table_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The `TABLE` entry of a clip record."""
    row = {name: record[name] for name in TABLE if name != "caption_bytes"}
    return row | {"caption_bytes": len(record["caption"].encode())}


def check_record(record: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    """Raises ValueError naming the first field that is missing, unknown or of the wrong shape."""
    if record.keys() != fields.keys():
        missing, unknown = fields.keys() - record.keys(), record.keys() - fields.keys()
        raise ValueError(
            f"record {record.get('id')!r}: missing fields {sorted(missing)}, "
            f"unknown fields {sorted(unknown)}; a record has {sorted(fields)}"
        )
    for name, field in fields.items():
        value = record[name]
        if field.dtype in (str, bytes):
            fits = isinstance(value, field.dtype)
        else:
            shape = np.shape(value)
            fits = len(shape) == len(field.shape) and all(
                want in (None, have) for want, have in zip(field.shape, shape, strict=True)
            )
        if not fits:
            raise ValueError(
                f"record {record['id']!r}: {name} is {type(value).__name__} of shape "
                f"{np.shape(value)}, expected {field.dtype.__name__} of shape {field.shape}"
            )
