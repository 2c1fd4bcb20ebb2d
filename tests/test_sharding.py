import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from seedance_jax import sharding

SIZES = {"data": 2, "fsdp": 2, "sequence": 1, "tensor": 2}


def test_a_mesh_has_all_axes_and_the_rest_where_asked():
    assert dict(sharding.make_mesh(**SIZES).shape) == SIZES
    assert dict(sharding.make_mesh(tensor=2, fsdp=-1).shape) == SIZES | {"data": 1, "fsdp": 4}


def test_data_spans_slices_and_all_else_stays_inside_of_one(monkeypatch):
    monkeypatch.setattr(sharding, "slice_of", lambda device: device.id % 2)
    mesh = sharding.make_mesh(data=4, fsdp=2)
    slices = np.vectorize(lambda device: device.id % 2)(mesh.devices)
    assert (slices == np.array([0, 0, 1, 1])[:, None, None, None]).all()
    with pytest.raises(ValueError, match="mesh: data=1 on 2 slices.*such as data=2"):
        sharding.make_mesh(fsdp=8)
    assert dict(sharding.spread("sequence").shape) == {
        "data": 2, "fsdp": 1, "sequence": 4, "tensor": 1,
    }  # fmt: skip
    monkeypatch.setattr(sharding, "slice_of", lambda device: device.id // 3)
    with pytest.raises(ValueError, match=r"slices of \[3, 3, 2\] devices"):
        sharding.make_mesh(data=-1)


def test_processes_can_be_taken_for_slices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    devices = [types.SimpleNamespace(platform="cpu", process_index=k) for k in range(4)]
    assert [sharding.slice_of(device) for device in devices] == [0, 0, 0, 0]
    monkeypatch.setenv("MEGASCALE_NUM_SLICES", "2")
    assert [sharding.slice_of(device) for device in devices] == [0, 0, 1, 1]
    # GPUs are numbered by hosts, over which all axes may go.
    assert sharding.slice_of(types.SimpleNamespace(platform="gpu", slice_index=3)) == 0
    assert sharding.slice_of(types.SimpleNamespace(platform="tpu", slice_index=3)) == 3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"model": 8}, "unknown mesh axes \\['model'\\]; legal axes: .*tensor"),
        ({"data": 3}, "need 3 devices, but there are 8"),
        ({"data": 3, "fsdp": -1}, "devices, but there are 8"),
        ({"data": 0}, "must be positive"),
        ({"data": -1, "fsdp": -1}, "at most one may be -1"),
    ],
)
def test_impossible_meshes_are_errors(sizes, message):
    with pytest.raises(ValueError, match=message):
        sharding.make_mesh(**sizes)


def test_a_batch_is_split_over_data_and_fsdp():
    mesh = sharding.make_mesh(**SIZES)
    batch = {"x": np.arange(24.0).reshape(8, 3), "y": np.arange(8)}
    placed = sharding.put_batch(batch, mesh)
    for name, array in placed.items():
        np.testing.assert_array_equal(array, batch[name])
        assert array.addressable_shards[0].data.shape[0] == 2


def test_a_batch_that_the_mesh_does_not_divide_is_named_with_a_mesh_that_does():
    mesh = sharding.make_mesh(**SIZES)
    sharding.check_batches({"clips": 4, "images": 12}, mesh)
    with pytest.raises(ValueError, match=r"images: a batch of 6 .* = 4 shards") as error:
        sharding.check_batches({"clips": 4, "images": 6}, mesh)
    flags = re.findall(r"--config.mesh.(\w+)=(-?\d+)", str(error.value))
    offered = sharding.make_mesh(**{axis: int(size) for axis, size in flags})
    assert dict(offered.shape) == {"data": 1, "fsdp": 2, "sequence": 4, "tensor": 1}
    sharding.check_batches({"clips": 4, "images": 6}, offered)


def test_dimensions_that_do_not_divide_stay_whole():
    mesh = sharding.make_mesh(**SIZES)
    init = sharding.param(lambda key, shape: jnp.zeros(shape), "embed", "heads")
    boxed = {"even": init(None, (4, 6)), "odd": init(None, (3, 6)), "plain": jnp.zeros(4)}
    specs = {name: place.spec for name, place in sharding.layout(boxed, mesh).items()}
    assert specs["even"] == P("fsdp", "tensor")
    assert specs["odd"] == P(None, "tensor")
    assert specs["plain"] == P()


def test_parameters_are_shared_by_all_devices_that_work_on_one_batch():
    mesh = sharding.make_mesh(fsdp=2, sequence=4)
    init = sharding.param(lambda key, shape: jnp.zeros(shape), "embed", "heads")
    boxed = {width: init(None, (width, 6)) for width in (16, 12, 6, 3)}
    specs = {name: place.spec[0] for name, place in sharding.layout(boxed, mesh).items()}
    # As many of the axes as divide the dimension: 8, 2, 2 and none of the devices.
    assert specs == {16: ("fsdp", "sequence"), 12: "fsdp", 6: "fsdp", 3: None}


def test_what_lies_on_the_mesh_stays_where_it_is():
    mesh = sharding.make_mesh(**SIZES)
    spread = jax.device_put(np.ones((4, 4)), NamedSharding(mesh, P("fsdp")))
    put = sharding.put_whole({"spread": spread, "host": np.ones(3), "other": jnp.ones(3)}, mesh)
    assert put["spread"] is spread
    for name in ("host", "other"):
        assert put[name].sharding == sharding.replicated(mesh)


def test_constraining_outside_a_mesh_does_nothing():
    x = jnp.ones((3, 5))
    assert sharding.constrain(x, "batch", "heads") is x


def test_a_mesh_of_other_devices_can_be_planned():
    mesh = sharding.plan_mesh(256, fsdp=-1, sequence=4)
    assert dict(mesh.shape) == {"data": 1, "fsdp": 64, "sequence": 4, "tensor": 1}
    with pytest.raises(ValueError, match="there are 6"):
        sharding.plan_mesh(6, fsdp=4)


@pytest.mark.parametrize(("size", "warned"), [(5 * 2**20, True), (6 * 2**20, False), (5, False)])
def test_dimensions_that_stay_whole_are_warned_of_where_they_cost_memory(size, warned, monkeypatch):
    init = sharding.param(lambda key, shape: jnp.zeros(shape), "embed", None)
    boxed = jax.eval_shape(lambda: {"w": init(None, (size, 96))})
    mesh = sharding.plan_mesh(6, fsdp=3, sequence=2)
    said = []
    monkeypatch.setattr(sharding.logging, "warning", lambda text, *args: said.append(text % args))
    sharding.layout(boxed, mesh)
    words = rf"has 1.6 GiB more .* sizes \[{size}\], which .*'fsdp': 3.* divides them is 1048576"
    assert [bool(re.search(words, text)) for text in said] == [True] * warned
