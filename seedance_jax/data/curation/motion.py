"""How much moves in a clip, how the camera moves, and whether it shakes.

    motion  of things: flow that the camera does not explain, of the fastest 3 % of the picture
    camera  of the picture by the camera
    shake   of the middle of the picture about a smooth path of the camera
    speed   of anything, camera or thing, in the fastest tenth of the steps

All are widths of the frame per second. Flow is measured over steps of about 1/12 s, so neither the
rate nor the size of a clip changes its scores by much.
"""

from collections.abc import Sequence

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.curation import optical_flow

RATE = 12.0  # steps per second, about
FASTEST = 0.97  # quantile over the picture
LARGEST = 0.9  # quantile over the steps


def score(
    frames: np.ndarray,
    fps: float,
    shot_frames: Sequence[int] = (),
    camera: optical_flow.Camera | None = None,
) -> dict[str, float]:
    """{column: value} of frames uint8 [T, H, W, 3]; NaN where too few frames are to tell.

    They are of the steps of all shots together; none leads over a cut.

    Args:
      shot_frames: lengths of its shots; () is a single one.
      camera: the known cameras of all frames, over a floor at z = 0. Without them the background is
        what one homography explains.
    """
    found, start = [], 0
    step = max(1, round(fps / RATE))
    for length in shot_frames or (len(frames),):
        chosen = slice(start, start + length, step)
        start += length
        if len(frames[chosen]) > 1:
            found.append(_steps(frames[chosen], fps / step, camera and camera.at(chosen)))
    if not found:
        return dict.fromkeys(schema.SCORES["motion"], np.nan)
    motion, moved, off, speed = (np.concatenate(part) for part in zip(*found, strict=True))
    return {
        "motion": float(motion.mean()),
        "camera": float(moved.mean()),
        "shake": float(np.median(off)) if len(off) else np.nan,
        "speed": float(np.quantile(speed, LARGEST)),
    }


def _steps(frames, rate, camera):
    """Of N steps: motion [N], camera [N], how far it is off its path [N-2], speed [N]."""
    grey = optical_flow.shrink(frames)
    found, size = optical_flow.flows(grey), grey.shape[1:]
    background = np.stack(
        [
            optical_flow.known_flow(camera.at(slice(n, n + 2)), frames.shape[1:3], size)
            if camera
            else optical_flow.homography_flow(one)
            for n, one in enumerate(found)
        ]
    )
    scale = rate / size[1]  # pixels a step -> widths a second
    motion, speed = (
        np.quantile(np.linalg.norm(part, axis=-1), FASTEST, axis=(1, 2)) * scale
        for part in (found - background, found)
    )
    camera_speed = np.sqrt((background**2).sum(-1).mean((1, 2))) * scale
    path = background[:, size[0] // 2, size[1] // 2] * scale
    return motion, camera_speed, _off(path), speed


def _off(path):
    """How far velocities [N, 2] are off the mean of those before and after them, [N-2]."""
    return np.linalg.norm(path[1:-1] - (path[2:] + path[:-2]) / 2, axis=-1)
