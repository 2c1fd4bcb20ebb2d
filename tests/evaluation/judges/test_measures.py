"""Measures that judges share, on numbers and pixels made by hand."""

import numpy as np
import pytest
from scipy import ndimage

from seedance_jax.evaluation.judges import (
    calibration,
    camera_background,
    camera_paths,
    colors,
    detection,
    quality,
    shattering,
)


def test_lab_leads_back_to_light():
    linear = np.random.default_rng(0).random((5, 4, 3))
    assert colors.to_linear(colors.to_lab(linear)) == pytest.approx(linear, abs=1e-9)


@pytest.mark.parametrize(
    ("heights", "least", "most"),
    [
        ([0.0, 1.0] * 6, 0.9, 2.1),  # to and fro
        (np.arange(12.0) ** 2 / 20, 0.0, 0.0),  # falls
        (np.abs(np.arange(12.0) - 6) / 2, 0.0, 0.0),  # bounces once
        ([0.0, 1.0, 0.0, 1.0], 0.0, 0.0),  # is seen too briefly
    ],
)
def test_going_to_and_fro_is_told_from_falls_and_bounces(heights, least, most):
    center = np.stack([np.arange(len(heights), dtype=float), heights], -1)
    assert least <= quality.zigzag(center, 1.0) <= most


def test_a_camera_is_asked_to_roll_as_its_record_says():
    moves = {"roll clockwise": 12.0}
    step = {"moves": moves, "start": 0.0, "stop": 1.0, "easing": "linear"}
    frames = [{"time": time} for time in (0.0, 1.0)]
    camera = {"steps": [step], "keyframes": frames, "said": ["moves", "numbers"]}
    roll = camera_paths.roll_of(camera, 9)
    sign = np.sign(roll[-1])
    assert sign * roll == pytest.approx(np.linspace(0, 12, 9))
    opposite = step | {"moves": {"roll counterclockwise": 12.0}}
    assert camera_paths.roll_of(camera | {"steps": [opposite]}, 9) == pytest.approx(-roll)
    assert not camera_paths.roll_of(camera | {"steps": []} | {"keyframes": []}, 9).any()


def test_white_is_told_from_a_shadow_and_from_the_floor():
    light = np.full((4, 32, 32, 3), (0.34, 0.34, 0.35))
    light[:, 10:20, 4:12] = 0.85  # white in the sun
    light[:, 10:20, 20:28] = (0.11, 0.12, 0.14)  # a shadow
    lab = colors.to_lab(light)
    taken = np.zeros(lab.shape[:3], bool)
    floor = colors.background_from_below(lab, ~taken)
    white = colors.whole_white_pixels(lab, floor, taken, striped=False)
    assert white[:, 11:19, 5:11].all()
    assert not white[:, :, 14:].any()


def test_cameras_of_the_old_world_see_rows_as_they_did():
    lab = np.random.default_rng(1).normal(60, 4, (3, 32, 32, 3))
    _, known = camera_background._background(lab, np.zeros(lab.shape[:3], bool), wide=False)
    light = lab[..., 0]
    odd = light - np.median(light, axis=2, keepdims=True) < -camera_background.MAX_ODDITY
    side = 2 * round(camera_background.GROWTH * 32) + 1
    assert (known == 1 - ndimage.maximum_filter(odd, (1, side, side))).all()
    assert 0 < known.mean() < 1


def test_parts_that_touch_are_two():
    rows, columns = np.mgrid[:64, :64]
    both = np.hypot(rows - 32, np.abs(columns - 32) - 7) < 7.2
    track = detection.Track("red", None, None, None, None, None, 0, np.stack([both] * 5))
    assert shattering.parts(track, 0) == [2] * 3


@pytest.mark.parametrize("side", [64, 128, 288])
def test_a_step_is_sharp_and_a_wide_blur_is_what_no_bound_lets_through(side):
    masks = np.zeros((1, side, side), bool)
    masks[:, side // 4 : -side // 4, side // 4 : -side // 4] = True
    shade = np.linspace(150, 250, side)[:, None, None]  # so that some of the outline is clearest
    step = np.where(masks[..., None], shade, 60).astype(np.uint8).repeat(3, -1)
    sigma = 0.05 * side
    blurred = ndimage.gaussian_filter(step.astype(float), (0, sigma, sigma, 0))
    far = 1 / (2 * quality.reach(side, side))
    assert quality.sharpness(step, masks) > 0.95
    assert quality.sharpness(blurred.astype(np.float32), masks) < far + calibration.SHARPER
    assert far + calibration.SHARPER < 0.3
