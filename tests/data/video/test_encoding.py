import numpy as np
import pytest
from clips import moving_square

from seedance_jax.data.video import decode_mp4, encode_mp4, encoding

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 30, 120)]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("colour", COLOURS)
def test_flat_colours_survive(pixel_format, colour):
    frames = np.full((3, 32, 48, 3), colour, np.uint8)
    decoded, _ = decode_mp4(encode_mp4(frames, 12, pixel_format=pixel_format))
    assert np.abs(decoded.astype(int) - frames).max() <= 3


def test_a_clip_survives():
    frames = moving_square(1, num_frames=17)
    decoded, fps = decode_mp4(encode_mp4(frames, 29.97, crf=10, pixel_format="yuv444p"))
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8
    assert fps == pytest.approx(29.97)
    error = np.mean((decoded.astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / error) >= 38


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_equal_frames_give_equal_bytes(pixel_format):
    frames = moving_square(2)
    options = {"pixel_format": pixel_format}
    first = encode_mp4(frames, 12, **options)
    for seed in range(40):  # what lay in the memory before must not matter
        encode_mp4(moving_square(seed, height=16 + 2 * seed), 12)
        assert encode_mp4(frames, 12, **options) == first


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("crf", [10, 23])
def test_the_bytes_of_every_processor_are_those_of_plain_c(monkeypatch, pixel_format, crf):
    rng, clip = np.random.default_rng(0), moving_square(3, num_frames=17, height=64)
    noise = rng.normal(0, 20, clip.shape)
    for frames in (clip, (clip + noise).clip(0, 255).astype(np.uint8)):
        own = encode_mp4(frames, 12, crf=crf, pixel_format=pixel_format)
        with monkeypatch.context() as patch:
            patch.setattr(encoding, "INSTRUCTIONS", "no-asm=1")
            assert encode_mp4(frames, 12, crf=crf, pixel_format=pixel_format) == own


def test_illegal_frames_are_named():
    frames = moving_square(0)
    with pytest.raises(ValueError, match="float32"):
        encode_mp4(frames.astype(np.float32), 12)
    with pytest.raises(ValueError, match="even"):
        encode_mp4(frames[:, :31], 12)
    with pytest.raises(ValueError, match="fps"):
        encode_mp4(frames, 0)
    with pytest.raises(ValueError, match="yuv444p"):
        encode_mp4(frames, 12, pixel_format="rgb24")
