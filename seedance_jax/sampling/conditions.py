"""What a request tells of its clips besides prompts and frames, if the model knows of it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from seedance_jax.data import schema

MAX_FPS = 240


def frame_rate(request: Any, pipeline: Any) -> float:
    """Frames per second of the clips of a request.

    Raises ValueError for a rate that is none, or that a model does not know.
    """
    trained, fps = pipeline.metadata["fps"], request.fps
    if fps is None:
        return trained
    if not is_number(fps) or not 0 < fps <= MAX_FPS:
        raise ValueError(f"fps={fps!r}: must be a number above 0 and at most {MAX_FPS}")
    if fps != trained and "fps" not in pipeline.conditions:
        raise ValueError(
            f"fps={fps:g}: the model was trained on {trained:g} and knows no other frame rate; it "
            "would have to be trained with --config.model.conditions=fps"
        )
    return fps


def known_truth(request: Any, pipeline: Any, frames: int) -> dict[str, np.ndarray]:
    """{name: value of one clip, NaN where the request does not tell it} of what the model knows.

    frames: latent frames. Raises ValueError for what the model does not know, or no such values.
    """
    found = {}
    for name in schema.TRUTH:
        value = getattr(request, name)
        if name in pipeline.conditions:
            shape = [length or frames for length in schema.CONDITION[name].shape]
            told = np.full(shape, np.nan) if value is None else check_truth(name, value, shape)
            found[name] = told.astype(np.float32)
        elif value is not None:
            raise ValueError(
                f"{name} is told to a model that does not know it; it would have to be trained "
                f"with --config.model.conditions={name}"
            )
    return found


def check_truth(name: str, value: Any, shape: Sequence[int]) -> np.ndarray:
    """A value that a request tells, as an array; ValueError if it is none."""
    if name == "gravity" and not (is_number(value) and value > 0):
        raise ValueError(f"gravity={value!r}: must be a number above 0, in m/s^2")
    array = np.asarray(value, np.float64)
    if array.shape != tuple(shape) or np.isinf(array).any():
        raise ValueError(
            f"{name} of shape {list(array.shape)} must be {list(shape)} finite numbers, or NaN "
            "where it is not known"
        )
    if name == "states" and ((array[..., 2] > 0) & ~(array[..., 3] > 0)).any():
        raise ValueError("states: what is there (its depth is above 0) must have a size above 0")
    return array


def truth_settings(request: Any) -> dict[str, Any]:
    """What a request tells of this, for its sidecar."""
    told = {name: getattr(request, name) for name in schema.TRUTH}
    return {name: np.asarray(x).tolist() for name, x in told.items() if x is not None}


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    numeric = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return numeric and math.isfinite(value)
