import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.evaluation import baselines, fidelity, reconstruction


def low_rank_clips(count, rank, seed):
    """Clips [count,9,32,32,3] whose patches lie in `rank` dimensions."""
    basis = np.random.default_rng(0).choice([-1.0, 1.0], (rank, baselines.PATCH_SIZE))
    weights = np.random.default_rng(seed).normal(0, 0.3 / rank**0.5, (count, 3, 2, 2, rank))
    patches = (weights @ basis).reshape(count, 3, 2, 2, 4, 16, 16, 3)
    patches[:, 0] = patches[:, 0, :, :, :1]  # the first frame of a clip, repeated
    video = patches.transpose(0, 1, 4, 2, 5, 3, 6, 7).reshape(count, 12, 32, 32, 3)
    return np.clip(video[:, 3:], -1, 1).astype(np.float32)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (*shape, 3)).astype(np.float32)


def score(truth, coded):
    return fidelity.summarize([fidelity.measure(truth, coded)])


def test_patches_hold_four_frames_of_a_square_and_give_them_back():
    clip = noise(5, 32, 48)
    patches = baselines.to_patches(clip)
    cells = patches.reshape(2, 2, 3, 4, 16, 16, 3)
    for k in range(4):
        np.testing.assert_array_equal(cells[0, 1, 2, k], clip[0, 16:, 32:])
        np.testing.assert_array_equal(cells[1, 0, 1, k], clip[1 + k, :16, 16:32])
    np.testing.assert_allclose(baselines.from_patches(patches, clip.shape), clip, atol=1e-6)


def test_pca_codes_what_has_its_rank():
    train, (held_out, *_) = low_rank_clips(40, 20, 1), low_rank_clips(4, 20, 2)
    enough = baselines.fit_pca(train)  # first frames span 20 dimensions more
    too_few = baselines.fit_pca(train, components=10)
    assert score(held_out, enough(held_out))["psnr"] > 45
    assert score(held_out, too_few(held_out))["psnr"] < 35


def test_area_bicubic_keeps_what_does_not_change_and_loses_what_does():
    flat = np.full((5, 32, 32, 3), 0.3, np.float32)
    np.testing.assert_allclose(baselines.area_bicubic(flat), flat, atol=1e-5)
    clip = noise(5, 32, 32)
    coded = baselines.area_bicubic(clip)
    assert coded.shape == clip.shape
    assert score(clip, coded)["sharpness"] < 0.5


def test_a_perfect_copy_has_perfect_scores():
    clip = noise(9, 32, 32)
    scores = score(clip, clip)
    assert scores["psnr"] == np.inf
    assert scores["ssim"] == pytest.approx(1.0)
    assert scores["flicker"] == 0.0
    assert scores["sharpness"] == pytest.approx(1.0)


def test_scores_tell_where_the_error_is():
    clip = np.zeros((5, 32, 32, 3), np.float32)
    first, edge, flicker = clip.copy(), clip.copy(), clip.copy()
    first[0] += 0.2
    scores = score(clip, first)
    assert scores["psnr_first_frame"] == pytest.approx(20.0, abs=1e-4)
    assert scores["psnr_other_frames"] == np.inf
    assert scores["psnr_by_frames"]["1"] < scores["psnr_by_frames"]["5"] == scores["psnr"]
    edge[:, :3] += 0.2
    scores = score(clip, edge)
    assert scores["psnr_center"] == np.inf > scores["psnr_border"]
    assert scores["flicker"] == 0.0
    flicker[::2] += 0.2
    assert score(clip, flicker)["flicker"] == pytest.approx(0.2)


def test_errors_are_pooled_before_the_logarithm():
    clip = np.zeros((1, 32, 32, 3), np.float32)
    parts = [fidelity.measure(clip, clip), fidelity.measure(clip, clip + 0.2)]
    assert fidelity.summarize(parts)["psnr"] == pytest.approx(10 * np.log10(4 / 0.02))


def test_only_valid_clips_are_compared():
    video = np.full((2, 5, 16, 16, 3), 255, np.uint8)
    video[1] = 64
    batch = {"video": video, "valid": np.array([True, False])}
    scores, shown = reconstruction.compare({"half": lambda video: video * 0.9}, [batch])
    assert len(scores["half"]) == len(shown) == 1
    assert fidelity.summarize(scores["half"])["psnr"] == pytest.approx(10 * np.log10(4 / 0.01))
    sheet = reconstruction.difference_sheet(shown)
    assert sheet.height == 3 * (128 + 16)


def test_tiling_reaches_the_decoder(random_params):
    from configs import base
    from seedance_jax.models.vae import VAE

    narrow = {"latent_channels": 6, "encoder_widths": (8,) * 3, "decoder_widths": (8,) * 3}
    model = VAE(**base.vae("tiny") | narrow)
    params = random_params(model.init, jnp.zeros((1, 5, 16, 16, 3)))["params"]
    weights = {"params": params, "mean": jnp.zeros(6), "std": jnp.ones(6)}
    video = noise(1, 5, 64, 64)
    whole = reconstruction.autoencoder_method(model, weights)(video)
    tiled = reconstruction.autoencoder_method(model, weights, tile=2)(video)
    assert whole.shape == tiled.shape == video.shape
    assert 1e-4 < np.abs(whole - tiled).mean() < np.abs(whole).mean()
