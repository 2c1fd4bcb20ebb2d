"""Clips of two shots: one simulation before two cameras, each with its own caption."""

import functools
import json

import numpy as np
import pytest

from seedance_jax.data import schema
from seedance_jax.data.transforms import legal_starts
from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world import vocabulary as words
from seedance_jax.data.world.generation import shoot

SPECS = {"tiny": WorldSpec(slice="tiny"), "full": WorldSpec(slice="full")}
DIRECTIONS = {"to the left": -1, "to the right": 1, "towards the camera": -1, "away from": 1}


@pytest.fixture(params=sorted(SPECS))
def slice_name(request):
    return request.param


@functools.cache
def takes(slice_name):
    """{(split, index): shots} of some clips, without pictures of them."""
    keys = [(split, index) for split in ("train", "held_out_combinations") for index in range(150)]
    return {key: shoot(*key, SPECS[slice_name])[0] for key in keys}


@functools.cache
def cut_clips(slice_name):
    """Twelve clips of two shots."""
    keys = [key for key, shots in takes(slice_name).items() if len(shots) == 2]
    return [generate(*key, SPECS[slice_name], dense=True) for key in keys[:12]]


def parts(clip):
    """(its caption, the frames) of both shots of a clip."""
    first, second = schema.read_shots(clip)
    border = first.num_frames
    return [(first.caption, slice(0, border)), (second.caption, slice(border, None))]


def test_as_many_clips_are_cut_as_the_slice_says(slice_name):
    counts = [len(shots) for shots in takes(slice_name).values()]
    share = words.SLICES[slice_name].two_shot
    error = (share * (1 - share) / len(counts)) ** 0.5
    assert abs(counts.count(2) / len(counts) - share) < 3 * error
    events = {shots[0].scene.event for shots in takes(slice_name).values() if len(shots) == 2}
    assert events == set(words.TWO_SHOT_EVENTS) & set(words.SLICES[slice_name].events)


@pytest.mark.parametrize(
    ("num_frames", "lengths"), [(5, [5]), (9, [5, 4]), (13, [9, 4]), (17, [9, 8]), (49, [25, 24])]
)
def test_the_cut_lies_between_latent_frames(num_frames, lengths):
    spec = WorldSpec(num_frames=num_frames, fps=num_frames - 1)
    assert spec.cut_lengths == lengths
    assert legal_starts(lengths, num_frames, 1).tolist() == [0]


def test_every_shot_names_the_object_that_both_show(slice_name):
    for clip in cut_clips(slice_name):
        [thing] = json.loads(clip["scene"])["objects"]
        name = f"{thing['color']} {thing['shape']}"
        (first, _), (second, _) = parts(clip)
        assert clip["caption"].startswith("Two shots of a")
        assert first.startswith(("A ", "An "))
        assert second.startswith("The ")
        assert all(name in text for text in (clip["caption"], first, second))
        for _, frames in parts(clip):
            visible = (clip["segmentation"][frames] == 1).mean((1, 2))
            assert (visible > 0.02).mean() > 0.8


def test_an_object_looks_alike_in_both_shots():
    for clip in cut_clips("tiny"):
        hues = []
        for _, frames in parts(clip):
            color = clip["frames"][frames][clip["segmentation"][frames] == 1].mean(0)
            hues.append(color / np.linalg.norm(color))
        assert hues[0] @ hues[1] > 0.99


def test_directions_are_those_before_the_camera_of_the_shot(slice_name):
    """Left and right by the image, towards and away by the distance."""
    said = set()
    for key, shots in takes(slice_name).items():
        if len(shots) == 1:
            continue
        clip = generate(*key, SPECS[slice_name])
        for number, (caption, frames) in enumerate(parts(clip)):
            image = [project(clip, t, 0) for t in range(17)[frames]]
            x, depth = np.array([point[0] for point in image]), [point[2] for point in image]
            for word, sign in DIRECTIONS.items():
                if word not in caption:
                    continue
                said.add((number, word))
                sideways = word.startswith("to the")
                way = (x[-1] - x[0]) / 64 if sideways else (depth[-1] - depth[0])
                assert way * sign > (0.08 if sideways else 0.1), (clip["id"], caption)
    assert {word for number, word in said if number == 1} == set(DIRECTIONS)


def project(clip, frame, k):
    """Pixel (x, y) and distance along the optical axis of an object's centre."""
    local = clip["camera_rotation"][frame] @ clip["object_position"][frame, k]
    local = local + clip["camera_translation"][frame]
    image = clip["camera_intrinsics"][frame] @ local
    return image[0] / image[2], image[1] / image[2], local[2]


def test_the_camera_jumps_and_the_simulation_does_not(slice_name):
    for clip in cut_clips(slice_name):
        border = parts(clip)[1][1].start
        turns = np.einsum(
            "nij,nij->n", clip["camera_rotation"][:-1], clip["camera_rotation"][1:]
        )  # 1 + 2 cos(angle)
        angles = np.degrees(np.arccos(np.clip((turns - 1) / 2, -1, 1)))
        assert angles[border - 1] > 30
        assert np.delete(angles, border - 1).max() < 10
        step = np.diff(clip["object_position"][:, 0], axis=0) * clip["fps"]
        speed = clip["object_velocity"][:, 0, :3]
        middle = (speed[border - 1] + speed[border]) / 2
        if not clip["contacts"][border, 0, 1] or np.ptp(speed[border - 1 : border + 1, 2]) < 0.1:
            np.testing.assert_allclose(step[border - 1], middle, atol=0.06)


def test_moves_are_those_of_the_camera_of_the_shot(slice_name):
    for clip in cut_clips(slice_name):
        for caption, frames in parts(clip):
            focal = clip["camera_intrinsics"][frames, 0, 0]
            pose = np.concatenate(
                [
                    clip["camera_rotation"][frames].reshape(-1, 9),
                    clip["camera_translation"][frames],
                ],
                axis=1,
            )
            moved = np.abs(pose[-1] - pose[0]).max() > 0.05
            assert ("zooms in" in caption) == (focal[-1] > 1.1 * focal[0])
            assert ("zooms out" in caption) == (focal[0] > 1.1 * focal[-1])
            assert moved == (not any(word in caption for word in ("static", "zooms")))


def test_a_cut_is_seen(slice_name):
    ratios = []
    for clip in cut_clips(slice_name):
        border = parts(clip)[1][1].start
        change = np.abs(np.diff(clip["frames"].astype(float), axis=0)).mean((1, 2, 3))
        ratios.append(change[border - 1] / np.delete(change, border - 1).max())
    assert np.mean(np.array(ratios) > 1.4) > 0.9
    assert np.median(ratios) > 2


def test_the_last_flow_of_a_shot_is_that_of_its_own_camera(slice_name):
    """It leads to a frame that is not shown, so it is no larger than the flow before it."""
    for clip in cut_clips(slice_name):
        border = parts(clip)[1][1].start
        still = clip["segmentation"] == 0
        size = [np.abs(clip["camera_flow"][t][still[t]]).mean() for t in (border - 2, border - 1)]
        assert size[1] < 2 * size[0] + 0.1
