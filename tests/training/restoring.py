"""Saves arrays, and restores them where the second replica knows no place to read them from.

    python -m tests.training.restoring DIRECTORY COORDINATOR COUNT PROCESS

is one of so many processes, of whose devices the first half is the first replica. It ends with an
error unless all arrays have their bits again.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding, PartitionSpec

from seedance_jax import sharding
from seedance_jax.training import checkpoint, cluster, release, saver, stored
from seedance_jax.training.checksums import checksums

STEP = 3
NUMBERS = np.arange(64, dtype=np.float32).reshape(8, 8)
NUMBERS[0] = -0.0  # which it is no more once 0 is added to it
ODD = NUMBERS.copy()
ODD[1] = np.nan


def make_arrays(mesh):
    """A tree of arrays, some cut over the devices of a replica, others whole on each."""
    cut, whole = NamedSharding(mesh, PartitionSpec(("fsdp", "sequence"))), sharding.replicated(mesh)
    placed = {
        "numbers": (NUMBERS, cut),
        "odd": (ODD, cut),
        "short": (ODD.astype(jnp.bfloat16), cut),
        "count": (np.array(7, np.int32), whole),
        "flags": (np.arange(8) % 2 == 0, whole),
        "bytes": (np.arange(8, dtype=np.uint8), whole),
    }
    make = jax.make_array_from_callback
    return {
        name: make(value.shape, where, value.__getitem__) for name, (value, where) in placed.items()
    }


def assert_same_bits(found, wanted):
    """In the same places, too."""
    for name in wanted:
        one, other = found[name], wanted[name]
        assert one.dtype == other.dtype, name
        assert one.sharding.is_equivalent_to(other.sharding, one.ndim), name
        for mine, true in zip(one.addressable_shards, other.addressable_shards, strict=True):
            assert np.asarray(mine.data).tobytes() == np.asarray(true.data).tobytes(), name


def save(directory, state):
    """A checkpoint of `state` in one folder, and a release of its EMA in another."""
    with saver.open_manager(f"{directory}/run") as manager:
        sums, saved = ocp.args.JsonSave(checksums(state)), ocp.args.StandardSave(state)
        manager.save(STEP, args=ocp.args.Composite(state=saved, checksums=sums))
    if cluster.is_main():
        pathlib.Path(directory, "release").mkdir()
        release.write(f"{directory}/release", {"numbers": NUMBERS}, STEP)
    cluster.wait("saved")


def main(directory, coordinator, count, process):
    """Saves and restores, as one of several processes."""
    cluster.join(coordinator, int(count), int(process), connect_timeout=120, heartbeat=60)
    mesh = sharding.make_mesh(data=2, fsdp=-1)
    arrays = make_arrays(mesh)
    state = {"params": arrays, "ema": {"numbers": arrays["numbers"]}}
    save(directory, state)
    reads = {device.process_index for device in mesh.devices[0].flat}
    assert len(reads) == int(count) // 2
    root = directory if jax.process_index() in reads else "/nowhere"
    like = jax.tree.map(jnp.zeros_like, state)
    with jax.set_mesh(mesh):
        found, rolled = stored.read_state(like, f"{root}/run", STEP)
        assert rolled is None
        for part in state:
            assert_same_bits(found[part], state[part])
        for name in ("run", "release"):
            loaded = checkpoint.load(f"{root}/{name}", like["ema"], step=STEP)
            assert_same_bits(loaded, state["ema"])
    print("restored")


if __name__ == "__main__":
    main(*sys.argv[1:])
