"""Pictures among the clips of a folder: clips of one frame."""

from pathlib import Path

import numpy as np
from PIL import Image

from seedance_jax.data.images import open_image
from seedance_jax.data.video import even_size


def read_picture(path: str | Path, short_side: int) -> tuple[np.ndarray, list[str]]:
    """(uint8 [1,H,W,3] of even size, its short side at most that, notes on what was changed).

    Raises ValueError, or OSError, for a picture that cannot be read.
    """
    image, notes = open_image(path, "picture")
    size = even_size(image.size, short_side)
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image)[None], notes
