"""What frames of a request become, with a stand-in for the autoencoder."""

import numpy as np
import pytest

from seedance_jax.sampling import given

SIZE = (13, 16, 16)
SHAPE = (4, 1, 1, 2)  # of the latents


def picture(value):
    return np.full((16, 16, 3), value, np.uint8)


def film(first, count):
    """Frames of the values first, first + 1, ..."""
    return np.stack([picture(first + i) for i in range(count)])


def values(found):
    """{frame: the value of its picture}."""
    return {index: int(array[0, 0, 0]) for index, array in found.items()}


@pytest.fixture
def encoded(monkeypatch):
    """The clips that were encoded, by their values; a latent is the mean of its frames."""
    clips = []

    def encode_stream(model, weights, clip, chunk):
        assert (model, weights, chunk) == ("model", "weights", 1)
        flat = clip[0, :, 0, 0, 0].astype(np.float32)
        clips.append(flat.astype(int).tolist())
        for group in [flat[:1], *flat[1:].reshape(-1, 4)]:
            yield np.full((1, 1, 1, 1, 2), group.mean())

    monkeypatch.setattr(given.codec, "encode_stream", encode_stream)
    return clips


def encode(frames):
    latents, mask = given.encode_given("model", "weights", frames, SHAPE)
    assert latents.shape == SHAPE
    assert latents.dtype == mask.dtype == np.float32
    return latents[:, 0, 0, 0].tolist(), mask.tolist()


def test_everything_that_is_given_stands_at_its_frame():
    found = given.collect(SIZE, image=picture(1), last_image=picture(2), frames={5: film(10, 4)})
    assert values(found) == {0: 1, 12: 2, 5: 10, 6: 11, 7: 12, 8: 13}
    assert values(given.collect(SIZE, video=film(1, 5))) == {i: 1 + i for i in range(5)}
    backward = given.collect(SIZE, video=film(1, 8), extend="backward")
    assert values(backward) == {5 + i: 1 + i for i in range(8)}
    assert given.collect(SIZE) == {}


def test_a_clip_may_stand_wherever_latent_frames_begin_and_end():
    for start, count in ((0, 1), (0, 5), (0, 9), (1, 4), (1, 8), (5, 8), (9, 4)):
        found = given.collect(SIZE, frames={start: film(1, count)})
        assert list(found) == list(range(start, start + count))
    for start, count in ((0, 4), (1, 3), (1, 5), (2, 3), (3, 2), (4, 5)):
        with pytest.raises(ValueError, match="a clip must begin at frame 0 or 4n"):
            given.collect(SIZE, frames={start: film(1, count)})
    for start in range(13):
        assert list(given.collect(SIZE, frames={np.int64(start): picture(1)})) == [start]


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (13, 1), (9, 8)])
def test_frames_outside_of_the_clip_are_refused(start, count):
    with pytest.raises(ValueError, match=f"has frames {start} to {start + count - 1}"):
        given.collect(SIZE, frames={start: film(1, count)})


def test_something_is_left_to_generate():
    given.collect(SIZE, frames={0: picture(1), 1: picture(1), 5: picture(1)})
    with pytest.raises(ValueError, match="4 given frames .* leave nothing"):
        given.collect(SIZE, frames={0: picture(1), 1: picture(1), 5: picture(1), 9: picture(1)})


@pytest.mark.parametrize(
    ("length", "extend", "num_frames", "said"),
    [
        (1, "forward", 5, None),
        (9, "forward", 13, None),
        (4, "backward", 5, None),
        (12, "backward", 13, None),
        (8, "forward", 13, "multiple of 4 and 1: cut it to 5"),
        (2, "forward", 13, "multiple of 4 and 1: cut it to 1"),
        (5, "backward", 13, "multiple of 4: cut it to 4"),
        (3, "backward", 13, "multiple of 4: cut it to 4"),
        (0, "backward", 13, "video has 0 frames"),
        (13, "forward", 13, "give 17 or more"),
        (8, "backward", 5, "give 9 or more"),
    ],
)
def test_a_clip_that_can_be_extended_has_a_legal_length(length, extend, num_frames, said):
    if said is None:
        given.check_length(length, extend, num_frames)
    else:
        with pytest.raises(ValueError, match=said):
            given.check_length(length, extend, num_frames)


def test_clips_are_cut_to_legal_lengths():
    video = film(0, 7)
    forward, notes = given.cut_to_extend(video, "forward")
    assert values(dict(enumerate(forward))) == {i: 2 + i for i in range(5)}
    assert notes == ["cut from 7 to 5 frames to be extended forward: not the first 2"]
    backward, notes = given.cut_to_extend(video, "backward")
    assert values(dict(enumerate(backward))) == {i: i for i in range(4)}
    assert notes == ["cut from 7 to 4 frames to be extended backward: not the last 3"]
    for start, length in ((0, 5), (1, 4), (5, 4)):
        placed, notes = given.cut_to_place(video, start)
        assert len(placed) == length
        assert f"from frame {start}" in notes[0]
    for clip, extend in (
        (film(0, 5), "forward"),
        (film(0, 4), "backward"),
        (film(0, 3), "backward"),
    ):
        same, notes = given.cut_to_extend(clip, extend)
        assert len(same) == len(clip)
        assert notes == []


def test_neighbouring_latent_frames_are_encoded_together(encoded):
    frames = given.collect(SIZE, video=film(10, 5), last_image=picture(90))
    latents, mask = encode(frames)
    # The last image is encoded as the continuation of itself, and stands still for four frames.
    assert encoded == [[10, 11, 12, 13, 14], [90] * 5]
    assert latents == [10.0, 12.5, 0.0, 90.0]
    assert mask == [1.0, 1.0, 0.0, 1.0]


def test_a_later_clip_is_the_continuation_of_its_first_frame(encoded):
    latents, mask = encode(given.collect(SIZE, frames={5: film(20, 8)}))
    assert encoded == [[20, *range(20, 28)]]
    assert latents == [0.0, 0.0, 21.5, 25.5]
    assert mask == [0.0, 0.0, 1.0, 1.0]


def test_frames_that_are_missing_repeat_the_nearest(encoded):
    frames = {0: picture(5), 6: picture(40), 8: picture(60)}
    assert encode(frames)[1] == [1.0, 0.0, 1.0, 0.0]
    assert encoded == [[5], [40, 40, 40, 40, 60]]


def test_nothing_given_is_nothing(encoded):
    assert encode({}) == ([0.0] * 4, [0.0] * 4)
    assert encoded == []


def test_an_image_is_no_clip_and_a_clip_no_image():
    for name in ("image", "last_image"):
        with pytest.raises(ValueError, match=rf"^{name} is .*; must be uint8 \(16, 16, 3\), see"):
            given.collect(SIZE, **{name: film(0, 1)})
    with pytest.raises(ValueError, match=r"^video is .*; must be uint8 \('N', 16, 16, 3\), see"):
        given.collect(SIZE, video=picture(0))


@pytest.mark.parametrize(
    ("array", "ndim"),
    [
        (film(0, 2), 3),
        (picture(0), 4),
        (picture(0).astype(np.int16), None),
        (picture(0)[:, :, :2], None),
        (picture(0)[:8], None),
        (picture(0)[0], None),
    ],
)
def test_pixels_of_another_form_are_refused(array, ndim):
    with pytest.raises(ValueError, match=r"part is \w+ \(.*; must be uint8"):
        given.check_pixels("part", array, SIZE, ndim)
    assert given.check_pixels("part", picture(0), SIZE, 3).shape == (1, 16, 16, 3)
    assert given.check_pixels("part", film(0, 2), SIZE).shape == (2, 16, 16, 3)
