"""Rendered clips of the tiny slice."""

import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.evaluation import verdicts


@pytest.fixture(scope="session")
def records():
    """40 validation records of 17 frames of 64x64, of one shot or two."""
    return [generate("validation", index, WorldSpec(slice="tiny")) for index in range(40)]


@pytest.fixture(scope="session")
def clips(records):
    """24 validation clips uint8 [24,17,64,64,3] and the colours of their objects."""
    colors = [json.loads(record["scene"])["objects"][0]["color"] for record in records[:24]]
    return np.stack([record["frames"] for record in records[:24]]), colors


@pytest.fixture(scope="session")
def single_shots(records):
    """[(clip uint8 [17,64,64,3], what is asked, what is seen)] of those of a single shot."""
    chosen = [record for record in records if len(json.loads(record["shots"])) == 1]
    return [
        (
            record["frames"],
            verdicts.asked_of(record, range(17)),
            verdicts.seen_in(record["frames"]),
        )
        for record in chosen
    ]
