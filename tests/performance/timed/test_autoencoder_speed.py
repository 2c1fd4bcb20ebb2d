import numpy as np

from seedance_jax.performance.timed import autoencoder_speed


def allocate(megabytes):
    """Something to measure: touches that much memory and lets it go."""

    def run():
        np.ones(megabytes * 2**17).sum()

    return run


def test_the_peak_is_that_of_the_run():
    small, large = (autoencoder_speed.peak_memory(allocate, size) for size in (8, 128))
    assert 0 <= small < 64
    assert 96 < large < 192


def test_a_stream_keeps_nothing():
    autoencoder_speed.stream_runner(9, 16, width=2, decoder_width=2)()


def test_the_model_of_the_benchmark_is_wan22_at_full_width():
    from configs import vae

    full = vae.get_config("wan22").vae
    model = autoencoder_speed.autoencoder(160, 256)
    for name in ("encoder_widths", "decoder_widths", "encoder_blocks", "decoder_blocks", "strides"):
        assert getattr(model, name) == getattr(full, name)
