"""What is added later leaves every scene as it is; the old world keeps its scenes."""

import hashlib
import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, generate, seeds
from seedance_jax.data.world.scene import Draw
from seedance_jax.evaluation.suite import cases

SPEC = WorldSpec(slice="tiny")


def test_features_have_streams_of_their_own():
    draws = {
        (feature, attempt): seeds.generator("train", 1, attempt, feature).random()
        for feature in ("scene", "moves", "a feature of tomorrow")
        for attempt in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)


def test_drawing_from_a_new_feature_changes_nothing():
    one, other = (Draw(("train", 1, 1), SPEC) for _ in range(2))
    other.stream("a feature of tomorrow").random(100)
    for feature in ("scene", "camera", "words"):
        np.testing.assert_array_equal(
            one.stream(feature).random(9), other.stream(feature).random(9)
        )


def test_a_share_of_flawed_clips_leaves_the_others_as_they_are():
    flawed = WorldSpec(slice="tiny", flawed=0.5)
    kept = 0
    for index in range(8):
        true, clip = generate("train", index, SPEC), generate("train", index, flawed)
        if json.loads(clip["scene"])["flaw"] is None:
            kept += 1
            assert clip["scene"] == true["scene"]
            np.testing.assert_array_equal(clip["frames"], true["frames"])
    assert 0 < kept < 8


def test_the_old_world_keeps_its_scenes():
    """Those of the pinned suites of the released weights, which were drawn up with it."""
    suite = cases.read_suite("world_v1_dev")
    for case in suite.cases[:14]:  # raises if the scene is another one
        assert suite.clip(case).shape == (17, 64, 64, 3)


@pytest.mark.parametrize(
    ("slice_name", "checksum"), [("tiny", "cd336dd804ccb63a"), ("full", "92c3ef60f65f0785")]
)
def test_the_old_world_keeps_its_pictures(slice_name, checksum):
    clip = generate("train", 3, WorldSpec(slice=slice_name, version="1.3.0"))
    assert hashlib.sha256(clip["frames"].tobytes()).hexdigest()[:16] == checksum
