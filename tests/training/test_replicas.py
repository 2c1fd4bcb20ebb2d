"""What lies on several replicas is read by one of them."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from processes import finish, place

from seedance_jax import sharding
from seedance_jax.training import replicas

ROOT = Path(__file__).parents[2]
PATIENCE, DEVICES = 600, 4


def start(directory, coordinator, count, process):
    flags = f"--xla_force_host_platform_device_count={DEVICES // count}"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    words = (directory, coordinator, count, process)
    command = [sys.executable, "-m", "tests.training.restoring", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("count", [2, 4])
def test_the_other_replica_has_every_bit_and_needs_no_storage(tmp_path, count):
    """Of four processes two read their parts of the first replica, together."""
    where = tmp_path, place(count)[0].partition("=")[2], count
    results = finish([start(*where, number) for number in range(count)], PATIENCE)
    for status, printed, errors in results:
        assert (status, "restored" in printed) == (0, True), errors


@pytest.fixture
def like():
    """Shapes on a mesh of two replicas of four devices."""
    layout = sharding.replicated(sharding.make_mesh(data=2, fsdp=-1))
    return [jax.ShapeDtypeStruct((size,), jnp.float32, sharding=layout) for size in (1, 2, 3, 4)]


def test_one_process_reads_for_itself(like):
    assert replicas.read_once(lambda wanted: wanted, like) is like
    assert replicas.asker(like)(lambda: 3) == 3
    assert sharding.first_replica([leaf.sharding for leaf in like]) is None


def test_the_first_replica_is_the_devices_of_the_first_index(like, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)  # all devices are of one
    layouts = [leaf.sharding for leaf in like]
    first = sharding.first_replica(layouts)
    devices = set(layouts[0].mesh.devices[0].flat)
    assert all(layout.device_set == devices for layout in first)
    assert [layout.spec for layout in first] == [layout.spec for layout in layouts]
    cut = jax.sharding.NamedSharding(layouts[0].mesh, jax.sharding.PartitionSpec(("data", "fsdp")))
    assert sharding.first_replica([*layouts, cut]) is None  # no replica has all of it
    assert sharding.first_replica([sharding.replicated(sharding.make_mesh(fsdp=-1))]) is None


def test_no_more_is_sent_at_once_than_fits(like, monkeypatch):
    monkeypatch.setattr(replicas, "MOST", 12)  # bytes
    assert list(replicas._groups(like)) == [[0, 1], [2], [3]]
