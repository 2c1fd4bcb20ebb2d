"""Pictures among the clips of a folder: clips of one frame."""

from pathlib import Path

import numpy as np
from PIL import Image

from seedance_jax.data.images import open_image


def read_picture(path: str | Path, short_side: int) -> tuple[np.ndarray, list[str]]:
    """(uint8 [1,H,W,3] of even size, its short side at most that, notes on what was changed).

    Raises ValueError, or OSError, for a picture that cannot be read.
    """
    image, notes = open_image(path, "picture")
    scale = min(1.0, short_side / min(image.size))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)[None], notes
