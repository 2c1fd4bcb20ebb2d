"""Paths of cameras: what steps say is what axes do, and speeds are those of their split."""

import functools
import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, paths
from seedance_jax.data.world import vocabulary as words
from seedance_jax.data.world.camera import aim
from seedance_jax.data.world.generation import make_stream, shoot
from seedance_jax.data.world.language.camera_words import SENTENCE, tell_camera
from seedance_jax.data.world.quantities import QUANTITIES
from seedance_jax.data.world.scene import CameraPlan

MOVES = {"together": ["pan left", "zoom in"], "sequence": ["tilt up", "roll clockwise"]}
MOVES |= {"single": ["truck right"], "back": ["orbit left"]}


def drawn(kind, seed=0, strange=False):
    rng = np.random.default_rng(seed)
    while (steps := paths.draw_steps(rng, kind, MOVES[kind], 2.0, strange)) is None:
        pass
    return steps


def ends(kind, steps):
    values = paths.along(paths.keyframes(steps), np.linspace(0, 1, 41))
    return {axis: value[-1] - value[0] for axis, value in values.items()}, values


@pytest.mark.parametrize("kind", sorted(words.PATHS))
@pytest.mark.parametrize("seed", range(5))
def test_axes_do_what_the_steps_say(kind, seed):
    steps = drawn(kind, seed)
    total = dict.fromkeys(paths.AXES, 0.0)
    for step in steps:
        assert 0 <= step.start < step.stop <= 1 + 1e-9
        for move, amount in step.moves.items():
            low, high = paths.AMOUNTS[paths.axis_of(move)]
            assert low <= amount <= high
            total[paths.axis_of(move)] += words.CAMERA_MOVES[move].sign * amount
    way, values = ends(kind, steps)
    assert way == pytest.approx(total)
    if kind == "back":
        assert max(abs(value) for value in way.values()) < 1e-9
        assert np.abs(values["orbit"]).max() > 10


def test_an_eased_path_begins_and_ends_slowly():
    frames = (paths.Keyframe(0.0, {"pan": 0.0}, "smooth"), paths.Keyframe(1.0, {"pan": 9.0}))
    steps = np.diff(paths.along(frames, np.linspace(0, 1, 11))["pan"])
    assert steps[0] < 0.5 * steps[5] > steps[-1]
    assert paths.along(frames, np.array([-1.0, 2.0]))["pan"].tolist() == [0.0, 9.0]


def test_speeds_that_are_held_out_are_seen_out_of_range_alone():
    quantity = QUANTITIES["truck speed"]
    for seed in range(30):
        for strange in (False, True):
            [step] = drawn("single", seed, strange)
            [speed] = paths.speeds(step, 2.0).values()
            assert quantity.is_shown(speed) != strange


@pytest.mark.parametrize("kind", sorted(words.PATHS))
def test_captions_of_paths_can_be_read_again(kind):
    for seed in range(10):
        plan = CameraPlan("path", 0.0, 0.0, 18.0, 1.6, 2.4, kind, drawn(kind, seed))
        for plan.said in (("moves",), ("moves", "words"), ("moves", "words", "numbers")):
            text = tell_camera(plan, 2.0)
            assert SENTENCE.search(text), text
            assert any(digit in text for digit in "0123456789") == ("numbers" in plan.said)


def test_a_camera_that_rolls_clockwise_turns_the_picture_the_other_way():
    step = paths.Step({"roll clockwise": 20.0}, 0.0, 1.0)
    plan = CameraPlan("path", 0.0, 0.0, 18.0, 1.6, 2.4, path=paths.keyframes((step,)))
    cameras = aim(plan, np.array([0.0, 0.0, 0.4]), 2.4, 10, (64, 64))
    right = np.tile([0.3, 0.0, 0.4], (10, 1))
    pixels, _ = cameras.project(right)
    assert pixels[0, 1] == pytest.approx(32, abs=0.2)
    assert pixels[-2, 1] < 30  # up in the picture: counterclockwise


@functools.cache
def scenes(slice_name, count=120):
    spec = WorldSpec(slice=slice_name)
    return [json.loads(make_stream("train", k, spec).record["scene"]) for k in range(count)]


def test_moves_of_tiny_are_all_seen_and_few_cameras_stand():
    found = scenes("tiny")
    cameras = [shot["camera"] for scene in found for shot in scene["shots"]]
    still = np.mean([camera["move"] == "static" for camera in cameras])
    assert 0.04 < still < 0.24
    moves = [move for c in cameras for step in c["steps"] for move in step["moves"]]
    assert set(moves) == set(words.SLICES["tiny"].moves) - {"static"}
    assert {camera["kind"] for camera in cameras} == set(words.PATHS)
    for kind in ("event", "floor"):
        values = [scene[kind] for scene in found]
        assert min(map(values.count, set(values))) > len(values) / len(set(values)) / 2
    shapes = [scene["objects"][0]["shape"] for scene in found]
    assert min(map(shapes.count, words.SLICES["tiny"].shapes)) > 15


def test_the_record_has_the_path_that_was_filmed():
    for index in range(12):
        [shot, *_], _ = shoot("train", index, WorldSpec(slice="tiny"))
        if shot.plan.steps:
            focal = shot.cameras.intrinsics[:-1, 0, 0]
            zoom = sum(
                words.CAMERA_MOVES[move].sign * amount
                for step in shot.plan.steps
                for move, amount in step.moves.items()
                if paths.axis_of(move) == "zoom"
            )
            assert np.log(focal[-1] / focal[0]) == pytest.approx(zoom, abs=1e-6)
