"""Steps are timed on the devices at hand, of the programs that train and sample."""

import jax
import pytest

from configs import pretrain
from seedance_jax import sharding
from seedance_jax.data.buckets import Bucket
from seedance_jax.performance import chips, programs
from seedance_jax.performance.timed import step_speed


@pytest.fixture
def config():
    """A generator on all eight devices."""
    config = pretrain.get_config("smoke")
    config.mesh.fsdp, config.mesh.sequence = 4, 2
    return config


@pytest.fixture
def peak(monkeypatch):
    """Devices of which a peak is known."""
    monkeypatch.setattr(chips, "peak_flops", lambda: 1e12)


def test_a_training_step_is_timed_and_what_it_reaches_follows(config, peak):
    bucket = Bucket(17, 64, 64, 4)
    found = step_speed.train(config, bucket, repeats=2)
    assert found["seconds"] > 0
    assert found["clips per second"] == pytest.approx(4 / found["seconds"])
    program = programs.training(config, sharding.make_mesh(fsdp=4, sequence=2), bucket)
    assert found["mfu"] == pytest.approx(program.model_flops / found["seconds"] / 1e12)
    assert found["device"].startswith(f"{jax.device_count()} x ")


def test_a_sampling_step_is_timed(config, peak):
    found = step_speed.sample(config, (17, 64, 64), [50, 8], repeats=1)
    assert found["seconds of 50 steps"] == pytest.approx(50 * found["seconds"])
    assert found["mfu"] > 0


def test_a_batch_that_the_mesh_does_not_divide_is_refused(config):
    with pytest.raises(ValueError, match="a batch of 3 does not divide"):
        step_speed.train(config, Bucket(17, 64, 64, 3), repeats=1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--what=train"], "--what=train needs --generator=configs/pretrain.py:base"),
        (
            ["--what=sample", "--generator=configs/vae.py:smoke"],
            "makes an autoencoder, no generator",
        ),
        (
            ["--what=train", "--generator=configs/pretrain.py:smoke", "--seconds=2"],
            "--seconds=2 does nothing without --size",
        ),
    ],
)
def test_bad_flags_are_refused(run_command, flags, message):
    with pytest.raises(ValueError, match=message):
        run_command("benchmark", *flags)
