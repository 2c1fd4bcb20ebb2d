import pytest

from seedance_jax.sampling import sizes


def test_clips_have_whole_latent_frames():
    assert sizes.clip_shape("480p", 5, 24) == (121, 480, 864)
    assert sizes.latent_shape(121, 480, 864) == (31, 30, 54)
    assert sizes.latent_shape(*sizes.clip_shape("1080p", 0, 24)) == (1, 68, 120)
    with pytest.raises(ValueError, match="multiple of 4 frames"):
        sizes.clip_shape("480p", 5.1, 24)
    with pytest.raises(ValueError, match="legal sizes.*480p"):
        sizes.clip_shape("481p", 5, 24)
    with pytest.raises(ValueError, match="4n"):
        sizes.latent_shape(16, 64, 64)
