import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from configs import pretrain, vae
from seedance_jax.training import checkpoint, run_directory

TREE = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.ones(2)}


def test_a_fingerprint_is_of_names_shapes_and_values():
    other = [
        {"a": {"kernel": TREE["a"]["kernel"].at[0, 0].set(1e-6)}, "b": TREE["b"]},
        {"a": {"kernel": TREE["a"]["kernel"].reshape(3, 2)}, "b": TREE["b"]},
        {"a": {"weights": TREE["a"]["kernel"]}, "b": TREE["b"]},
    ]
    prints = [run_directory.fingerprint(tree) for tree in (TREE, *other)]
    assert len(set(prints)) == len(prints)
    assert run_directory.fingerprint(jax.device_get(TREE)) == prints[0]
    assert all(len(name) == 16 for name in prints)


TWO_HOSTS = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from seedance_jax.training import run_directory

jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
tree = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.float32)}
mesh = jax.make_mesh((2,), ("hosts",))

def place(array, *spec):
    sharding = NamedSharding(mesh, PartitionSpec(*spec))
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

placed = {"a": place(tree["a"], "hosts"), "b": place(tree["b"])}
assert not placed["a"].is_fully_addressable
assert run_directory.fingerprint(placed) == run_directory.fingerprint(tree)
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
    run_directory.write_json(tmp_path, "config.json", value)
    assert run_directory.read_json(tmp_path, "config.json") == run_directory.as_json(value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    with pytest.raises(FileNotFoundError, match=r"not a finished run: it has no metadata\.json"):
        run_directory.read_json(tmp_path, "metadata.json")
    with pytest.raises(FileNotFoundError, match=r"is not a run: it has no config\.json"):
        run_directory.read_json(tmp_path / "nowhere", "config.json")


def test_json_that_an_editor_marked_is_read(tmp_path):
    (tmp_path / "config.json").write_text('\ufeff{"name": "\u00e9"}', encoding="utf-8")
    assert run_directory.read_json(tmp_path, "config.json") == {"name": "\u00e9"}


def test_a_config_without_the_fields_that_were_added_later_stands_for_what_is_default_now():
    config = run_directory.as_json(pretrain.get_config("smoke").to_dict())
    old = {
        section: config[section] for section in ("model", "text", "data", "optimizer", "vae_run")
    }
    for section, fields in run_directory.LACKED.items():
        old[section] = {name: x for name, x in old[section].items() if name not in fields}
        assert old[section] != config[section]
    assert run_directory.complete(old) == {section: config[section] for section in old}
    for field, (old_field, value) in run_directory.LACKED_BESIDE.items():
        assert run_directory.complete({old_field: 0.5})[field] == value
        assert field in config or field in vae.get_config("smoke")


def test_unfinished_checkpoints_do_not_count(tmp_path):
    assert run_directory.latest_step(tmp_path) is None
    for name in ("2", "10", "12.orbax-checkpoint-tmp-1"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert run_directory.latest_step(tmp_path) == 10


def test_a_new_directory_is_not_in_use(tmp_path):
    run_directory.check_new("--output", tmp_path)
    run_directory.check_new("--output", tmp_path / "new")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=f"{tmp_path} is not empty; use another --output$"):
        run_directory.check_new("--output", tmp_path)


def test_what_a_run_depends_on_is_written_where_nothing_is_yet_and_again(tmp_path):
    for identity in ({"autoencoder": "a"}, {"autoencoder": "b"}):
        run_directory.check_identity(tmp_path / "runs" / "new", identity)
        found = run_directory.read_json(tmp_path / "runs" / "new", "identity.json")
        assert found == identity


def test_a_run_that_finds_other_parts_names_them(tmp_path):
    run_directory.check_identity(tmp_path, {"autoencoder": "a", "text": "b"})
    checkpoint.save_weights(tmp_path, TREE)
    run_directory.check_identity(tmp_path, {"autoencoder": "a", "text": "b"})
    with pytest.raises(ValueError, match=r"other parts than those found now:\n  text: 'b' -> 'c'$"):
        run_directory.check_identity(tmp_path, {"autoencoder": "a", "text": "c"})


def test_a_run_of_another_autoencoder_is_no_start(tmp_path):
    run_directory.check_parts(tmp_path, {"autoencoder": "a"})
    for name in ("identity.json", "metadata.json"):
        run_directory.write_json(tmp_path, name, {"autoencoder": "a", "text": {"layers": [1]}})
        run_directory.check_parts(tmp_path, {"autoencoder": "a", "text": {"layers": (1,)}})
        run_directory.check_parts(tmp_path, {"base": "b"})
        with pytest.raises(ValueError, match=r"was trained with autoencoder a, this run has b$"):
            run_directory.check_parts(tmp_path, {"autoencoder": "b"})
        with pytest.raises(ValueError, match="was trained with text .*1.*, this run has .*2"):
            run_directory.check_parts(tmp_path, {"text": {"layers": (2,)}})


def test_differences_name_what_is_other_and_what_is_on_one_side_only():
    found = {"a": 1, "model": {"width": 8, "depth": 2}, "old": 5}
    wanted = {"a": 1, "model": {"width": 9, "depth": 2}, "new": 6}
    lines = run_directory.differences(found, wanted).split("\n  ")
    assert lines == ["", "model.width: 8 -> 9", "new: None -> 6", "old: 5 -> None"]
    assert run_directory.differences(found, found) == ""
