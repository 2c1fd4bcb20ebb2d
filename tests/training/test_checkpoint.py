import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.training import checkpoint, checksums, loop, run_directory

TREE = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.ones(2)}


def test_loading_a_run_without_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*checkpoints"):
        checkpoint.load(tmp_path)
    state = {"ema": np.zeros(1)}
    assert checkpoint.restore(state, tmp_path) == (state, None)


def test_a_run_may_lack_what_is_named_and_nothing_else(tmp_path):
    """What is new stays as it was made, and is told; all else comes from the other run."""
    (tmp_path / "old").mkdir()
    run_directory.write_json(tmp_path / "old", "config.json", {"stage": "s"})
    checkpoint.save_weights(tmp_path / "old", TREE)

    def start(ema, may_lack):
        state = loop.TrainState(0, ema, ema, None, 0, 0)
        source, workdir = tmp_path / "old", tmp_path / "new"
        new.append(checkpoint.check_start({"stage": "s"}, source, ema, may_lack=may_lack))
        return checkpoint.restore(state, workdir, source, may_lack=may_lack)[0].params

    new, fps = [], {"kernel": jnp.full(3, 7.0)}
    params = {"a": {"kernel": jnp.zeros((2, 3)), "patch_fps": fps}, "b": jnp.zeros(2)}
    started = start(params, [("a", "patch_fps")])
    np.testing.assert_array_equal(started["a"]["patch_fps"]["kernel"], fps["kernel"])
    np.testing.assert_array_equal(started["a"]["kernel"], TREE["a"]["kernel"])
    np.testing.assert_array_equal(started["b"], TREE["b"])
    assert new == [[("a", "patch_fps")]]
    for may_lack in ([], [("b",)], [("a", "patch")], [("a", "patch_fps", "bias")]):
        with pytest.raises(ValueError, match=r"'patch_fps'.*None -> \(3,\)"):
            start(params, may_lack)
    again = start(TREE, [("a", "kernel")])  # it is there, so it comes from there
    jax.tree.map(np.testing.assert_array_equal, again, TREE)
    assert new[1:] == [[]]


def test_a_run_that_does_not_fit_is_named_with_the_fields_that_differ(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for run, width in ((old, 3), (new, 4)):
        run.mkdir()
        config = {"stage": "s", "seed": width, "model": {"width": width, "depth": 1}}
        run_directory.write_json(run, "config.json", config)
    checkpoint.save_weights(old, TREE)
    config = run_directory.read_json(new, "config.json")
    checkpoint.check_fits(config, old, TREE)
    wider = TREE | {"a": {"kernel": np.zeros((2, 4))}}
    with pytest.raises(ValueError, match=r"1 of 2 weights.*old.*\n  model.width: 3 -> 4$"):
        checkpoint.check_fits(config, old, wider)
    checkpoint.check_fits(config, old, {"b": wider["b"]})
    knowing = {"model": {"width": 3, "depth": 1, "conditions": []}, "stage": "s"}
    with pytest.raises(ValueError, match=r"what differs:\n  \['a'\]"):  # not `conditions`
        checkpoint.check_fits(knowing, old, wider)
    same = run_directory.read_json(old, "config.json")
    other = {"a": {"kernel": np.zeros((2, 4)), "bias": np.zeros(4)}, "b": TREE["b"]}
    lines = r"\n  \['a'\]\['bias'\]: None -> \(4,\)\n  \['a'\]\['kernel'\]: \(2, 3\) -> \(2, 4\)$"
    with pytest.raises(ValueError, match=f"2 of 3 weights.*what differs:{lines}"):
        checkpoint.check_fits(same, old, other)


def test_sums_of_arrays_on_the_host_are_those_of_a_device_and_are_made_without_one():
    host = {"a": np.arange(-3, 3, dtype=np.int32), "b": np.full((2, 2), -0.3, np.float32)}
    on_device = checksums.checksums(jax.device_put(host))
    with jax.transfer_guard("disallow"):
        assert checksums.checksums(host) == on_device
    host["b"][0, 1] = 0.3
    assert checksums.checksums(host)["['b'] float32"] != on_device["['b'] float32"]
