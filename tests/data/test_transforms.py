import numpy as np
import pytest
from clips import clip_record, cut_record, moving_square

from seedance_jax.data import schema, tokenizer, transforms, video


@pytest.mark.parametrize(("frames", "stride"), [(1, 1), (5, 1), (5, 2), (9, 1)])
def test_sub_clips_lie_inside_and_reach_both_ends(frames, stride):
    rng = np.random.default_rng(0)
    drawn = [transforms.sub_clip([9], frames, stride, rng) for _ in range(100)]
    assert all(len(numbers) == frames and numbers.step == stride for numbers in drawn)
    assert min(numbers[0] for numbers in drawn) == 0
    assert max(numbers[-1] for numbers in drawn) == 8


def test_without_rng_the_middle_is_taken():
    assert transforms.sub_clip([9], 1, 1, None)[0] == 4
    assert transforms.sub_clip([9], 5, 1, None) == range(2, 7)
    frames = moving_square(0, height=32, width=48)
    middle = transforms.choose_crop({"height": 32, "width": 48}, (32, 32), None)
    assert np.array_equal(middle.cut(frames), frames[:, :, 8:40])


def test_crops_are_drawn_from_everywhere_they_fit():
    rng, row = np.random.default_rng(0), {"height": 64, "width": 70}
    drawn = [transforms.choose_crop(row, (32, 32), rng) for _ in range(100)]
    assert {(crop.height, crop.width, crop.top, crop.size) for crop in drawn} == {
        (32, 35, 0, (32, 32))
    }
    assert {crop.left for crop in drawn} == {0, 1, 2, 3}


@pytest.mark.parametrize("size", [(32, 48), (90, 160), (100, 37), (64, 64)])
def test_cover_keeps_the_aspect_and_covers(size):
    height, width = transforms.cover_size(*size, (32, 32))
    assert min(height, width) == 32
    assert height / width == pytest.approx(size[0] / size[1], rel=0.02)


def test_enlarging_and_stretching_time_are_errors():
    with pytest.raises(ValueError, match="30x64 is smaller than 32x32"):
        transforms.cover_size(30, 64, (32, 32))
    with pytest.raises(ValueError, match="5 frames 3 apart"):
        transforms.sub_clip([9], 5, 3, None)


def test_an_untouched_clip_is_the_decoded_clip():
    record = clip_record(0)
    whole, _ = video.decode_mp4(record["video"])
    assert np.array_equal(transforms.middle_clip(record, (9, 32, 48), 1), whole)


def test_latents_of_another_row_or_shape_are_an_error():
    shape = (1, 2, 2, 48)
    latents = {"id": "b", "latents": np.zeros(shape, np.float16), "stills": np.ones(shape)}
    loaded = transforms.load_latents({"id": "b"}, latents, shape)
    assert {name: (x.dtype, x[0, 0, 0, 0]) for name, x in loaded.items()} == {
        "latents": (np.float32, 0),
        "stills": (np.float32, 1),
    }
    with pytest.raises(ValueError, match="latents of 'b' in the place of those of 'a'"):
        transforms.load_latents({"id": "a"}, latents, shape)
    with pytest.raises(ValueError, match="stills of 'b' are"):
        transforms.load_latents({"id": "b"}, latents | {"stills": np.ones((2, 2, 2, 48))}, shape)


@pytest.mark.parametrize("lengths", [(9, 8), (9, 8, 4), (5, 3, 8, 9), (1, 16), (20,)])
@pytest.mark.parametrize(("frames", "stride"), [(1, 1), (5, 1), (9, 1), (5, 2), (5, 3)])
def test_cuts_of_sub_clips_lie_between_latent_frames(lengths, frames, stride):
    """Legal are just the starts from which every latent frame shows a single shot."""
    shot_of = [k for k, length in enumerate(lengths) for _ in range(length)]
    wanted = []
    for start in range(len(shot_of) - (frames - 1) * stride):
        shown = shot_of[start : start + (frames - 1) * stride + 1 : stride]
        lengths_shown = [shown.count(k) for k in sorted(set(shown))]
        if lengths_shown[0] % 4 == 1 and not any(count % 4 for count in lengths_shown[1:]):
            wanted.append(start)
    assert transforms.legal_starts(lengths, frames, stride).tolist() == wanted
    rng = np.random.default_rng(0)
    if wanted:
        drawn = {transforms.sub_clip(lengths, frames, stride, rng)[0] for _ in range(300)}
        assert drawn == set(wanted)


def test_a_crop_is_of_the_whole_picture_or_of_a_random_scale():
    row, rng = {"height": 96, "width": 128}, np.random.default_rng(0)
    wholes = [transforms.choose_crop(row, (32, 32), rng) for _ in range(200)]
    assert {(crop.height, crop.width) for crop in wholes} == {(32, 43)}
    crops = [transforms.choose_crop(row, (32, 32), rng, random_scale=True) for _ in range(200)]
    heights = np.array([crop.height for crop in crops])
    assert heights.min() < 36
    assert heights.max() > 86
    np.testing.assert_allclose(np.median(heights), (32 * 96) ** 0.5, rtol=0.1)
    for crop in crops:
        assert abs(crop.width - crop.height * 128 / 96) <= 1.2
        assert crop.top + 32 <= crop.height <= 96
        assert crop.left + 32 <= crop.width <= 128
    middle = transforms.choose_crop(row, (32, 32), None, random_scale=True)
    assert middle == transforms.choose_crop(row, (32, 32), None)


def test_a_clip_without_a_legal_start_is_an_error():
    with pytest.raises(ValueError, match=r"shots of \[8, 9\] frames"):
        transforms.sub_clip([8, 9], 17, 1, None)


@pytest.mark.parametrize("numbers", [range(17), range(0, 5), range(8, 13), range(9, 14), range(16)])
def test_frames_have_the_captions_of_their_shots(numbers):
    record = cut_record(0, (9, 8))
    told = transforms.load_text(record, numbers, 48)
    whole = transforms.choose_crop(record, (32, 48), None)
    pixels = transforms.load_video(record, numbers, whole)[::4].mean((1, 2, 3))
    level = np.round((pixels - 40) / 30).astype(int)  # the shot of every latent frame, as seen
    shots, expected = np.unique(level, return_inverse=True)
    assert told["frame_shot"].tolist() == expected.tolist()
    own = {k: f"shot {shot}" for k, shot in enumerate(shots)}
    assert read(told) == (own if len(own) == 1 else {schema.GLOBAL: "all shots"} | own)


def test_a_motion_only_caption_is_that_of_a_clip_of_one_shot():
    record = clip_record(0) | {"caption_motion": "it goes"}
    told = transforms.load_motion_text(record, 12)
    assert read(
        {name.removeprefix("motion_"): value for name, value in told.items()}
        | {"text_shot": np.zeros(12, int)}
    ) == {0: "it goes"}
    for other in (clip_record(0), cut_record(0, (9, 8)) | {"caption_motion": "it goes"}):
        assert not transforms.load_motion_text(other, 12)["motion_text_mask"].any()


def read(told):
    """The captions by shot, in the order in which they stand."""
    shots = told["text_shot"][told["text_mask"]]
    order = list(dict.fromkeys(shots.tolist()))
    ids = told["text"]
    for shot in order:
        [start, *_] = np.flatnonzero(told["text_mask"] & (told["text_shot"] == shot))
        assert ids[start] == tokenizer.BOS
    assert (ids[told["text_mask"]] == tokenizer.BOS).sum() == len(order)
    return {k: tokenizer.decode(ids[told["text_mask"] & (told["text_shot"] == k)]) for k in order}


def test_captions_that_do_not_fit_together_are_an_error():
    captions = {schema.GLOBAL: "abc", 0: "de", 1: "f"}
    told = transforms.encode_captions(captions, 9)
    assert told["text_mask"].all()
    assert told["text_shot"].tolist() == [-1] * 4 + [0] * 3 + [1] * 2
    longer = transforms.encode_captions(captions, 12)
    assert longer["text_mask"].sum() == 9
    with pytest.raises(
        ValueError, match=r"captions of \[4, 3, 2\] tokens exceed the text length 8"
    ):
        transforms.encode_captions(captions, 8)
