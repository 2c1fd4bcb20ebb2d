"""Dimensions of VBench (arXiv:2311.17982) that need no network, from pixels.

VBench uses networks for optical flow (RAFT) and frame interpolation (AMT); here both come from
OpenCV's flow. Metrics that use it are named `*_lite`: the rules are VBench's, but values cannot be
compared with published ones. Frames are uint8 [T, H, W, 3].
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from seedance_jax.evaluation.metrics import intervals

# Motion is the mean flow of the fastest pixels between two frames, in pixels. Thresholds are for
# frames whose shorter side is REFERENCE_SIDE, and for 16 frames.
REFERENCE_SIDE, REFERENCE_FRAMES = 256.0, 16.0
MOVING_FPS, MOVING_SHARE, MOVING_SPEED, MOVING_COUNT = 8.0, 0.05, 6.0, 4.0
STILL_SHARE, STILL_SPEED, STILL_COUNT = 0.02, 3.0, 2.0


def measure_clip(frames: np.ndarray, fps: float) -> dict[str, float | bool]:
    """Measurements of a clip for `summarize`.

    Raises:
      ValueError: frames are not uint8 [T, H, W, 3] with T >= 3 and sides of 16 or more.
    """
    check_frames(frames, fps)
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean()
    return {
        "flicker": float(1.0 - change / 255.0),
        "smoothness": motion_smoothness(frames),
        "moves": moves(frames, fps),
        "still": is_still(frames),
    }


def moves(frames: np.ndarray, fps: float) -> bool:
    """VBench's dynamic degree of a clip: enough pairs of frames, 1/8 s apart, with fast motion."""
    chosen = frames[:: max(1, round(fps / MOVING_FPS))]
    limit = MOVING_SPEED * max(1.0, MOVING_FPS / fps) * min(frames.shape[1:3]) / REFERENCE_SIDE
    fast = [speed > limit for speed in speeds(chosen, MOVING_SHARE)]
    return sum(fast) >= scaled(MOVING_COUNT, len(chosen))


def is_still(frames: np.ndarray) -> bool:
    """VBench's static filter: few neighbouring frames with motion, and little from end to end."""
    limit = STILL_SPEED * min(frames.shape[1:3]) / REFERENCE_SIDE
    most = scaled(STILL_COUNT, len(frames))
    fast = [speed > limit for speed in speeds(frames, STILL_SHARE)]
    ends = speeds(frames[[0, -1, 0]], STILL_SHARE)
    return sum(fast) <= most and max(ends) <= 2 * most * limit


def scaled(count: float, frames: int) -> int:
    """Scales a count from REFERENCE_FRAMES to a clip of `frames` frames; at least 1."""
    return max(1, round(count * frames / REFERENCE_FRAMES))


def summarize(clips: Sequence[Mapping[str, Any]]) -> dict[str, intervals.Estimate]:
    """{dimension: Estimate} from `measure_clip` of each clip.

    Higher is better, except for dynamic_degree_lite, the share of clips that move, which should be
    that of real clips. temporal_flickering is the mean over still clips alone, as in VBench, and
    NaN if there is none. temporal_change is the same over all clips; it measures stillness, too,
    and serves to compare sets with their reference only.
    """
    of = {name: [clip[name] for clip in clips] for name in clips[0]}
    still = [value for value, chosen in zip(of["flicker"], of["still"], strict=True) if chosen]
    return {
        "temporal_flickering": intervals.mean(still),
        "temporal_change": intervals.mean(of["flicker"]),
        "motion_smoothness_lite": intervals.mean(of["smoothness"]),
        "dynamic_degree_lite": intervals.share(sum(of["moves"]), len(clips)),
    }


def motion_smoothness(frames: np.ndarray) -> float:
    """1 - mean error of interpolating every second frame from its neighbours, in [0, 1].

    Interpolation warps both neighbours halfway along the flow between them and averages them.
    """
    errors = []
    for first, true, last in zip(frames[:-2:2], frames[1:-1:2], frames[2::2], strict=True):
        ways = flow(first, last), flow(last, first)
        guesses = [warp(frame, -0.5 * way) for frame, way in zip((first, last), ways, strict=True)]
        errors.append(np.abs(np.mean(guesses, axis=0) - true).mean())
    return float(1.0 - np.mean(errors) / 255.0)


def speeds(frames: np.ndarray, share: float) -> list[float]:
    """Mean flow of the fastest share of pixels between consecutive frames, in pixels."""
    found = []
    for first, last in itertools.pairwise(frames):
        speed = np.sort(np.hypot(*np.moveaxis(flow(first, last), -1, 0)), axis=None)
        found.append(float(speed[-max(1, int(share * speed.size)) :].mean()))
    return found


def flow(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Optical flow (x, y) of every pixel from `first` to `last`, float32 [H, W, 2].

    Farneback's method with windows of 15 pixels. On rendered clips it detects fast motion as well
    as dense inverse search, and does not mistake noise or changes of brightness for motion.
    """
    grey = [
        cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (first, last)
    ]
    return cv2.calcOpticalFlowFarneback(
        *grey,
        None,
        pyr_scale=0.5,
        levels=3,
        winsize=15,
        iterations=3,
        poly_n=7,
        poly_sigma=1.5,
        flags=0,
    )


def warp(frame: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The frame sampled at every pixel + offset [H, W, 2], float32 [H, W, 3]."""
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    places = (
        np.ascontiguousarray(columns + offset[..., 0]),
        np.ascontiguousarray(rows + offset[..., 1]),
    )
    frame = np.ascontiguousarray(frame, np.float32)
    return cv2.remap(frame, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def check_frames(frames: np.ndarray, fps: float) -> None:
    """Raises ValueError unless a clip can be measured."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(f"frames must be uint8 [T, H, W, 3], got {frames.dtype} {frames.shape}")
    if len(frames) < 3 or min(frames.shape[1:3]) < 16:
        raise ValueError(f"frames {frames.shape}: motion needs 3 frames and 16 pixels or more")
    if not fps > 0:
        raise ValueError(f"fps={fps}: must be above 0")
