"""Gravity, bounces, friction, pushes and fragments are those that records and captions tell of."""

import dataclasses
import functools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world.fragments import COUNT, pieces
from seedance_jax.data.world.generation import shoot
from seedance_jax.data.world.language import captions
from seedance_jax.data.world.physics import nominal, simulate
from seedance_jax.data.world.quantities import QUANTITIES
from seedance_jax.data.world.scene import Body, Draw, Scene, resting
from seedance_jax.data.world.vocabulary import SLICES

SPEC = WorldSpec(25, 48, 48, 12, "plain")


@functools.cache
def clips(event, count=3):
    """The first clips of an event."""
    found = []
    for index in range(300):
        shots, _ = shoot("train", index, SPEC)
        if shots[0].scene.event == event and len(shots) == 1:
            found.append(generate("train", index, SPEC, dense=True))
        if len(found) == count:
            return found
    raise AssertionError(event)


def falling(gravity=9.8, restitution=0.5, velocity=(0.0, 0.0, 0.0), lift=1.0):
    half = np.full(3, 0.3)
    ball = Body("ball", "red", "solid", "large", half, resting(0.3 + lift), velocity=velocity)
    ball = dataclasses.replace(ball, restitution=restitution, nominal=nominal(restitution))
    return Scene("drop", [ball], "grey", "day", 0.0, gravity, [], {}, {}, "")


@pytest.mark.parametrize("gravity", [1.62, 3.71, 9.81, 24.8])
def test_what_falls_falls_by_the_gravity_of_its_scene(gravity):
    motion = simulate(falling(gravity), 5, 24)
    time = np.arange(6) / 24
    fallen = motion.position[0, 0, 2] - motion.position[:, 0, 2]
    free = ~motion.contacts[:, 0, 1]
    np.testing.assert_allclose(fallen[free], (gravity * time**2 / 2)[free], atol=0.02)


@pytest.mark.parametrize("bounciness", [0.3, 0.5, 0.85])
def test_a_ball_gives_back_its_share_of_the_speed(bounciness):
    motion = simulate(falling(restitution=bounciness), 40, 24)
    speed = motion.rise[:, 0]
    landing = int(np.argmax(motion.on_floor[:, 0]))
    assert speed[landing:].max() / -speed[landing - 1] == pytest.approx(bounciness, abs=0.04)


def test_quantities_skip_what_is_held_out():
    rng = np.random.default_rng(0)
    for quantity in QUANTITIES.values():
        shown = [quantity.draw(rng) for _ in range(200)]
        held = [quantity.draw(rng, strange=True) for _ in range(50)]
        assert all(quantity.low <= value <= quantity.high for value in shown + held)
        assert all(map(quantity.is_shown, shown))
        assert not any(map(quantity.is_shown, held))


def test_fragments_appear_where_the_object_breaks_and_spread():
    for clip in clips("break"):
        scene, there = json.loads(clip["scene"]), clip["exists"]
        count = len(scene["fragments"])
        assert COUNT[0] <= count <= COUNT[1]
        assert f"breaks into {count} pieces" in clip["caption"]
        broken = int(np.argmax(there[:, 1]))
        assert 1 < broken < len(there) - 2
        np.testing.assert_array_equal(there[:, 0], np.arange(len(there)) < broken)
        assert (there[broken:, 1 : count + 1]).all()
        assert not there[:broken, 1 : count + 1].any()
        places = clip["object_position"][:, 1 : count + 1]
        middle = places.mean(1, keepdims=True)
        spread = np.linalg.norm(places - middle, axis=-1).mean(1)
        assert spread[-1] > 1.3 * spread[broken]
        assert np.abs(middle[broken, 0] - clip["object_position"][broken - 1, 0]).max() < 0.8
        assert (clip["segmentation"][-1] > 1).any()
        assert (clip["visibility"][:broken, 1 : count + 1] == 0).all()


def test_fragments_have_the_volume_of_what_breaks():
    for shape, volume in (("ball", 4 / 3 * np.pi), ("cube", 8.0), ("cylinder", 2 * np.pi)):
        body = Body(shape, "red", "solid", "large", np.ones(3), resting(1.0))
        parts = pieces(Draw(("train", 0, 1), SPEC), body)
        total = sum(8 * np.prod(part.half) for part in parts)
        assert total == pytest.approx(volume, rel=0.08)


def test_what_is_pushed_falls_after_it_was_hit():
    for clip in clips("push"):
        hit = int(np.argmax(clip["contacts"][:, 1, 2]))
        landing = int(np.argmax(clip["contacts"][:, 0, 2]))
        assert 0 < hit < landing
        height = clip["object_position"][:, 1, 2]
        assert height[hit - 1] - height[-1] > 0.3
        assert "pushes" in clip["caption"]


def test_physics_has_labels_in_plain_and_none_in_full():
    for name in ("plain", "full"):
        spec = WorldSpec(9, 32, 32, 8, name)
        records = [generate("train", index, spec) for index in range(25)]
        scenes = [json.loads(record["scene"]) for record in records]
        told = [scene["physics"] for scene in scenes]
        assert all(scene["gravity"] > 0 for scene in scenes)  # judges need it
        texts = " ".join(record["caption"] for record in records)
        assert any(told) == SLICES[name].physics_labels == ("ravity" in texts)


def test_a_scene_that_cannot_be_filmed_names_what_stands_in_the_way(monkeypatch):
    from seedance_jax.data.world import generation

    monkeypatch.setitem(generation.REACH, "single", 0.1)
    monkeypatch.setattr(generation, "ATTEMPTS", 3)
    with pytest.raises(RuntimeError, match=r"the action needs a view taller than 0.1 m"):
        generate("train", 0, WorldSpec(slice="tiny"))


@pytest.mark.parametrize(
    ("count", "said"), [(0, "."), (1, " and bounces."), (3, "three times."), (9, "9 times.")]
)
def test_any_number_of_bounces_has_a_caption(monkeypatch, count, said):
    monkeypatch.setattr(captions, "rebounds", lambda shot, k: count)
    scene = SimpleNamespace(bodies=[SimpleNamespace(shape="ball")])
    told = captions._drop(SimpleNamespace(scene=scene), ["a ball"], "") + "."
    assert told.startswith("a ball falls")
    assert told.endswith(said)
    assert ("bounces" in told) == (count > 0)
