"""Boring and bad clips are what their labels say; pictures have captions of their own."""

import functools
import json

import numpy as np

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world.flaws import FLAWS

SPEC = WorldSpec(13, 48, 48, 12, "tiny", flawed=1.0)


@functools.cache
def flawed():
    found = {}
    for index in range(60):
        clip = generate("train", index, SPEC)
        found.setdefault(json.loads(clip["scene"])["flaw"]["name"], clip)
    assert found.keys() == set(FLAWS)
    return found


def change(clip):
    return np.abs(np.diff(clip["frames"].astype(float), axis=0)).mean()


def test_boring_clips_hardly_change():
    assert change(flawed()["static"]) == 0
    assert 0 < change(flawed()["barely_moving"]) < 1
    assert "stands still" in flawed()["static"]["caption"]


def test_bad_exposure_is_seen():
    light = {name: clip["frames"].mean() for name, clip in flawed().items()}
    assert light["underexposed"] < min(light["static"], light["shaken"])
    assert light["overexposed"] > max(light["static"], light["shaken"])


def test_a_shaken_camera_turns_to_and_fro_and_its_record_says_so():
    def wobble(clip):
        forward = clip["camera_rotation"][:, 2]
        return np.abs(np.diff(forward, 2, axis=0)).mean()

    assert wobble(flawed()["shaken"]) > 5 * wobble(flawed()["static"]) + 0.003


def test_the_share_is_that_of_the_spec():
    spec = WorldSpec(5, 16, 16, 4, "tiny", flawed=0.3)
    names = [json.loads(generate("train", k, spec)["scene"])["flaw"] for k in range(60)]
    assert 0.1 < np.mean([name is not None for name in names]) < 0.5


def test_pictures():
    spec = WorldSpec(1, 48, 48, 12, "plain")
    for index in range(6):
        clip = generate("train", index, spec)
        scene = json.loads(clip["scene"])
        assert clip["frames"].shape == (1, 48, 48, 3)
        assert clip["caption"].startswith("A picture of a")
        assert "camera" not in clip["caption"]
        for thing in scene["objects"]:
            assert f"{thing['color']} {thing['shape']}" in clip["caption"]
        assert (clip["visibility"][0, : len(scene["objects"])] > 0.3).all()
