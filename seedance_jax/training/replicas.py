"""Arrays that lie on several replicas are read by one of them, which sends them to the others.

A replica is what `data` of the mesh counts: devices that together hold every parameter. Where each
of several processes reads what its devices hold, storage is read once for every replica.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax import sharding
from seedance_jax.training import cluster

MOST = 2**30  # bytes of a device that are sent at once, which take as much again meanwhile


def read_once(read: Callable[[Any], Any], like: Any) -> Any:
    """read(like), in which the processes of the first replica alone read.

    All processes that `like` lies on must call it. Where that is this one alone, or the first
    replica is on all of them, it is read(like) and no more.

    Args:
      read: tree of jax.ShapeDtypeStruct -> tree of arrays with those shardings.
      like: what is to be read; it need not have shardings.

    Raises OSError in all processes if it fails in one; where it does, the error itself.
    """
    if not sharding.on_several(like):
        return read(like)
    first = sharding.first_replica([leaf.sharding for leaf in jax.tree.leaves(like)])
    own = like if first is None else _placed(like, first)
    found, caught = [], None
    if first is None or jax.process_index() in _processes(first):
        try:
            found = [read(own)]
        except Exception as error:  # of storage, of many kinds
            caught = error
    reasons = cluster.gather(caught and f"{type(caught).__name__}: {caught}")
    if any(reasons):
        number = next(number for number, reason in enumerate(reasons) if reason)
        raise caught or OSError(f"in process {number}: {reasons[number]}")
    return found.pop() if first is None else send(found and jax.tree.leaves(found.pop()), like)


def asker(like: Any) -> Callable[[Callable[[], Any]], Any]:
    """make -> its result: of process 0, if `like` lies on several, which must all ask then."""
    return cluster.of_main if sharding.on_several(like) else lambda make: make()


def send(values: list[jax.Array], like: Any) -> Any:
    """Arrays as `like`, to the bit, of those of the first replica, in order; others give [].

    The list is emptied on the way, so that no array is held twice.
    """
    leaves, tree = jax.tree.flatten(like)
    values = values or [None] * len(leaves)
    sent = []
    for chosen in _groups(leaves):
        spread = [_spread(values.pop(0), leaves[i]) for i in chosen]
        layouts = [leaves[i].sharding for i in chosen]
        sent += jax.block_until_ready(_merge(layouts)(spread))
    return tree.unflatten(sent)


def _placed(like, layouts):
    leaves, tree = jax.tree.flatten(like)
    shapes = zip(leaves, layouts, strict=True)
    return tree.unflatten([sharding.place_shapes(leaf, layout) for leaf, layout in shapes])


def _processes(layouts):
    return {device.process_index for device in layouts[0].mesh.devices.flat}


def _groups(leaves: Sequence[Any]) -> Iterator[list[int]]:
    """The numbers of leaves, in groups that need no more than MOST bytes of a device."""
    group, size = [], 0
    for number, leaf in enumerate(leaves):
        own = int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize
        if group and size + own > MOST:
            yield group
            group, size = [], 0
        group, size = [*group, number], size + own
    yield group


def _spread(value, leaf):
    """[replicas, ...]: of the first `value`, of the others zeros."""
    layout, replicas = sharding.by_replica(leaf.sharding)
    shards = {} if value is None else {one.device: one.data for one in value.addressable_shards}
    shape, parts = (1, *leaf.sharding.shard_shape(leaf.shape)), []
    for device in layout.addressable_devices:
        with sharding.only(device):
            here = shards.get(device)
            zeros = functools.partial(jnp.zeros, shape, leaf.dtype, device=device)
            parts.append(zeros() if here is None else here[None])
    return jax.make_array_from_single_device_arrays((replicas, *leaf.shape), layout, parts)


def _merge(layouts):
    # As numbers with a sign -0 + 0 would be 0, which is another sum of bits.
    return jax.jit(
        lambda arrays: [_of_bits(_bits(x).sum(0, _bits(x).dtype), x.dtype) for x in arrays],
        out_shardings=layouts,
    )


def _bits(x):
    x = x.astype(jnp.uint8) if x.dtype == bool else x
    return jax.lax.bitcast_convert_type(x, f"uint{8 * x.dtype.itemsize}")


def _of_bits(x, dtype):
    return x.astype(bool) if dtype == np.bool_ else jax.lax.bitcast_convert_type(x, dtype)
