"""Rendered clips of the tiny slice."""

import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, generate


@pytest.fixture(scope="session")
def clips():
    """24 validation clips uint8 [24,17,64,64,3] and the colours of their objects."""
    records = [generate("validation", index, WorldSpec(slice="tiny")) for index in range(24)]
    colors = [json.loads(record["scene"])["objects"][0]["color"] for record in records]
    return np.stack([record["frames"] for record in records]), colors
