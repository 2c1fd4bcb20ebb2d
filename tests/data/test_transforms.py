import numpy as np
import pytest
from clips import clip_record, moving_square

from seedance_jax.data import transforms, video


@pytest.mark.parametrize(("frames", "stride"), [(1, 1), (5, 1), (5, 2), (9, 1)])
def test_sub_clips_lie_inside_and_reach_both_ends(frames, stride):
    rng = np.random.default_rng(0)
    drawn = [transforms.sub_clip(9, frames, stride, rng) for _ in range(100)]
    assert all(len(numbers) == frames and numbers.step == stride for numbers in drawn)
    assert min(numbers[0] for numbers in drawn) == 0
    assert max(numbers[-1] for numbers in drawn) == 8


def test_without_rng_the_middle_is_taken():
    assert transforms.sub_clip(9, 1, 1, None)[0] == 4
    assert transforms.sub_clip(9, 5, 1, None) == range(2, 7)
    frames = moving_square(0, height=32, width=48)
    assert np.array_equal(transforms.crop(frames, (32, 32), None), frames[:, :, 8:40])


@pytest.mark.parametrize("size", [(32, 48), (90, 160), (100, 37), (64, 64)])
def test_cover_keeps_the_aspect_and_covers(size):
    height, width = transforms.cover_size(*size, (32, 32))
    assert min(height, width) == 32
    assert height / width == pytest.approx(size[0] / size[1], rel=0.02)


def test_enlarging_and_stretching_time_are_errors():
    with pytest.raises(ValueError, match="30x64 is smaller than 32x32"):
        transforms.cover_size(30, 64, (32, 32))
    with pytest.raises(ValueError, match="5 frames 3 apart"):
        transforms.sub_clip(9, 5, 3, None)


def test_an_untouched_clip_is_the_decoded_clip():
    record = clip_record(0)
    whole, _ = video.decode_mp4(record["video"])
    assert np.array_equal(transforms.load_video(record, (9, 32, 48)), whole)


def test_latents_of_another_row_are_an_error():
    latents = {"id": "b", "latents": np.zeros((1, 2, 2, 48), np.float16)}
    assert transforms.load_latents({"id": "b"}, latents).dtype == np.float32
    with pytest.raises(ValueError, match="latents of 'b' in the place of those of 'a'"):
        transforms.load_latents({"id": "a"}, latents)
