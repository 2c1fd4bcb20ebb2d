import numpy as np
import pytest

from seedance_jax.evaluation.metrics import vbench


def moving(speed, count=17, side=64):
    """A smooth texture that moves to the right, `speed` pixels a frame: uint8 [T, H, W, 3]."""
    rows, columns = np.mgrid[:side, :side].astype(float)
    frames = [
        128
        + 50 * np.sin((columns - speed * t) / 5)
        + 50 * np.sin(rows / 7 + (columns - speed * t) / 9)
        for t in range(count)
    ]
    return np.stack([np.stack(frames)] * 3, -1).astype(np.uint8)


def test_a_still_is_perfect_and_does_not_move():
    measured = vbench.measure_clip(moving(0.0), 12.0)
    assert measured["smoothness"] == pytest.approx(1.0, abs=1e-3)  # OpenCV looks up at 1/32 pixel
    assert (measured["flicker"], measured["moves"], measured["still"]) == (1.0, False, True)


@pytest.mark.parametrize("count", [3, 5, 6, 9, 17])
@pytest.mark.parametrize("fps", [8.0, 12.0, 24.0])
def test_clips_of_any_length_move_or_not(count, fps):
    grey = np.full((count, 64, 64, 3), 128, np.uint8)
    assert not vbench.moves(grey, fps)
    assert vbench.is_still(grey)
    fast = moving(6.0, count)
    assert vbench.moves(fast, fps) == (count > round(fps / 8))  # two frames 1/8 s apart, or more
    assert not vbench.is_still(fast)


def test_flow_is_the_way_of_the_picture():
    frames = moving(1.5)
    way = vbench.flow(frames[0], frames[1])[12:-12, 12:-12]
    np.testing.assert_allclose(np.median(way, (0, 1)), (1.5, 0.0), atol=0.1)


@pytest.mark.parametrize(("fps", "speed"), [(8.0, 2.0), (16.0, 1.0), (24.0, 0.67), (4.0, 4.0)])
def test_what_moves_is_a_matter_of_speed_not_of_frames(fps, speed):
    """The limit is 1.5 pixels in 1/8 s of a frame of 64; at 4 frames a second it is twice that."""
    assert vbench.moves(moving(speed), fps)
    assert not vbench.moves(moving(speed / 2), fps)
    assert not vbench.is_still(moving(speed))


def test_flicker_is_the_change_of_stills_only():
    flickering = moving(0.0)
    flickering[1::2] += 5
    clips = [vbench.measure_clip(clip, 12.0) for clip in (flickering, moving(3.0))]
    summary = vbench.summarize(clips)
    assert clips[0]["still"]
    assert summary["temporal_flickering"].value == pytest.approx(1 - 5 / 255)
    assert summary["temporal_flickering"].count == 1
    assert summary["temporal_change"].count == 2
    assert summary["dynamic_degree_lite"].value == 0.5


def test_even_motion_is_smooth_and_shuffled_motion_is_not():
    frames = moving(2.0)
    orders = {
        "even": np.arange(17),
        "stutter": np.arange(17) // 2 * 2,
        "shuffled": np.random.default_rng(0).permutation(17),
    }
    scores = {name: vbench.motion_smoothness(frames[order]) for name, order in orders.items()}
    assert scores["even"] > 0.98
    assert scores["even"] > scores["stutter"] + 0.005 > scores["shuffled"]


def test_clips_that_cannot_be_measured_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        vbench.measure_clip(moving(1.0).astype(np.float32), 12.0)
    with pytest.raises(ValueError, match="needs 3 frames and 16 pixels"):
        vbench.measure_clip(moving(1.0)[:2], 12.0)
    with pytest.raises(ValueError, match="fps=0"):
        vbench.measure_clip(moving(1.0), 0)
