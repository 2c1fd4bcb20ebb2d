import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import make_i3d

from seedance_jax.models.perception.i3d import (
    EPSILONS,
    I3D,
    SIZE,
    from_torch,
    preprocess,
    torch_shapes,
)


@pytest.fixture(scope="module")
def tensors():
    return make_i3d.weights()


@pytest.fixture(scope="module")
def logits():
    run = jax.jit(lambda params, video: I3D().apply({"params": params}, video))
    return lambda params: np.asarray(run(params, make_i3d.clip()))


@pytest.mark.parametrize("file", EPSILONS)
def test_logits_are_those_of_the_network_in_pytorch(tensors, logits, file):
    expected = np.load(make_i3d.LOGITS)[file]
    other = np.load(make_i3d.LOGITS)[({*EPSILONS} - {file}).pop()]
    error = np.abs(logits(from_torch(tensors, file)) - expected).max()
    assert error < 1e-4 * np.abs(expected).max()
    assert error < 0.01 * np.abs(other - expected).max()  # the epsilon is the file's own


def test_the_tree_is_the_one_that_init_makes(tensors):
    video = jnp.zeros((1, 9, SIZE, SIZE, 3))
    initial = jax.eval_shape(I3D().init, jax.random.key(0), video)["params"]
    params = from_torch(tensors, "rgb_imagenet")
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, initial)


def test_counters_of_norms_are_left_alone(tensors):
    counters = {"Mixed_3b.b0.bn.num_batches_tracked": np.zeros((), np.int64)}
    params = from_torch(tensors | counters, "rgb_imagenet")
    assert jax.tree.all(jax.tree.map(np.array_equal, params, from_torch(tensors, "rgb_imagenet")))


def test_weights_that_do_not_fit_are_reported_all_at_once(tensors):
    wrong = tensors | {"extra": np.zeros(1), "logits.conv3d.bias": np.zeros(600)}
    del wrong["Mixed_5c.b3b.conv3d.weight"]
    total = len(torch_shapes())
    report = (
        rf"I3D: {total - 2} of {total} tensors match; 1 missing: Mixed_5c.b3b.conv3d.weight; "
        r"1 unexpected: extra; 1 wrong shape: logits.conv3d.bias \(600,\) instead of \(400,\)"
    )
    with pytest.raises(ValueError, match=report):
        from_torch(wrong, "rgb_imagenet")
    with pytest.raises(ValueError, match=r"file='i3d' is not one of \['i3d_pre"):
        from_torch(tensors, "i3d")


def test_frames_become_squares_in_the_range_of_the_network():
    frames = np.zeros((1, 2, 48, 64, 3), np.uint8)
    frames[:, :, :, 32:] = 255
    video = np.asarray(preprocess(frames))
    assert video.shape == (1, 2, SIZE, SIZE, 3)
    np.testing.assert_allclose(video[:, :, :, :100], -1.0, rtol=1e-6)
    np.testing.assert_allclose(video[:, :, :, 124:], 1.0, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 224, 224, 3), (1, 9, 192, 224, 3), (1, 9, 224, 224, 1)])
def test_clips_that_do_not_reach_the_end_are_refused(shape):
    with pytest.raises(ValueError, match="from 9 frames and 193 pixels a side"):
        jax.eval_shape(I3D().init, jax.random.key(0), jnp.zeros(shape))
