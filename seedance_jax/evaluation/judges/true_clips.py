"""True clips of a form: as the world draws them, or taken of larger ones as stages of training do.

A stage at a low resolution or rate is trained on every second frame of stored clips, made smaller.
So its true clips are made in that way, too: the same scenes as those of the full form, by the same
codec and the same resizing (`data.transforms` with a bucket's size and stride).
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.video import decode_mp4, encode_mp4
from seedance_jax.data.world import checks, corruptions, generate, physics
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.data.world.spec import CODEC, WorldSpec
from seedance_jax.evaluation.judges.forms import Form

PLAIN = Form(25, 128, 128, 12, "plain", "2.0.0")
PICTURE = PLAIN._replace(num_frames=1)
SLOW = PLAIN._replace(num_frames=13, fps=6)
LOW = SLOW._replace(height=64, width=64)
LOW_PICTURE = PICTURE._replace(height=64, width=64)
# Form -> that of the stored clips that its clips are taken of.
TAKEN_OF = {SLOW: PLAIN, LOW: PLAIN, LOW_PICTURE: PICTURE}


def stored_spec(form: Form) -> WorldSpec:
    """The clips of the world that those of a form are taken of, or are."""
    return WorldSpec(*TAKEN_OF.get(form, form))


def frame_numbers(form: Form) -> range:
    """Which frames of a stored clip one of a form has."""
    spec = stored_spec(form)
    return range(0, spec.num_frames, round(spec.fps / form.fps))


def take(form: Form, frames: np.ndarray) -> np.ndarray:
    """A clip uint8 [T,H,W,3] of a form, of what is stored in its data sets (uint8 as well)."""
    return stored(form, frames, frame_numbers(form))


def stored(form: Form, frames: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Some of the frames, after the codec of the data sets, in the size of a form."""
    data = encode_mp4(frames, stored_spec(form).fps, **CODEC)
    return decode_mp4(data, numbers, (form.height, form.width))[0]


def read(form: Form, split: str, index: int) -> tuple[np.ndarray, dict[str, Any]]:
    """(frames uint8 [T,H,W,3], scene) of a true clip, as data sets give it."""
    row = generate(split, index, stored_spec(form))
    return take(form, row["frames"]), expected_scene(row, frame_numbers(form))


def stage(form: Form, split: str, index: int) -> checks.Shot:
    """The frames of a form of a simulated shot, in the size that is stored: what is to be made
    wrong, so that clips of a low rate are wrong at that rate."""
    spec, numbers = stored_spec(form), frame_numbers(form)
    [shot] = corruptions.stage(split, index, spec)
    if numbers.step == 1:
        return shot
    kept = [*numbers, spec.num_frames]  # one more, which is not shown
    views = {name: getattr(shot.cameras, name)[kept] for name in ("intrinsics", "rotation", "eye")}
    cameras = dataclasses.replace(shot.cameras, **views)
    motion = physics.simulate(shot.scene, form.num_frames, form.fps)
    return checks.preview(shot.scene, motion, shot.plan, cameras)


def shows(form: Form, shot_frames: Sequence[int]) -> bool:
    """Whether no latent frame of a clip of a form, of a stored one with shots of those lengths, has
    two shots: others are not trained on (`data.transforms.legal_starts`)."""
    shot_of = np.repeat(np.arange(len(shot_frames)), shot_frames)[frame_numbers(form)]
    cuts = 1 + np.flatnonzero(np.diff(shot_of))
    return not ((cuts - 1) % schema.FRAME_STRIDE).any()


def shown_indices(form: Form, split: str, first: int, count: int) -> list[int]:
    """The first `count` numbers, from `first` on, of clips of the world that a form `shows`."""
    if form not in TAKEN_OF:
        return list(range(first, first + count))
    spec = stored_spec(form)
    lengths = lambda index: [len(s.area) for s in corruptions.stage(split, index, spec)]  # noqa: E731
    fits = (index for index in itertools.count(first) if shows(form, lengths(index)))
    return list(itertools.islice(fits, count))


def run_of(form: Form, run: Sequence[int]) -> list[int]:
    """[first, last] of a run of frames that a model is given, of one of a stored clip: it ends with
    a latent frame again, so it may show more."""
    stride = frame_numbers(form).step
    first, last = (-(-number // stride) for number in run)
    return [first, last + -last % schema.FRAME_STRIDE]


def of_form(form: Form, scene: Mapping[str, Any]) -> dict[str, Any]:
    """A scene of a single shot of a stored clip, as one of a form shows it."""
    [shot] = scene["shots"]
    return {**scene, "shots": [shot | {"num_frames": form.num_frames}]}
