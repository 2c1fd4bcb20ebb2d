"""Names, shapes and types of everything that is stored or batched: spelled here and nowhere else.

A record (one row of a data set) is described by a dictionary name -> `Field`. `None` in a shape is
a length that differs between rows.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

OBJECT_SLOTS = 3  # at least; a record has as many as its scene has objects and fragments
STATE_SLOTS = 16  # of the objects and fragments that a batch tells the states of: the first ones
LATENT_CHANNELS = 48
GLOBAL = -1  # the shot number of what belongs to all shots

# Strides of the autoencoder: 4n+1 frames become n+1 latent frames of 1/16 of the size.
FRAME_STRIDE = 4
PIXEL_STRIDE = 16


def check_compression(time: int, space: int) -> None:
    """Raises ValueError unless an autoencoder has the strides that everything here counts with."""
    if (time, space) != (FRAME_STRIDE, PIXEL_STRIDE):
        raise ValueError(
            f"an autoencoder that compresses {time} times in time and {space} in space; generators "
            f"need ({FRAME_STRIDE}, {PIXEL_STRIDE})"
        )


class Field(NamedTuple):
    """One value of a record; dtype `str` is text, `bytes` is an opaque blob."""

    shape: tuple[int | None, ...]
    dtype: Any


class Shot(NamedTuple):
    """A part of a clip without a cut."""

    num_frames: int
    caption: str


CLIP = {
    "id": Field((), str),  # unique in the data set
    "video": Field((), bytes),  # an mp4 file, every frame of which decodes
    "caption": Field((), str),  # the whole scene; of several shots: what they have in common
    "caption_motion": Field((), str),  # what moves and how; "" where unknown
    "shots": Field((), str),  # JSON list of `Shot`; a single one has the caption of the clip
    "fps": Field((), np.float32),
    "num_frames": Field((), np.int32),
    "height": Field((), np.int32),
    "width": Field((), np.int32),
}

# Every value per frame is that of the frame's own shot: the camera jumps at a cut, and the flow of
# the last frame of a shot leads to a frame that is not shown, like that of the last of the clip.
# World axes: metres, z up. Camera axes: x right, y down, z forward; x_camera = R x_world + t.
# Objects come first, fragments after them; slots that a frame or a scene does not use hold zeros.
WORLD_CLIP = CLIP | {
    "scene": Field((), str),  # JSON: what was simulated
    "object_position": Field((None, None, 3), np.float32),  # m
    "object_rotation": Field((None, None, 3, 3), np.float32),  # object -> world
    "object_velocity": Field((None, None, 6), np.float32),  # m/s, then rad/s
    "exists": Field((None, None), np.bool_),  # not what has broken, nor fragments before
    "camera_intrinsics": Field((None, 3, 3), np.float32),  # pixels
    "camera_rotation": Field((None, 3, 3), np.float32),  # world -> camera
    "camera_translation": Field((None, 3), np.float32),
    # Visible pixels over the pixels of the object drawn alone; 0 when out of the frame.
    "visibility": Field((None, None), np.float32),
    # Which of (floor, object 1, 2, ...) touched which since the previous frame; symmetric.
    "contacts": Field((None, None, None), np.bool_),
}

# Per-pixel ground truth, row for row with the clips.
WORLD_DENSE = {
    "id": Field((), str),
    "depth": Field((None, None, None), np.float16),  # along the optical axis, m; inf for sky
    "segmentation": Field((None, None, None), np.uint8),  # 0 floor, k object k, 255 sky
    "flow": Field((None, None, None, 2), np.float16),  # pixels, frame t to t+1
    "camera_flow": Field((None, None, None, 2), np.float16),  # the part the camera causes
}

# A clip of the world that is wrong in one way (`world.corruptions`), "" and 0 where it is right.
GRADED_CLIP = CLIP | {"corruption": Field((), str), "severity": Field((), np.float32)}

LATENTS = {
    "id": Field((), str),
    "latents": Field((None, None, None, LATENT_CHANNELS), ml_dtypes.bfloat16),
    # Every latent frame as it is where its first pixel frame is given as an image: standing still.
    "stills": Field((None, None, None, LATENT_CHANNELS), ml_dtypes.bfloat16),
}

# The captions of a row as a language model reads them, one after the other.
TEXTS = {
    "id": Field((), str),
    "tokens": Field((None, None), ml_dtypes.bfloat16),
    "shot": Field((None,), np.int32),  # the shot that a token belongs to, or GLOBAL
}

# What can be precomputed, as rows beside the clips.
SIDE_TABLES = {"latents": LATENTS, "texts": TEXTS}

# What a velocity depends on: the names are the fields of `models.conditioning.Condition`. The
# captions stand one after the other, each with a start token, then padding. A clip of one shot has
# its caption (shot 0); one of several the global caption and then those of its shots 0, 1, ...
CONDITION = {
    "text": Field((None,), np.int32),  # ids; or, precomputed, TEXT_TOKENS
    "text_mask": Field((None,), np.bool_),  # False on padding
    "text_shot": Field((None,), np.int32),  # the shot that a token belongs to, or GLOBAL
    "frame_shot": Field((None,), np.int32),  # the shot of a latent frame
    "given": Field((None, None, None, LATENT_CHANNELS), np.float32),
    "given_mask": Field((None,), np.float32),  # 1 on latent frames that are given
    "fps": Field((), np.float32),  # frames per second as shown; NaN of an image
    # Of the last pixel frame of every latent frame: columns 0 to 2 take (x, y, 1), x and y from 0
    # to 1 over the frame that is shown, to the direction of its ray; column 3 is where the camera
    # stands, m. Axes are those of the clip's first camera. NaN where unknown.
    "camera": Field((None, 3, 4), np.float32),
    "gravity": Field((), np.float32),  # m/s^2; NaN where unknown
    # Of the same frames, see `STATE`: zeros where an object is not there, NaN where unknown.
    "states": Field((None, STATE_SLOTS, 5), np.float32),
}
# The state of an object: its centre and half its size in frames from the top left corner, the size
# in heights of the frame; depth along the optical axis, m; visible pixels over its pixels alone.
STATE = ("x", "y", "depth", "size", "visibility")
TEXT_TOKENS = Field((None, None), np.float32)
DRAWN = ("given", "given_mask")  # by the stage, from the clip itself
TRUTH = ("camera", "gravity", "states")  # batched only if asked for: few rows have them

# One example of a batch, which adds a dimension in front: `video` or `latents`, never both.
EXAMPLE = {
    "index": Field((), np.int64),  # the row
    "video": Field((None, None, None, 3), np.uint8),
    "latents": Field((None, None, None, LATENT_CHANNELS), np.float32),
    "stills": Field((None, None, None, LATENT_CHANNELS), np.float32),  # with latents
    **{name: field for name, field in CONDITION.items() if name not in DRAWN},
    # What moves, for the stage to take in the place of the caption; masked where unknown.
    "motion_text": Field((None,), np.int32),
    "motion_text_mask": Field((None,), np.bool_),
}

# What is known of every row without decoding it (kept beside the records).
TABLE = {
    "num_frames": np.int32,
    "height": np.int32,
    "width": np.int32,
    "fps": np.float32,
    "shot_frames": str,  # frames of its shots, as in "9 8"
    "caption_tokens": np.int32,  # bytes of all its captions and a start token for each
}

# Columns of the tables of scores beside a data set, by the scorer that makes them
# (`curation.scores`): numbers, float32, NaN where a clip has none, or text, "" where it has none.
SCORES = {
    "motion": ("motion", "camera", "shake", "speed"),
    "aesthetic": ("sharpness", "exposure", "highlights", "clipped", "contrast", "aesthetic"),
    "known_camera": ("known_motion", "known_camera", "known_shake"),
    "scene": ("event", "camera_move", "floor", "time_of_day", "shots", "objects"),
}
# What people decided on clips (`curation.reviews`), in a table of its own.
REVIEW = ("kept", "label")
# Of all these columns those that are text; the others are numbers.
TEXT_SCORES = ("event", "camera_move", "floor", "time_of_day", "label")


def table_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The `TABLE` entry of a clip record; raises ValueError naming it if its shots are wrong."""
    shots = read_shots(record)
    captions = captions_of(record["caption"], shots).values()
    row = {name: record[name] for name in ("num_frames", "height", "width", "fps")}
    return row | {
        "shot_frames": " ".join(str(shot.num_frames) for shot in shots),
        "caption_tokens": sum(1 + len(caption.encode()) for caption in captions),
    }


def captions_of(caption: str, shots: Sequence[Shot]) -> dict[int, str]:
    """The captions of a clip by the shot they belong to, in the order of the text."""
    own = {number: shot.caption for number, shot in enumerate(shots)}
    return own if len(shots) == 1 else {GLOBAL: caption} | own


def motion_of(record: Mapping[str, Any]) -> str:
    """The motion-only caption of a clip; "" where unknown, or if it has several shots."""
    return record["caption_motion"] if len(read_shots(record)) == 1 else ""


def write_shots(shots: Sequence[Shot]) -> str:
    """The field `shots` of a record."""
    return json.dumps([shot._asdict() for shot in shots])


def read_shots(record: Mapping[str, Any]) -> tuple[Shot, ...]:
    """The shots of a clip record.

    Raises ValueError naming the record unless they are as many frames as the clip, every caption
    says something, and that of a single shot is the clip's.
    """
    try:
        shots = check_shots(json.loads(record["shots"]), record["caption"])
        if (total := sum(shot.num_frames for shot in shots)) != record["num_frames"]:
            raise ValueError(f"shots of {total} frames in a clip of {record['num_frames']}")
    except ValueError as error:
        raise ValueError(f"record {record['id']!r}: {error}") from error
    return shots


def check_shots(items: Any, caption: str) -> tuple[Shot, ...]:
    """Shots from what JSON holds; raises ValueError if they or the clip's caption are wrong."""
    if not isinstance(items, list) or not items:
        raise ValueError(f"shots must be a list of one or more, got {items!r}")
    for number, item in enumerate(items):
        if not isinstance(item, dict) or item.keys() != set(Shot._fields):
            raise ValueError(f"shot {number} must have {Shot._fields}, got {item!r}")
        if type(item["num_frames"]) is not int or item["num_frames"] < 1:
            raise ValueError(f"shot {number}: num_frames={item['num_frames']!r} is not 1, 2, ...")
        if not isinstance(item["caption"], str) or not item["caption"].strip():
            raise ValueError(f"shot {number}: the caption is empty")
    if not caption.strip():
        raise ValueError("the caption is empty")
    if len(items) == 1 and items[0]["caption"].strip() != caption.strip():
        raise ValueError(f"a single shot has the caption {items[0]['caption']!r}, not {caption!r}")
    return tuple(Shot(item["num_frames"], item["caption"].strip()) for item in items)


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
