"""Long scenes: what chapters tell comes to pass; frames come in parts."""

import functools
import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, episodes, generate, stream
from seedance_jax.data.world.camera import Rejected
from seedance_jax.data.world.generation import CHUNK
from seedance_jax.data.world.scene import Draw

SPEC = WorldSpec(241, 32, 32, 8, "long")


@functools.cache
def clip(index):
    return generate("train", index, SPEC)


def chapters(record, kind):
    return [c for c in json.loads(record["scene"])["chapters"] if c["kind"] == kind]


def test_parts_are_small_and_make_the_clip():
    record, parts = stream("train", 0, SPEC)
    frames = []
    for part in parts:
        assert 0 < len(part["frames"]) <= CHUNK
        frames.append(part["frames"])
    np.testing.assert_array_equal(np.concatenate(frames), clip(0)["frames"])
    assert record["caption"] == clip(0)["caption"]


@pytest.mark.parametrize("index", range(3))
def test_hidings_hide(index):
    record = clip(index)
    told = chapters(record, "hide")
    assert len(told) > 1
    for chapter in told:
        first, last = round(chapter["start"] * 8), round(chapter["stop"] * 8)
        hidden = (record["visibility"][first : last + 1, 0] < 0.12).sum() / 8
        assert hidden > 0.8 * chapter["seconds"] - 0.25
        assert 0.5 <= chapter["seconds"] <= 4
    intervals = json.loads(record["scene"])["hidden"]
    for k, first, last in intervals:
        assert (record["visibility"][first : last + 1, k] < 0.2).all()


@pytest.mark.parametrize("index", range(3))
def test_what_leaves_comes_back(index):
    record = clip(index)
    for chapter in chapters(record, "leave"):
        within = slice(round(chapter["start"] * 8), round(chapter["stop"] * 8) + 1)
        seen = record["visibility"][within, 0]
        assert seen.min() == 0
        assert seen[-1] > 0.5


@pytest.mark.parametrize("index", range(5))
def test_what_rolls_to_a_side_gets_there(index):
    record = clip(index)
    told = [c for c in chapters(record, "roll") if "side" in c]
    assert told
    right = record["camera_rotation"][0, 0]
    for chapter in told:
        ends = [round(chapter[name] * 8) for name in ("start", "stop")]
        way = np.diff(record["object_position"][ends, 0], axis=0)[0] @ right
        assert way * (1 if chapter["side"] == "right" else -1) > 0.2


def test_a_roll_that_is_stopped_is_drawn_anew():
    spec = WorldSpec(241, 32, 32, 12, "long")
    with pytest.raises(Rejected, match="hardly rolls"):
        episodes.write_and_film(Draw(("validation", 5_000_055, 1), spec))
    assert episodes.shoot(Draw(("validation", 5_000_055, 0), spec))[1] == 2


def test_what_another_object_hides_all_the_time_is_drawn_anew():
    spec = WorldSpec(241, 32, 32, 12, "long")
    with pytest.raises(Rejected, match="seen whole"):
        episodes.write_and_film(Draw(("validation", 5_000_138, 1), spec))
    [shot], _ = episodes.shoot(Draw(("validation", 5_000_138, 0), spec))
    assert ((shot.visibility > 0.9).mean(0)[:3] >= 0.1).all()


def test_the_camera_looks_away_and_comes_back_to_where_it_was():
    for index in range(3):
        record = clip(index)
        for chapter in chapters(record, "away"):
            first, last = round(chapter["start"] * 8) - 1, round(chapter["stop"] * 8) + 2
            turn = record["camera_rotation"][first:last]
            assert np.abs(turn - turn[0]).max() > 0.6
            np.testing.assert_allclose(turn[-1], turn[0], atol=1e-6)


def test_look_alikes_have_one_colour_and_differ():
    for index in range(3):
        scene = json.loads(clip(index)["scene"])
        assert scene["look_alikes"] == [[0, 1]]
        one, other = scene["objects"][:2]
        assert one["color"] == other["color"]
        assert (one["size"], one["texture"]) != (other["size"], other["texture"])


@pytest.mark.parametrize(("num_frames", "fps"), [(81, 8), (601, 10)])
def test_from_10_to_60_seconds(num_frames, fps):
    spec = WorldSpec(num_frames, 16, 16, fps, "long")
    record, _ = stream("train", 0, spec)
    told = json.loads(record["scene"])["chapters"]
    assert max(chapter["stop"] for chapter in told) > 0.7 * spec.duration
    assert sum(chapter["kind"] == "hide" for chapter in told) >= (2 if fps == 8 else 5)
