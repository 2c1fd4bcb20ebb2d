"""Rendered clips of the tiny slice."""

import pytest

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.evaluation.world import verdict


@pytest.fixture(scope="session")
def spec():
    return WorldSpec(slice="tiny")


@pytest.fixture(scope="session")
def records(spec):
    """24 validation records of 17 frames of 64x64, of one shot or two."""
    return [generate("validation", index, spec) for index in range(24)]


@pytest.fixture(scope="session")
def judged(records):
    """[(record, what is asked, `Verdict`)]."""
    asked = [verdict.asked_of(record) for record in records]
    return [
        (record, scene, verdict.judge_clip(record["frames"], 12, scene))
        for record, scene in zip(records, asked, strict=True)
    ]
