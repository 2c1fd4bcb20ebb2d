"""The ray caster against MuJoCo's own rays, and the per-pixel ground truth against geometry."""

import functools
import json

import mujoco
import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, generate, kernels
from seedance_jax.data.world import vocabulary as words
from seedance_jax.data.world.generation import shoot
from seedance_jax.data.world.physics import scene_xml

SPEC = WorldSpec(slice="full")
INDICES = range(8)


@functools.cache
def clip(index):
    return generate("train", index, SPEC, dense=True)


@functools.cache
def shots(index):
    """(first frame, shot) of every shot; some of INDICES have two."""
    parts, _ = shoot("train", index, SPEC)
    starts = np.cumsum([0, *(len(part.area) for part in parts[:-1])])
    return list(zip(starts.tolist(), parts, strict=True))


def oracle(index, frame):
    """(depth, segmentation) of one frame, [H, W] each, by mj_multiRay."""
    start, shot = [(start, shot) for start, shot in shots(index) if start <= frame][-1]
    scene, motion, cameras, frame = shot.scene, shot.motion, shot.cameras, frame - start
    model = mujoco.MjModel.from_xml_string(scene_xml(scene, 0.01))
    data = mujoco.MjData(model)
    free = [k for k, body in enumerate(scene.bodies) if not body.static]
    for pose, k in zip(data.qpos.reshape(-1, 7), free, strict=True):
        pose[:3] = motion.position[frame, k]
        mujoco.mju_mat2Quat(pose[3:], motion.rotation[frame, k].ravel())
    mujoco.mj_kinematics(model, data)
    y, x = np.mgrid[: SPEC.height, : SPEC.width] + 0.5
    pixels = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], -1)
    rays = pixels @ np.linalg.inv(cameras.intrinsics[frame]).T @ cameras.rotation[frame]
    lengths = np.linalg.norm(rays, axis=1)
    geoms, reach = np.zeros(len(rays), np.int32), np.zeros(len(rays))
    directions = (rays / lengths[:, None]).ravel()
    eye = cameras.eye[frame].copy()
    mujoco.mj_multiRay(
        model, data, eye, directions, None, 1, -1, geoms, reach, None, len(rays), mujoco.mjMAXVAL
    )
    depth = np.where(geoms < 0, np.inf, reach / lengths)
    sky = (geoms < 0) | ((geoms == 0) & (depth > kernels.FAR))
    shape = (SPEC.height, SPEC.width)
    return np.where(sky, np.inf, depth).reshape(shape), np.where(sky, 255, geoms).reshape(shape)


@pytest.mark.parametrize("index", INDICES)
def test_depth_and_segmentation_agree_with_mujoco(index):
    for frame in (0, 8, 9, 16):
        depth, segmentation = oracle(index, frame)
        mine = clip(index)
        same = mine["segmentation"][frame] == segmentation
        assert same.mean() > 0.999
        finite = same & np.isfinite(depth)
        ours = mine["depth"][frame][finite].astype(float)
        np.testing.assert_allclose(ours, depth[finite], rtol=2e-3)


@pytest.mark.parametrize("index", INDICES)
def test_flow_follows_the_moving_objects(index):
    """A pixel's point, moved with its object, is projected to where the flow says."""
    record = clip(index)
    y, x = np.mgrid[: SPEC.height, : SPEC.width] + 0.5
    pixels = np.stack([x, y, np.ones_like(x)], -1)
    for t in (0, 7, 12):  # 8 is the last of a shot
        k, r, move = (
            record[f"camera_{n}"].astype(float) for n in ("intrinsics", "rotation", "translation")
        )
        local = pixels @ np.linalg.inv(k[t]).T * record["depth"][t].astype(float)[..., None]
        for slot in range(json.loads(record["scene"])["num_objects"]):
            here = record["segmentation"][t] == slot + 1
            position, rotation = (
                record["object_position"][:, slot],
                record["object_rotation"][:, slot],
            )
            world = (local[here] - move[t]) @ r[t]
            moved = (world - position[t]) @ rotation[t] @ rotation[t + 1].T + position[t + 1]
            image = (moved @ r[t + 1].T + move[t + 1]) @ k[t + 1].T
            expected = image[:, :2] / image[:, 2:] - pixels[here][:, :2]
            np.testing.assert_allclose(record["flow"][t][here], expected, atol=0.1)


@pytest.mark.parametrize("index", INDICES)
def test_camera_flow_is_the_flow_of_what_stands_still(index):
    record = clip(index)
    still = (record["segmentation"] == 0) | (record["segmentation"] == 255)
    np.testing.assert_array_equal(record["flow"][still], record["camera_flow"][still])
    for start, shot in shots(index):
        strength = np.abs(record["camera_flow"][start : start + len(shot.area)]).max()
        assert strength < 1e-2 if shot.plan.move == "static" else strength > 0.1


def test_warping_the_next_frame_by_the_flow_explains_it():
    for index in INDICES:
        record = clip(index)
        frames, flow = record["frames"].astype(float), record["flow"].astype(float)
        y, x = np.mgrid[: SPEC.height, : SPEC.width]
        column = np.rint(x + flow[:-1, ..., 0]).astype(int)
        row = np.rint(y + flow[:-1, ..., 1]).astype(int)
        inside = (column >= 0) & (column < SPEC.width) & (row >= 0) & (row < SPEC.height)
        t = np.arange(len(frames) - 1)[:, None, None]
        warped = frames[t + 1, np.clip(row, 0, SPEC.height - 1), np.clip(column, 0, SPEC.width - 1)]
        moving = inside & (np.abs(flow[:-1]).max(-1) > 0.7) & (record["segmentation"][:-1] > 0)
        moving[[start - 1 for start, _ in shots(index)[1:]]] = False
        if moving.sum() < 500:
            continue
        explained = np.abs(warped - frames[:-1])[moving].mean()
        assert explained < 0.8 * np.abs(frames[1:] - frames[:-1])[moving].mean()


@pytest.mark.parametrize("index", INDICES)
def test_centres_project_into_their_segments(index):
    record = clip(index)
    checked = 0
    for k in range(json.loads(record["scene"])["num_objects"]):
        ways = [
            shot.cameras.project(shot.motion.position[:, k])[0][:-1] for _, shot in shots(index)
        ]
        for t, (x, y) in enumerate(np.concatenate(ways)):
            inside = 0 <= x < SPEC.width and 0 <= y < SPEC.height
            if inside and record["visibility"][t, k] == 1:
                assert record["segmentation"][t, int(y), int(x)] == k + 1
                checked += 1
    assert checked > 5


@pytest.mark.parametrize("index", INDICES)
def test_visibility_is_zero_just_where_nothing_is_seen(index):
    record = clip(index)
    assert ((record["visibility"] >= 0) & (record["visibility"] <= 1)).all()
    for k in range(3):
        seen = (record["segmentation"] == k + 1).any(axis=(1, 2))
        np.testing.assert_array_equal(record["visibility"][:, k] > 0, seen)


def test_colors_stay_apart_in_the_picture():
    """By daylight the mean colour of a solid object is nearest to the word that names it."""
    gamma = {name: np.array(rgb) ** (1 / 2.2) for name, rgb in words.COLORS.items()}
    hue = {name: rgb / np.linalg.norm(rgb) for name, rgb in gamma.items()}
    right, count = 0, 0
    for index in range(60):
        record = generate("train", index, WorldSpec(slice="tiny"), dense=True)
        thing = json.loads(record["scene"])["objects"][0]
        if thing["texture"] == "solid":
            mean = record["frames"][record["segmentation"] == 1].mean(0)
            mean /= np.linalg.norm(mean)
            right += min(hue, key=lambda name: np.linalg.norm(hue[name] - mean)) == thing["color"]
            count += 1
    assert count > 5
    assert right == count
