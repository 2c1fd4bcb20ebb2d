import functools

import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.training import checkpoint, run_directory

TREE = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.ones(2)}


def test_loading_a_run_without_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*checkpoints"):
        checkpoint.load(tmp_path)
    state = {"ema": np.zeros(1)}
    assert checkpoint.restore(state, tmp_path) == (state, None)


def test_a_run_that_does_not_fit_is_named_with_the_fields_that_differ(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for run, width in ((old, 3), (new, 4)):
        run.mkdir()
        config = {"stage": "s", "seed": width, "model": {"width": width, "depth": 1}}
        run_directory.write_json(run, "config.json", config)
    checkpoint.save_weights(old, TREE)
    config = functools.partial(run_directory.read_json, new, "config.json")
    checkpoint.check_fits(config, old, TREE)
    wider = TREE | {"a": {"kernel": np.zeros((2, 4))}}
    with pytest.raises(ValueError, match=r"1 of 2 weights.*old.*\n  model.width: 3 -> 4$"):
        checkpoint.check_fits(config, old, wider)
    checkpoint.check_fits(config, old, {"b": wider["b"]})
    same = functools.partial(run_directory.read_json, old, "config.json")
    other = {"a": {"kernel": np.zeros((2, 4)), "bias": np.zeros(4)}, "b": TREE["b"]}
    lines = r"\n  \['a'\]\['bias'\]: None -> \(4,\)\n  \['a'\]\['kernel'\]: \(2, 3\) -> \(2, 4\)$"
    with pytest.raises(ValueError, match=f"2 of 3 weights.*what differs:{lines}"):
        checkpoint.check_fits(same, old, other)
