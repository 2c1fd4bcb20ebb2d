"""Cameras, gravity and states of a row as conditions, through resizing and cropping."""

import json

import numpy as np
import pytest
from clips import clip_record, world_record

from seedance_jax.data import ground_truth, schema, transforms
from seedance_jax.models import rasters

SIZE = (32, 32)
CROP = transforms.Crop(48, 60, top=3, left=20, size=SIZE)
ROW = world_record(0, num_frames=9, height=64, width=80)
LATENT = np.arange(0, 9, 4)


def projected(row, point, frame, crop):
    """Where a point of the world lies in a frame as it is shown, in pixels, and its depth."""
    local = row["camera_rotation"][frame] @ point + row["camera_translation"][frame]
    u, v, w = row["camera_intrinsics"][frame] @ local
    across, down = crop.width / row["width"], crop.height / row["height"]
    return np.array([u / w * across - crop.left, v / w * down - crop.top]), local[2]


def test_states_are_where_the_objects_are_seen():
    states = ground_truth.states(ROW, LATENT, CROP)
    assert states.shape == (3, schema.STATE_SLOTS, 5)
    assert states.dtype == np.float32
    for t, frame in enumerate(LATENT):
        for k in (0, 1) if frame else (0,):  # the second comes later
            point = ROW["object_position"][frame, k]
            pixel, depth = projected(ROW, point, frame, CROP)
            top, _ = projected(ROW, point + np.array([0, 0, 0.1 * (k + 1)]), frame, CROP)
            size = (pixel[1] - top[1]) / SIZE[0]
            expected = [*pixel / SIZE[::-1], depth, size, 0.75]
            np.testing.assert_allclose(states[t, k], expected, rtol=1e-4, atol=1e-5)
    assert not states[0, 1].any()
    assert not states[:, 2:].any()


def test_what_is_behind_the_camera_or_one_too_many_is_not_there():
    row = world_record(1, objects=schema.STATE_SLOTS + 3)
    crop = transforms.choose_crop(row, SIZE, None)
    assert (ground_truth.states(row, LATENT, crop)[..., 2] > 0).all()
    behind = row["object_position"].copy()
    behind[:, 4] = [0.0, -9.0, 0.0]
    found = ground_truth.states(row | {"object_position": behind}, LATENT, crop)
    assert [k for k in range(schema.STATE_SLOTS) if not found[:, k].any()] == [4]


def test_rays_meet_the_points_that_are_seen_there():
    camera = ground_truth.camera(ROW, LATENT, CROP)
    assert camera.shape == (3, 3, 4)
    first = ROW["camera_rotation"][0], ROW["camera_translation"][0]
    for t, frame in enumerate(LATENT):
        point = ROW["object_position"][frame, 0]
        pixel, _ = projected(ROW, point, frame, CROP)
        ray = camera[t, :, :3] @ [*pixel / SIZE[::-1], 1.0]
        seen_from = first[0] @ point + first[1] - camera[t, :, 3]
        cosine = ray @ seen_from / np.linalg.norm(ray) / np.linalg.norm(seen_from)
        np.testing.assert_allclose(cosine, 1.0, atol=1e-6)
    assert not camera[0, :, 3].any()
    np.testing.assert_allclose(np.linalg.norm(camera[2, :, 3]), 0.5, rtol=1e-4)


def test_the_world_that_a_camera_stands_in_does_not_matter():
    turned = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    shift = np.array([3.0, -1.0, 2.0])
    rotation = ROW["camera_rotation"] @ turned.T
    translation = ROW["camera_translation"] - rotation @ shift
    elsewhere = ROW | {"camera_rotation": rotation, "camera_translation": translation}
    expected = ground_truth.camera(ROW, LATENT, CROP)
    found = ground_truth.camera(elsewhere, LATENT, CROP)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def rays(row, crop):
    """Channels [T, H, W, 6] on the grid of the latents of a crop."""
    camera = ground_truth.camera(row, LATENT, crop)[None]
    return np.asarray(rasters.ray_channels(camera, tuple(side // 16 for side in crop.size)))[0]


def test_rays_of_a_crop_are_the_crop_of_the_rays_and_resizing_changes_none():
    whole = rays(ROW, transforms.Crop(64, 80, 0, 0, (64, 80)))
    part = rays(ROW, transforms.Crop(64, 80, 16, 32, (48, 32)))
    np.testing.assert_allclose(part, whole[:, 1:, 2:4], atol=1e-6)
    np.testing.assert_allclose(
        ground_truth.camera(ROW, LATENT, transforms.Crop(32, 40, 0, 0, (32, 32))),
        ground_truth.camera(ROW, LATENT, transforms.Crop(64, 80, 0, 0, (64, 64))),
        atol=1e-6,
    )


def test_objects_of_the_world_are_drawn_where_their_states_say():
    pytest.importorskip("mujoco", reason="the world is an extra")
    from seedance_jax.data.world import WorldSpec, generate

    seen = 0
    for index in range(3):
        row = generate("train", index, WorldSpec(slice="plain"), dense=True)
        numbers = np.arange(0, row["num_frames"], 4)
        drawn = row["segmentation"][:, 16:, :48]
        states = ground_truth.states(row, numbers, transforms.Crop(64, 64, 16, 0, (48, 48)))
        for t, k in np.argwhere((states[..., 4] > 0.95) & (states[..., 3] > 0.05)):
            column, line = (states[t, k, :2] * 48).astype(int)
            if min(column, line) >= 0 and max(column, line) < 48:
                assert drawn[numbers[t], line, column] == k + 1
                seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        ({"physics": {"gravity": 3.7}, "gravity": 3.7}, 3.7),
        ({"physics": {}, "gravity": 3.7}, np.nan),  # which it does not tell
        ({"gravity": 9.5}, 9.5),  # of the old world
    ],
)
def test_gravity_is_that_which_a_scene_may_tell(scene, expected):
    found = ground_truth.gravity({"scene": json.dumps(scene)}, LATENT, CROP)
    np.testing.assert_array_equal(found, np.float32(expected))


@pytest.mark.parametrize("name", schema.TRUTH)
def test_of_real_clips_nothing_is_known(name):
    known, unknown = (
        ground_truth.READERS[name](row, LATENT, CROP) for row in (ROW, clip_record(0))
    )
    assert np.isnan(unknown).all()
    assert np.isfinite(known).all()
    field = schema.CONDITION[name]
    for value in (known, unknown):
        assert value.dtype == field.dtype
        assert value.shape == tuple(3 if length is None else length for length in field.shape)
