"""Large frames, made small enough to be looked at quickly."""

import numpy as np

# Pixels of the shorter side at which objects and cameras are looked for; larger frames are reduced.
MAX_SIDE = 128


def factor_of(height: int, width: int) -> int:
    """The least whole factor by which frames have MAX_SIDE pixels at most, and sides of whole cells
    (multiples of 16); ValueError if none does."""
    factors = range(1, min(height, width) // 32 + 1)
    fits = [k for k in factors if not (height % (16 * k) or width % (16 * k))]
    factor = next((k for k in fits if min(height, width) <= MAX_SIDE * k), None)
    if factor is None:
        raise ValueError(
            f"frames of {height}x{width} cannot be reduced to {MAX_SIDE} pixels by a whole factor "
            "that leaves multiples of 16"
        )
    return factor


def reduced(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [T,H,W,3] by `factor_of`: means of blocks of pixels."""
    count, height, width, _ = frames.shape
    factor = factor_of(height, width)
    if factor == 1:
        return frames
    blocks = frames.reshape(count, height // factor, factor, width // factor, factor, 3)
    return np.round(blocks.mean((2, 4))).astype(np.uint8)
