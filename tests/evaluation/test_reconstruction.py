import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.evaluation import reconstruction


def low_rank_clips(count, rank, seed):
    """Clips uint8 [count,9,32,32,3] whose patches lie in `rank` dimensions, up to rounding."""
    basis = np.random.default_rng(0).choice([-1.0, 1.0], (rank, reconstruction.PATCH_SIZE))
    weights = np.random.default_rng(seed).normal(0, 40 / rank**0.5, (count, 3, 2, 2, rank))
    patches = (weights @ basis).reshape(count, 3, 2, 2, 4, 16, 16, 3)
    patches[:, 0] = patches[:, 0, :, :, :1]  # the first frame of a clip, repeated
    video = patches.transpose(0, 1, 4, 2, 5, 3, 6, 7).reshape(count, 12, 32, 32, 3)
    return np.clip(np.round(128 + video[:, 3:]), 0, 255).astype(np.uint8)


def test_patches_hold_four_frames_of_a_square_and_the_first_frame_fills_its_own():
    clip = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), np.uint8)
    patches = reconstruction.to_patches(clip).reshape(2, 2, 3, 4, 16, 16, 3)
    pixels = clip / np.float32(127.5) - 1
    for k in range(4):
        np.testing.assert_array_equal(patches[0, 1, 2, k], pixels[0, 16:, 32:])
        np.testing.assert_array_equal(patches[1, 0, 1, k], pixels[1 + k, :16, 16:32])


def test_pca_codes_what_has_its_rank():
    train, held_out = low_rank_clips(40, 20, 1), low_rank_clips(4, 20, 2)
    enough = reconstruction.pca_psnr(train, held_out)  # first frames span 20 dimensions more
    too_few = reconstruction.pca_psnr(train, held_out, components=10)
    assert enough["psnr"] > 45
    assert enough["psnr_first_frame"] > 45
    assert too_few["psnr"] < 35


def test_psnr_pools_errors_before_the_logarithm():
    squares = np.array([[0.04, 0.0], [0.0, 0.04]])
    result = reconstruction.pooled_psnr(squares)
    assert result["psnr"] == pytest.approx(10 * np.log10(4 / 0.02))
    assert result["psnr_first_frame"] == pytest.approx(10 * np.log10(4 / 0.02))


def test_autoencoder_is_scored_on_valid_clips_within_the_range_of_pixels():
    class Scaling:
        def apply(self, variables, video):
            return video * variables["params"], None, None

    video = np.full((2, 5, 16, 16, 3), 255, np.uint8)  # 2.0 is clipped to 1.0: no error
    video[1] = 64  # not valid
    batch = {"video": video, "valid": np.array([True, False])}
    score = reconstruction.autoencoder_psnr(Scaling(), {"params": jnp.array(2.0)}, [batch])
    assert score["psnr"] > 100
    score = reconstruction.autoencoder_psnr(Scaling(), {"params": jnp.array(0.9)}, [batch])
    assert score["psnr"] == pytest.approx(10 * np.log10(4 / 0.01), abs=1e-3)


def test_needs_a_bucket_of_clips():
    assert reconstruction.video_bucket([(1, 64, 64, 8, 1.0), (17, 64, 64, 2, 4.0)]).frames == 17
    with pytest.raises(ValueError, match="bucket of clips"):
        reconstruction.video_bucket([(1, 64, 64, 8, 1.0)])
