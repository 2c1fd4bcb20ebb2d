import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from seedance_jax.evaluation import judges


def accuracy(frames, colors):
    return np.mean([judges.main_object_color(f) == c for f, c in zip(frames, colors, strict=True)])


def still(clip, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, clip.shape)
    return np.clip(clip[:1] + noise, 0, 255).astype(np.uint8)


def test_finds_the_color_of_rendered_objects(clips):
    assert accuracy(*clips) >= 0.9


@pytest.mark.parametrize("sigma", [(0, 1, 1, 0), (1, 1.5, 1.5, 0)])
def test_blur_does_not_change_the_color(clips, sigma):
    frames, colors = clips
    assert accuracy([gaussian_filter(clip, sigma) for clip in frames], colors) >= 0.9


def test_noise_does_not_change_the_color(clips):
    frames, colors = clips
    noise = np.random.default_rng(0).normal(0, 5, frames.shape)
    assert accuracy(np.clip(frames + noise, 0, 255).astype(np.uint8), colors) >= 0.9


def test_sees_no_object_where_there_is_only_background(clips):
    for clip in clips[0]:
        empty = np.median(clip, axis=2, keepdims=True).astype(np.uint8)
        assert judges.main_object_color(np.broadcast_to(empty, clip.shape)) is None


@pytest.mark.parametrize("sigma", [20, 60])
@pytest.mark.parametrize("blur", [0, 4])
def test_sees_no_object_in_noise(sigma, blur):
    noise = gaussian_filter(
        np.random.default_rng(0).normal(size=(17, 64, 64, 3)), (0, blur, blur, 0)
    )
    frames = np.clip(128 + sigma * noise / noise.std(), 0, 255).astype(np.uint8)
    assert judges.main_object_color(frames) is None


def test_the_larger_object_counts(clips):
    frames, colors = clips
    clip = frames[colors.index("red")].copy()
    clip[:, :5, :5] = (40, 60, 200)
    assert judges.main_object_color(clip) == "red"


def test_rendered_clips_move_and_noisy_stills_do_not(clips):
    for clip in clips[0]:
        assert not judges.is_frozen(clip)
        assert judges.is_frozen(still(clip, 2.0))


def test_motion_is_in_levels_per_frame():
    ramp = np.arange(5, dtype=np.uint8)[:, None, None, None] * 7
    assert judges.motion(np.broadcast_to(ramp, (5, 32, 48, 3))) == pytest.approx(7.0)


def test_a_small_moving_object_is_motion():
    clip = np.full((9, 64, 64, 3), 120, np.uint8)
    for number, frame in enumerate(clip):
        frame[30:38, 10 + 2 * number : 18 + 2 * number] = (200, 20, 20)
    assert not judges.is_frozen(clip)


@pytest.mark.parametrize(("error", "expected"), [(255, 0.0), (1, 48.1308), (10, 28.1308)])
def test_psnr_of_constant_errors(error, expected):
    zeros = np.zeros((2, 16, 16, 3), np.uint8)
    assert judges.psnr(zeros, zeros + np.uint8(error)) == pytest.approx(expected, abs=1e-3)
    assert judges.psnr(zeros, zeros) == float("inf")


def test_says_what_it_cannot_judge():
    with pytest.raises(ValueError, match="float32"):
        judges.main_object_color(np.zeros((2, 16, 16, 3), np.float32))
    with pytest.raises(ValueError, match="2 frames"):
        judges.motion(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="one shape"):
        judges.psnr(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
