"""Motion, camera, shake and speed of pictures that move by known amounts."""

import cv2
import numpy as np
import pytest

from seedance_jax.data.curation import motion, optical_flow
from seedance_jax.data.world import WorldSpec, generate


def texture(seed, side=256):
    """A smooth random picture, uint8 [side, side, 3], by which flow is well known."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 3))
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(128 + 45 * soft / soft.std(), 0, 255).astype(np.uint8)


def pan(columns, side=64, size=64):
    """A wide picture seen from these columns, which may lie between pixels; [T, size, size, 3].

    side: of the window in the picture, whatever the size of the frames.
    """
    picture, frames = texture(0), []
    for column in columns:
        place = np.float32([[side / size, 0, 80 + column], [0, side / size, 80]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(picture, place, (size, size), flags=flags))
    return np.stack(frames)


def square_over(frames, columns, side=20):
    """Another texture, a square, over frames, with its left edge at these columns."""
    frames, patch = frames.copy(), texture(1)[:side, :side]
    for frame, column in zip(frames, columns, strict=True):
        frame[20 : 20 + side, column : column + side] = patch
    return frames


STEADY = np.arange(9) * 1.5  # pixels of 64: 0.28 widths a second at 12 frames a second


def test_a_camera_that_pans_over_a_picture_moves_and_nothing_else_does():
    found = motion.score(pan(STEADY), 12.0)
    np.testing.assert_allclose(found["camera"], 1.5 / 64 * 12, rtol=0.03)
    np.testing.assert_allclose(found["speed"], 1.5 / 64 * 12, rtol=0.1)
    assert found["motion"] < 0.04
    assert found["shake"] < 0.02


def test_what_moves_before_a_camera_that_stands_is_motion():
    places = 10 + 2 * np.arange(9)
    found = motion.score(square_over(pan(np.zeros(9)), places), 12.0)
    np.testing.assert_allclose(found["motion"], 2 / 64 * 12, rtol=0.1)
    assert found["camera"] < 0.02


def test_what_moves_against_a_camera_has_the_motion_of_both():
    places = 10 + 2 * np.arange(9)
    found = motion.score(square_over(pan(STEADY), places), 12.0)
    np.testing.assert_allclose(found["motion"], (2 + 1.5) / 64 * 12, rtol=0.15)
    np.testing.assert_allclose(found["camera"], 1.5 / 64 * 12, rtol=0.1)


def test_nothing_moves_in_a_still():
    found = motion.score(pan(np.zeros(9)), 12.0)
    assert max(found.values()) < 1e-3


def test_neither_rate_nor_size_matter():
    first = motion.score(pan(STEADY), 12.0)
    twice = motion.score(pan(np.arange(17) * 0.75), 24.0)
    large = motion.score(pan(STEADY, size=192), 12.0)
    for name in ("camera", "speed"):
        np.testing.assert_allclose([twice[name], large[name]], first[name], rtol=0.05)


def test_a_camera_shakes_if_its_path_is_rough_not_if_it_gets_faster():
    rough = STEADY + 1.5 * (np.arange(9) % 2)  # steps of 3 and 0 pixels
    faster = 0.2 * np.arange(9) ** 2
    shaken, steady = (motion.score(pan(path), 12.0)["shake"] for path in (rough, faster))
    np.testing.assert_allclose(shaken, 3 / 64 * 12, rtol=0.1)
    assert steady < 0.03


def test_no_step_leads_over_a_cut():
    cut = np.concatenate([pan(np.zeros(5)), pan(np.zeros(4))[:, ::-1]])
    assert motion.score(cut, 12.0)["speed"] > 0.1
    assert motion.score(cut, 12.0, (5, 4))["speed"] < 1e-3


def test_no_background_moves_much_farther_than_anything_was_seen_to():
    for seed in range(20):  # of noise, two of three homographies run away
        flow = np.random.default_rng(seed).normal(0.0, 8.0, size=(64, 64, 2)).astype(np.float32)
        found = np.linalg.norm(optical_flow.homography_flow(flow), axis=-1).max()
        assert found <= 1.5 * np.linalg.norm(flow, axis=-1).max() + 1


def test_a_homography_is_found_in_spite_of_what_moves_before_it():
    matrix = np.array([[1.01, 0.02, 1.0], [-0.02, 1.0, 0.5], [2e-4, 1e-4, 1.0]])
    y, x = np.mgrid[:64, :64].astype(float)
    moved = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    true = (moved[..., :2] / moved[..., 2:] - np.stack([x, y], -1)).astype(np.float32)
    flow = true.copy()
    flow[20:50, 10:40] += (4.0, -3.0)
    np.testing.assert_allclose(optical_flow.homography_flow(flow), true, atol=0.05)


@pytest.mark.parametrize("frames", [1, 2])
def test_what_too_few_frames_cannot_tell_is_nan(frames):
    found = motion.score(pan(np.zeros(frames)), 12.0)
    assert np.isnan(found["shake"])
    assert np.isnan(found["motion"]) == (frames == 1)


def test_the_number_of_threads_is_left_as_it_was():
    before = cv2.getNumThreads()
    motion.score(pan(np.zeros(3)), 12.0)
    assert cv2.getNumThreads() == before


def world_clip():
    """The first clip of `plain` whose camera moves, with its ground truth per pixel."""
    for index in range(20):
        row = generate("train", index, WorldSpec(9, 64, 64, 8, "plain"), dense=True)
        if row["shots"].count("num_frames") == 1 and np.abs(row["camera_flow"]).max() > 1:
            return row
    raise AssertionError("no camera moves")


def test_known_cameras_give_the_flow_of_the_floor_and_the_sky():
    row = world_clip()
    names = ("camera_intrinsics", "camera_rotation", "camera_translation")
    camera = optical_flow.Camera(*(np.asarray(row[name], float) for name in names))
    for n in range(8):
        found = optical_flow.known_flow(camera.at(slice(n, n + 2)), (64, 64), (64, 64))
        bare = np.isin(row["segmentation"][n], (0, 255))
        np.testing.assert_allclose(found[bare], row["camera_flow"][n][bare], atol=0.02)
        small = optical_flow.known_flow(camera.at(slice(n, n + 2)), (64, 64), (32, 32))
        np.testing.assert_allclose(small, found.reshape(32, 2, 32, 2, 2).mean((1, 3)) / 2, atol=0.1)
    known = motion.score(row["frames"], 8.0, (), camera)
    true = np.linalg.norm(row["camera_flow"].astype(float), axis=-1)[:-1].mean() / 64 * 8
    np.testing.assert_allclose(known["camera"], true, rtol=0.1)
