"""Camera moves do what their names say; a still world's image shows it."""

import dataclasses

import numpy as np
import pytest

from seedance_jax.data.world import vocabulary as words
from seedance_jax.data.world.camera import aim
from seedance_jax.data.world.scene import CameraPlan

COUNT = 10  # 9 shown frames
TARGET = np.array([0.2, -0.1, 0.5])


def views(move, azimuth=10.0):
    low, high = words.CAMERA_MOVES[move].amount
    plan = CameraPlan(move, (low + high) / 2, azimuth, 18.0, 1.6, 2.4)
    return aim(plan, TARGET, plan.view_height, COUNT, (64, 96))


def shift(move):
    """How far (x, y) the image of the target goes from the first shown frame to the last."""
    pixels, _ = views(move).project(np.tile(TARGET, (COUNT, 1)))
    return pixels[-2] - pixels[0]


@pytest.mark.parametrize("move", sorted(words.CAMERA_MOVES))
def test_rotations_are_rotations_and_poses_consistent(move):
    cameras = views(move)
    product = np.einsum("nij,nkj->nik", cameras.rotation, cameras.rotation)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(cameras.rotation), 1)
    points = np.tile(TARGET, (COUNT, 1))
    by_translation = np.einsum("nij,nj->ni", cameras.rotation, points) + cameras.translation
    np.testing.assert_allclose(by_translation, cameras.to_camera(points), atol=1e-12)


def test_upright_camera_looks_at_its_target():
    cameras = views("static")
    pixels, depth = cameras.project(np.tile(TARGET, (COUNT, 1)))
    np.testing.assert_allclose(pixels, np.tile((48.0, 32.0), (COUNT, 1)), atol=1e-9)
    np.testing.assert_allclose(depth, 2.4 * 1.6)
    raised = TARGET + np.array([0.0, 0.0, 0.3])
    above, _ = cameras.project(np.tile(raised, (COUNT, 1)))
    assert (above[:, 1] < 32).all()
    assert np.allclose(above[:, 0], 48)


def test_turning_the_camera_moves_the_image_the_other_way():
    assert shift("pan right")[0] < -8 < 8 < shift("pan left")[0]
    assert shift("tilt down")[1] < -6 < 6 < shift("tilt up")[1]


def test_zoom_changes_focal_length_by_its_ratio_and_nothing_else():
    for move, sign in (("zoom in", 1), ("zoom out", -1)):
        cameras = views(move)
        focal = cameras.intrinsics[:, 0, 0]
        low, high = words.CAMERA_MOVES[move].amount
        assert focal[-2] / focal[0] == pytest.approx(((low + high) / 2) ** sign)
        assert np.ptp(cameras.eye, axis=0).max() == 0


def test_dolly_and_orbit_move_the_eye():
    for move, sign in (("dolly in", -1), ("dolly out", 1)):
        distance = np.linalg.norm(views(move).eye - TARGET, axis=1)
        assert distance[-2] - distance[0] == pytest.approx(sign * 1.0)
    for move, sign in (("orbit left", -1), ("orbit right", 1)):
        cameras = views(move)
        np.testing.assert_allclose(np.linalg.norm(cameras.eye - TARGET, axis=1), 2.4 * 1.6)
        assert sign * (cameras.rotation[0] @ (cameras.eye[-2] - cameras.eye[0]))[0] > 1


def test_resized_views_scale_the_image():
    cameras, points = views("orbit left"), np.tile(TARGET + 0.2, (COUNT, 1))
    half = cameras.resized(32, 48)
    np.testing.assert_allclose(half.project(points)[0] * 2, cameras.project(points)[0])
    assert dataclasses.asdict(half)["width"] == 48
