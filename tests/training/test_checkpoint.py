import functools
import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.training import checkpoint

TREE = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.ones(2)}


def test_a_fingerprint_is_of_names_shapes_and_values():
    other = [
        {"a": {"kernel": TREE["a"]["kernel"].at[0, 0].set(1e-6)}, "b": TREE["b"]},
        {"a": {"kernel": TREE["a"]["kernel"].reshape(3, 2)}, "b": TREE["b"]},
        {"a": {"weights": TREE["a"]["kernel"]}, "b": TREE["b"]},
    ]
    prints = [checkpoint.fingerprint(tree) for tree in (TREE, *other)]
    assert len(set(prints)) == len(prints)
    assert checkpoint.fingerprint(jax.device_get(TREE)) == prints[0]
    assert all(len(name) == 16 for name in prints)


TWO_HOSTS = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from seedance_jax.training import checkpoint

jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
tree = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.float32)}
mesh = jax.make_mesh((2,), ("hosts",))

def place(array, *spec):
    sharding = NamedSharding(mesh, PartitionSpec(*spec))
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

placed = {"a": place(tree["a"], "hosts"), "b": place(tree["b"])}
assert not placed["a"].is_fully_addressable
assert checkpoint.fingerprint(placed) == checkpoint.fingerprint(tree)
"""


def test_a_fingerprint_does_not_depend_on_the_number_of_hosts():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_HOSTS, port, str(host)],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for host in range(2)
    ]
    errors = [host.communicate(timeout=120)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], errors


def test_json_files_come_back_and_say_what_is_missing(tmp_path):
    value = {"size": (1, 2), "name": "x"}
    checkpoint.write_json(tmp_path, "config.json", value)
    assert checkpoint.read_json(tmp_path, "config.json") == checkpoint.as_json(value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    with pytest.raises(FileNotFoundError, match=r"not a finished run: it has no metadata\.json"):
        checkpoint.read_json(tmp_path, "metadata.json")
    with pytest.raises(FileNotFoundError, match=r"is not a run: it has no config\.json"):
        checkpoint.read_json(tmp_path / "nowhere", "config.json")


def test_unfinished_checkpoints_do_not_count(tmp_path):
    assert checkpoint.latest_step(tmp_path) is None
    for name in ("2", "10", "12.orbax-checkpoint-tmp-1"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert checkpoint.latest_step(tmp_path) == 10


def test_loading_a_run_without_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*checkpoints"):
        checkpoint.load(tmp_path)
    state = {"ema": np.zeros(1)}
    assert checkpoint.restore(state, tmp_path) is state


def test_a_run_that_does_not_fit_is_named_with_the_fields_that_differ(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for run, width in ((old, 3), (new, 4)):
        run.mkdir()
        config = {"stage": "s", "seed": width, "model": {"width": width, "depth": 1}}
        checkpoint.write_json(run, "config.json", config)
    checkpoint.save_weights(old, TREE)
    config = functools.partial(checkpoint.read_json, new, "config.json")
    checkpoint.check_fits(config, old, TREE)
    wider = TREE | {"a": {"kernel": np.zeros((2, 4))}}
    with pytest.raises(ValueError, match=r"1 of 2 weights.*old.*\n  model.width: 3 -> 4$"):
        checkpoint.check_fits(config, old, wider)
    checkpoint.check_fits(config, old, {"b": wider["b"]})
    same = functools.partial(checkpoint.read_json, old, "config.json")
    other = {"a": {"kernel": np.zeros((2, 4)), "bias": np.zeros(4)}, "b": TREE["b"]}
    lines = r"\n  \['a'\]\['bias'\]: None -> \(4,\)\n  \['a'\]\['kernel'\]: \(2, 3\) -> \(2, 4\)$"
    with pytest.raises(ValueError, match=f"2 of 3 weights.*what differs:{lines}"):
        checkpoint.check_fits(same, old, other)


def test_a_run_that_finds_other_parts_names_them(tmp_path):
    checkpoint.check_identity(tmp_path, {"autoencoder": "a", "text": "b"})
    checkpoint.save_weights(tmp_path, TREE)
    checkpoint.check_identity(tmp_path, {"autoencoder": "a", "text": "b"})
    with pytest.raises(ValueError, match=r"other parts than those found now:\n  text: 'b' -> 'c'$"):
        checkpoint.check_identity(tmp_path, {"autoencoder": "a", "text": "c"})


def test_a_run_of_another_autoencoder_is_no_start(tmp_path):
    checkpoint.check_parts(tmp_path, {"autoencoder": "a"})
    for name in ("identity.json", "metadata.json"):
        checkpoint.write_json(tmp_path, name, {"autoencoder": "a", "text": {"layers": [1]}})
        checkpoint.check_parts(tmp_path, {"autoencoder": "a", "text": {"layers": (1,)}})
        checkpoint.check_parts(tmp_path, {"base": "b"})
        with pytest.raises(ValueError, match=r"was trained with autoencoder a, this run has b$"):
            checkpoint.check_parts(tmp_path, {"autoencoder": "b"})
        with pytest.raises(ValueError, match="was trained with text .*1.*, this run has .*2"):
            checkpoint.check_parts(tmp_path, {"text": {"layers": (2,)}})
