"""Folders of samples, written as `seedance_jax sample` writes them, and the pairs in them."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from seedance_jax.data.preferences import pairs
from seedance_jax.sampling import media

PROMPTS = (
    "A red ball rolls to the left.",
    "A blue cube slides to the right.",
    "A cone falls <b>&</b> bounces.",
)
COLORS = ((200, 40, 40), (40, 60, 200), (40, 170, 60))
SHAPE = (9, 32, 48)  # frames, height, width


def paint(color, speed, num_frames):
    frames = np.full((num_frames, *SHAPE[1:], 3), 190, np.uint8)
    for number, frame in enumerate(frames):
        left = 2 + int(speed * number)
        frame[8:20, left : left + 12] = color
    return frames


def write_samples(folder, speed, count=3, fps=12, num_frames=SHAPE[0], image=None, **settings):
    """A folder with `count` clips; the first of them was given `image`, a path."""
    folder.mkdir(parents=True)
    for seed in range(count):
        frames = paint(COLORS[seed], speed, num_frames)
        height, width = SHAPE[1:]
        about = {"prompt": PROMPTS[seed], "seed": seed, "num_frames": num_frames}
        about |= {"height": height, "width": width, "given_frames": [], "workdir": folder.name}
        if image and seed == 0:
            digest = hashlib.sha256(np.asarray(Image.open(image)).tobytes()).hexdigest()[:16]
            about["files"] = {"image": {"path": str(image), "sha256": digest, "changes": []}}
        media.write_clip(folder, frames, fps, about | settings)
    return folder


@pytest.fixture
def write():
    return write_samples


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Two folders of three clips; the first clip of each was given an image."""
    root = tmp_path_factory.mktemp("samples")
    image = root / "first.png"
    Image.fromarray(paint(COLORS[0], 0, 1)[0]).save(image)
    return [
        write_samples(root / name, speed, image=image)
        for name, speed in (("secret_alpha", 1.0), ("secret_beta", 2.5))
    ]


@pytest.fixture(scope="session")
def found(folders):
    """The pairs of `folders`."""
    made, notes = pairs.pair_folders(folders)
    assert not notes
    return made
