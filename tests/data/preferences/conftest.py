"""Scenes of the world at graded severities, built once for the tests of this folder."""

import pytest

from seedance_jax.data.preferences import mixtures
from seedance_jax.data.preferences.answers import AXES

WORLD = {"slice": "tiny", "num_frames": 13, "height": 32, "width": 32, "fps": 12}
WORLD |= {"version": "2.0.0", "flawed": 0.2, "train": 6, "validation": 2}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Section `data` of a config whose scenes are built."""
    for name in ("mujoco", "numba"):
        pytest.importorskip(name)
    made = {"data_dir": str(tmp_path_factory.mktemp("pairs")), "num_processes": 1, "world": WORLD}
    made |= {"text_length": 256, "buckets": ((13, 32, 32, 4, 1.0), (5, 16, 16, 2, 1.0, 3))}
    mixtures.build(made, {})
    return made


@pytest.fixture
def preferences():
    """Section `preferences` of it."""
    return {"source": "severities:2,edits:1", "dimensions": tuple(AXES)}


@pytest.fixture
def scenes(data):
    return mixtures.open_scenes(data, {}, "train")
