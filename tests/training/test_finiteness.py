import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.training import checkpoint, finiteness, release, run_directory

TREE = {"a": {"kernel": np.ones((8, 4), np.float32)}, "b": np.ones(3, ml_dtypes.bfloat16)}


def spread(tree):
    mesh = sharding.make_mesh(fsdp=-1)
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("fsdp"))
    whole = sharding.replicated(mesh)
    return jax.tree.map(lambda leaf: jax.device_put(leaf, place if leaf.ndim > 1 else whole), tree)


PLACES = {
    "host": lambda tree: tree,
    "device": jax.device_put,
    "mesh": spread,
    "both": lambda tree: {**tree, "a": jax.device_put(tree["a"])},
}


def with_value(value):
    kernel = TREE["a"]["kernel"].copy()
    kernel[5, 1] = value
    return TREE | {"a": {"kernel": kernel}}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_first_array_that_is_not_finite_is_named(place):
    finiteness.check_finite(place(TREE | {"count": np.array([2**31 - 1])}), "run")
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"^run: 1 of 2 arrays .*, the first is a/kernel$"):
            finiteness.check_finite(place(with_value(value)), "run")


@pytest.mark.parametrize("released", [False, True])
def test_weights_that_are_not_finite_are_refused_when_they_are_loaded(tmp_path, released):
    tree = with_value(np.nan)
    if released:
        release.write(tmp_path, tree, 3)
    else:
        checkpoint.save_weights(tmp_path, tree)
    like = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), TREE)
    for wanted in (None, like):
        with pytest.raises(ValueError, match=f"{tmp_path}: 1 of 2 arrays .* a/kernel"):
            checkpoint.load(tmp_path, wanted)
    assert list(checkpoint.load(tmp_path, parts=("b",))) == ["b"]


def test_weights_that_are_not_finite_start_no_run(tmp_path):
    checkpoint.save_weights(tmp_path / "old", with_value(np.inf))
    for workdir in ("old", "new"):
        (tmp_path / workdir).mkdir(exist_ok=True)
        run_directory.write_json(tmp_path / workdir, "config.json", {"stage": "vae"})

    class State:
        ema, slow = TREE, {}

    with pytest.raises(ValueError, match="old: 1 of 2 arrays"):
        checkpoint.restore(State(), tmp_path / "new", str(tmp_path / "old"))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (release.FILE, run_directory.latest_step),
        (release.FILE, checkpoint.stored_tree),
        ("config.json", lambda path: run_directory.read_json(path, "config.json")),
    ],
)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        ("<html></html>", "(cannot be read|is not JSON)"),
    ],
)
def test_files_of_a_release_that_are_none_are_named(tmp_path, name, read, content, said):
    release.write(tmp_path, TREE, 3)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name} {said}"):
        read(tmp_path)


def test_weights_without_a_step_are_no_release(tmp_path):
    release.save_tensors(TREE | {"a": TREE["b"]}, tmp_path / release.FILE, {"format": "pt"})
    with pytest.raises(ValueError, match="names no step"):
        run_directory.latest_step(tmp_path)
