"""Falls under any gravity: what is measured of them, and which are told from what only floats."""

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, corruptions, generate
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.evaluation.judges import falls, sight

SPEC = WorldSpec(17, 64, 64, 12, "tiny")
# Validation clips of a throw for the length of the clip, and of a drop of 4 frames.
WEAK, STRONG = 5_000_016, 5_000_008


def _measured(index, kind="true"):
    [shot] = corruptions.stage("validation", index, SPEC)
    scene = expected_scene(generate("validation", index, SPEC))
    name = "hover" if kind == "true" else kind
    severity = 0.0 if kind == "true" else 1.0
    frames = corruptions.corrupt(name, shot, severity, np.random.default_rng(0), SPEC.fps)
    [shot] = sight.look(frames, [len(frames)], scene)
    track = shot.track(scene["objects"][0]["color"])
    return falls.measure(shot, track, SPEC.fps, scene)


@pytest.mark.parametrize("index", [WEAK, STRONG])
def test_gravity_and_height_are_measured_whatever_gravity_is(index):
    true = _measured(index)
    assert 0.85 < true["gravity"].value < 1.15
    assert 0.8 < true["fall"].value < 1.25
    hovering = _measured(index, "hover")
    assert hovering["fall"].value < true["fall"].value - 0.2
    assert abs(_measured(index, "linear_fall")["gravity"].value) < 0.3


def test_a_flight_is_found_beside_bad_outlines_and_ends_at_the_impact():
    time = np.arange(12)
    y = np.where(time < 8, 0.5 * time**2 - 3.0 * time + 30, 34.0)
    y[3] += 8.0  # a bad outline
    center = np.column_stack([time, y])
    way = falls.Way(center, np.full(12, 9.0), np.ones(12, bool))
    flight, frames = falls.find_flight(way, np.arange(6), 64)
    assert np.allclose([flight.a, flight.b, flight.c], [0.5, -3.0, 30.0])
    assert frames.tolist() == [0, 1, 2, 4, 5, 6, 7]


def test_what_is_cut_off_or_of_another_size_is_left_out():
    whole = np.array([False, True, True, True, True])
    way = falls.Way(np.zeros((5, 2)), np.array([9.0, 9.0, 9.0, 4.0, 9.0]), whole)
    assert way.alike(np.arange(5)).tolist() == [1, 2, 4]
    cut = way._replace(whole=np.zeros(5, bool), radius=np.array([9.0, 9.0, 9.0, 5.0, 0.0]))
    assert cut.alike(np.arange(5)).tolist() == [0, 1, 2]  # at least, where it never is whole
    assert not len(cut.alike(np.array([4])))


def test_the_record_alone_says_what_is_shown():
    scene = expected_scene(generate("validation", STRONG, SPEC))
    assert falls.shown(scene, 12)["gravity"]
    assert falls.shown(scene, 12)["fall"]
    assert not any(falls.shown(scene | {"from_start": False}, 12).values())
    assert not any(falls.shown(scene | {"event": "roll"}, 12).values())
    assert not falls.shown(scene | {"gravity": 1e3}, 12)["gravity"]
    assert falls.clear_time(scene) <= falls.air_time(scene)
