import numpy as np
import pytest

from seedance_jax.data.world import pixels, states
from seedance_jax.evaluation.metrics import features, kernel, world_training
from seedance_jax.models.perception.world_features import STRIDE, WIDTH


@pytest.fixture(scope="module")
def network():
    return features.open_world()


@pytest.fixture(scope="module")
def clips(records):
    """Single validation clips uint8 [40, 17, 64, 64, 3]."""
    return np.stack([record["frames"] for record in records])


def test_what_spoils_clips_moves_their_features(network, clips):
    """Twenty clips suffice to be sure of time; the halves of one set are together."""
    first, second = clips[::2], clips[1::2]
    rng = np.random.default_rng(0)
    spoiled = {
        "nothing": second,
        "shuffled": np.stack([pixels.shuffle(clip, 1.0, rng) for clip in second]),
        "frozen": second[:, :1].repeat(17, 1),
        "noise": pixels.noise(second, 1.0, rng),
        "blur": np.stack([pixels.blur(clip, 1.0) for clip in second]),
        "colors": second[..., [2, 0, 1]],
    }
    reference = features.extract(network, first)
    found = {
        name: kernel.kernel_estimate(reference, features.extract(network, changed))
        for name, changed in spoiled.items()
    }
    assert found["nothing"].low < 0 < found["nothing"].high
    assert found["shuffled"].low > 0
    assert found["frozen"].low > 0
    assert min(found, key=lambda name: found[name].value) == "nothing", found


def test_features_are_a_clips_own(network, clips):
    few = features.extract(network, clips[:3])
    assert few.shape == (3, 2 * WIDTH)
    assert few.dtype == np.float64
    np.testing.assert_allclose(features.extract(network, clips)[:3], few, rtol=1e-4, atol=1e-4)
    other = features.extract(network, clips[:2].repeat(2, 2).repeat(2, 3)[:, :9])  # 9 frames of 128
    assert other.shape == (2, 2 * WIDTH)
    with pytest.raises(ValueError, match="clips of 4 frames: fvd_world needs 5 or more"):
        features.extract(network, clips[:, :4])
    with pytest.raises(ValueError, match="must be uint8"):
        features.extract(network, clips[0])


def test_weights_are_trained_saved_and_opened(tmp_path, monkeypatch):
    assert STRIDE == states.STRIDE
    monkeypatch.setattr(world_training, "BATCH", 4)
    weights, losses = world_training.train(num_clips=6, num_steps=20)
    assert losses[-3:].mean() < losses[:3].mean()
    features.save_world(weights, tmp_path / "made.safetensors")
    clips, _ = states.read_clips("train", 6)
    made = features.extract(features.open_world(tmp_path / "made.safetensors"), clips)
    np.testing.assert_allclose(made.mean(0), 0.0, atol=1e-2)
    np.testing.assert_allclose(made.std(0), 1.0, atol=1e-2)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    features.save_world({"patches": {"bias": np.zeros(3, np.float32)}}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="world features: 0 of 10 tensors match"):
        features.open_world(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError):
        features.open_world(tmp_path / "none.safetensors")
