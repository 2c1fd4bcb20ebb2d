"""Corruptions do nothing at severity 0 and ever more up to 1."""

import functools
import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, corruptions, generate
from seedance_jax.data.world.descriptions import describe
from seedance_jax.data.world.filming import film

SPEC = WorldSpec(17, 32, 32, 12, "plain")
LONG = WorldSpec(121, 32, 32, 12, "long")


@functools.cache
def staged():
    """(scene, shot) of some clips of one shot, the last of them long."""
    found = [corruptions.stage("validation", index, SPEC) for index in range(90)]
    found = [(describe(s, SPEC, ("validation", 0)), s[0]) for s in found if len(s) == 1]
    [shot] = corruptions.stage("validation", 0, LONG)
    return [*found, (describe([shot], LONG, ("validation", 0)), shot)]


def shot_for(name):
    return next(shot for scene, shot in staged() if corruptions.applies(name, scene))


def make(name, severity, shot):
    return corruptions.corrupt(name, shot, severity, np.random.default_rng(1), 12)


@pytest.mark.parametrize("name", sorted(corruptions.CORRUPTIONS))
def test_zero_changes_nothing_and_one_does(name):
    shot = shot_for(name)
    true = film(shot)
    np.testing.assert_array_equal(make(name, 0.0, shot), true)
    wrong = make(name, 1.0, shot)
    assert wrong.shape == true.shape
    assert wrong.dtype == np.uint8
    assert np.abs(wrong.astype(float) - true).mean() > 0.05


@pytest.mark.parametrize("name", ["teleport", "noise", "blur", "wrong_pan", "wrong_roll", "freeze"])
def test_more_severe_is_more_wrong(name):
    shot = shot_for("wrong_pan")
    true = film(shot).astype(float)
    errors = [np.abs(make(name, s, shot) - true).mean() for s in (0.0, 0.3, 1.0)]
    assert errors[0] < errors[1] < errors[2]


def test_recolor_is_seen_in_every_event():
    kinds = {scene["event"]: shot for scene, shot in staged() if scene["event"] != "episodes"}
    assert "break" in kinds
    for event, shot in kinds.items():
        changed = np.abs(make("recolor", 1.0, shot).astype(int) - film(shot)).max(-1) > 20
        assert changed.sum((1, 2)).max() > 10, event


def test_what_comes_out_elsewhere_is_right_until_it_is_hidden():
    shot = shot_for("moved_hidden")
    start = min(told["start"] for told in shot.scene.chapters if told["kind"] == "hide")
    seen = np.abs(make("moved_hidden", 1.0, shot).astype(int) - film(shot)).max((1, 2, 3)) > 0
    assert not seen[: int(12 * start)].any()
    assert seen[-1]


@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan")])
def test_severities_are_from_0_to_1(severity):
    with pytest.raises(ValueError, match=f"severity={severity} is not from 0"):
        make("noise", severity, None)


def test_unknown_names_are_named():
    with pytest.raises(ValueError, match="corruption='melt' is not one of"):
        make("melt", 1.0, None)


def test_what_judges_are_tried_on_alone_is_not_for_training():
    alone = {"stagnate", "moved_hidden", "identity_swap", "exposure_wobble"}
    assert set(corruptions.ACCEPTANCE) == alone
    assert set(corruptions.TRAINING) == set(corruptions.CORRUPTIONS) - set(corruptions.ACCEPTANCE)


def test_filming_again_gives_the_same_clip():
    shots = corruptions.stage("validation", 3, SPEC)
    true = generate("validation", 3, SPEC)
    assert json.loads(true["scene"])["event"] == shots[0].scene.event
    np.testing.assert_array_equal(np.concatenate([film(shot) for shot in shots]), true["frames"])
