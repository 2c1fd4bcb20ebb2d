"""Mesh axes and the sharding of every array. The only file that names mesh axes."""

import functools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

MESH_AXES = ("data", "fsdp", "sequence", "tensor")

SHARDED = ("fsdp", "sequence")  # axes that parameters are sharded over
PARAM_RULES = {"embed": SHARDED, "heads": "tensor", "mlp": "tensor", "conv_out": SHARDED}
ACTIVATION_RULES = {
    "batch": ("data", "fsdp"),
    "frames": "sequence",
    "windows": "sequence",
    "rows": "sequence",
    "heads": "tensor",
    "all_heads": ("sequence", "tensor"),
    "mlp": "tensor",
}


def mesh_shape(devices: int, **sizes: int) -> tuple[int, ...]:
    """Sizes of all mesh axes for a number of devices: 1 if missing, one may be -1 (the rest).

    Raises:
      ValueError: an unknown axis, or sizes whose product is not the number of devices.
    """
    unknown = set(sizes) - set(MESH_AXES)
    if unknown:
        raise ValueError(f"unknown mesh axes {sorted(unknown)}; legal axes: {MESH_AXES}")
    shape = [sizes.get(axis, 1) for axis in MESH_AXES]
    if any(size < 1 and size != -1 for size in shape) or shape.count(-1) > 1:
        raise ValueError(f"mesh sizes {sizes} must be positive; at most one may be -1")
    known = math.prod(max(size, 1) for size in shape)
    if -1 in shape and devices % known == 0:
        shape[shape.index(-1)] = devices // known
        known = devices
    if known != devices:
        raise ValueError(f"mesh sizes {sizes} need {known} devices, but there are {devices}")
    return tuple(shape)


def read_mesh(items: Iterable[str]) -> dict[str, int]:
    """{axis: size} of ["fsdp=8", "sequence=4"]; ValueError for anything else."""
    sizes = {}
    for item in items:
        name, _, size = item.partition("=")
        if name not in MESH_AXES or not size.removeprefix("-").isdigit():
            raise ValueError(f"mesh: {item!r} is not axis=size; legal axes: {MESH_AXES}")
        sizes[name] = int(size)
    return sizes


def make_mesh(devices: Sequence[jax.Device] | None = None, **sizes: int) -> Mesh:
    """The mesh with all four axes; see `mesh_shape` for the sizes.

    Axes follow the physical topology; where sizes need it, as 8x8 on 4x4x4 chips, two axes share a
    physical one, which `jax.make_mesh` refuses. Of several slices each has its own part of `data`;
    all other axes stay inside of one.

    Args:
      devices: those of all processes if None; may be abstract
        (`performance.chips.open_topology`).

    Raises:
      ValueError: also if slices differ in size, or do not divide `data`.
    """
    devices = jax.devices() if devices is None else devices
    shape, slices = mesh_shape(len(devices), **sizes), {}
    for device in devices:
        slices.setdefault(slice_of(device), []).append(device)
    inside = _inside(shape, [len(slices[index]) for index in sorted(slices)])
    grids = [
        mesh_utils.create_device_mesh(inside, slices[index], allow_split_physical_axes=True)
        for index in sorted(slices)
    ]
    return Mesh(np.concatenate(grids), MESH_AXES, axis_types=(AxisType.Auto,) * len(shape))


def spread(axis: str) -> Mesh:
    """The mesh of all devices along one axis; of several slices each has its part of `data`."""
    return make_mesh(data=len({slice_of(device) for device in jax.devices()}), **{axis: -1})


def slice_of(device: jax.Device) -> int:
    """Number of the TPU slice that a device is in.

    CPU devices are in one, unless the variable MEGASCALE_NUM_SLICES divides their processes over
    several, to rehearse with.
    """
    if device.platform == "cpu":
        count = int(os.environ.get("MEGASCALE_NUM_SLICES", "1"))
        return device.process_index * count // jax.process_count()
    return getattr(device, "slice_index", 0) if device.platform == "tpu" else 0


def _inside(shape, sizes):
    """The part of a mesh shape that lies in each of the slices of so many devices."""
    if len(set(sizes)) > 1:
        raise ValueError(f"slices of {sizes} devices: they must be of one size")
    data, *others = shape
    if data % len(sizes):
        raise ValueError(
            f"mesh: data={data} on {len(sizes)} slices, over which it is divided; make it a "
            f"multiple of {len(sizes)}, such as data={len(sizes)}"
        )
    return data // len(sizes), *others


def plan_mesh(devices: int, **sizes: int) -> AbstractMesh:
    """`make_mesh` without devices: enough to compute shardings of shapes."""
    shape = mesh_shape(devices, **sizes)
    return AbstractMesh(shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(shape))


def check_batches(sizes: Mapping[Any, int], mesh: Mesh | AbstractMesh) -> None:
    """Raises ValueError unless the mesh divides every global batch of {bucket: batch size}."""
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    for bucket, size in sizes.items():
        if size % shards:
            fitting = math.gcd(shards, *sizes.values())
            raise ValueError(
                f"{bucket}: a batch of {size} does not divide over data x fsdp = {shards} shards; "
                f"make it a multiple of {shards}, or give the devices to another axis: "
                f"--config.mesh.data=1 --config.mesh.fsdp={fitting} --config.mesh.sequence=-1"
            )


def param(init: Callable, *names: str | None) -> Callable:
    """Wraps an initializer with the logical axis names of its parameter."""
    return nn.with_logical_partitioning(init, names)


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Shards an activation by logical axis names (None: replicated); a no-op outside of a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    spec = PartitionSpec(*(ACTIVATION_RULES.get(name) for name in names))
    return jax.lax.with_sharding_constraint(x, spec)


def on_shards(
    function: Callable,
    inputs: Sequence[tuple[str | None, ...]],
    output: tuple,
) -> Callable:
    """Wraps a function of arrays in a `shard_map`; outside of a mesh it is the function itself.

    Args:
      inputs: logical axis names of each array, as in `constrain`; named dimensions are padded with
        zeros at the end so that the mesh divides them.
      output: logical axis names of the result, or a tuple of those of several.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return function
    spec = lambda names: PartitionSpec(*(ACTIVATION_RULES.get(name) for name in names))  # noqa: E731
    several = isinstance(output[0], tuple)
    specs = [spec(names) for names in inputs]
    out = tuple(map(spec, output)) if several else spec(output)
    local = jax.shard_map(
        function, mesh=mesh, in_specs=tuple(specs), out_specs=out, check_vma=False
    )

    def run(*arrays):
        padded = [_pad_to(array, spec, mesh) for array, spec in zip(arrays, specs, strict=True)]
        size = {name: n for names, array in zip(inputs, arrays, strict=True)
                for name, n in zip(names, array.shape, strict=True) if name}  # fmt: skip
        cut = lambda result, names: result[tuple(slice(size.get(name)) for name in names)]  # noqa: E731
        result = local(*padded)
        return tuple(map(cut, result, output)) if several else cut(result, output)

    return run


def _pad_to(array, spec, mesh):
    pads = []
    for size, axes in zip(array.shape, spec, strict=True):
        axes = axes if isinstance(axes, tuple) else (axes,) if axes else ()
        pads.append((0, -size % math.prod(mesh.shape[axis] for axis in axes)))
    return jnp.pad(array, pads)


def platform() -> str:
    """ "cpu", "gpu" or "tpu": that of the mesh if there is one, else jax's default."""
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    name = device.platform if device else jax.default_backend()
    return {"cuda": "gpu", "rocm": "gpu"}.get(name, name)


def device_kind() -> str:
    """jax's name of the devices of the mesh if there is one, else of its first device."""
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    return (device or jax.devices()[0]).device_kind


def parts(name: str) -> int:
    """Over how many devices the mesh divides the logical axis `name` of an activation."""
    mesh, axes = jax.sharding.get_abstract_mesh(), ACTIVATION_RULES[name]
    axes = axes if isinstance(axes, tuple) else (axes,)
    return 1 if mesh.empty else math.prod(mesh.shape[axis] for axis in axes)


def one_cpu() -> bool:
    """Whether the program is for a single device, and that is a CPU."""
    return platform() == "cpu" and jax.sharding.get_abstract_mesh().size <= 1


def layout(boxed: Any, mesh: Mesh | AbstractMesh) -> Any:
    """NamedShardings for a tree of boxed parameters, or for a whole train state.

    A dimension is sharded over as many of its mesh axes, from the first, as divide it; small
    kernels are replicated, and so are factored moments of an optimizer. Much memory lost by this is
    logged as a warning.
    """
    specs = nn.logical_to_mesh(nn.get_partition_spec(boxed), tuple(PARAM_RULES.items()))
    unboxed = nn.unbox(boxed)

    def place(spec, leaf):
        if not jax.tree.leaves(leaf):  # an optimizer's placeholder for a masked parameter
            return leaf
        if len(spec or ()) > leaf.ndim:
            return NamedSharding(mesh, PartitionSpec())
        axes = (_dividing(axes, leaf.shape[i], mesh) for i, axes in enumerate(spec or ()))
        return NamedSharding(mesh, PartitionSpec(*axes))

    is_spec = lambda leaf: leaf is None or isinstance(leaf, PartitionSpec)  # noqa: E731
    placed = jax.tree.map(place, specs, unboxed, is_leaf=is_spec)
    crowd = functools.partial(_crowd, mesh)
    crowds = jax.tree.map(crowd, specs, unboxed, placed, is_leaf=is_spec)
    _warn_of(jax.tree.leaves(crowds, is_leaf=lambda leaf: isinstance(leaf, Crowd)), mesh)
    return placed


class Crowd(NamedTuple):
    """Bytes of an array on a device beyond an even share, and the sizes that cause them."""

    excess: float
    sizes: set


def _crowd(mesh, spec, leaf, where):
    if not isinstance(where, NamedSharding):
        return Crowd(0, set())
    even, sizes = leaf.size, set()
    for size, axes in zip(leaf.shape, spec or (), strict=False):
        axes = axes if isinstance(axes, tuple) else (axes,) if axes else ()
        parts = math.prod(mesh.shape[axis] for axis in axes)
        even /= parts
        sizes |= {size} if size % parts else set()
    return Crowd((math.prod(where.shard_shape(leaf.shape)) - even) * leaf.dtype.itemsize, sizes)


def _warn_of(crowds, mesh, worth=2**28):
    """Logs the bytes that unsharded dimensions cost a device if there are at least `worth`."""
    excess, sizes = sum(crowd.excess for crowd in crowds), set().union(*(c.sizes for c in crowds))
    if excess >= worth:
        logging.warning(
            "every device has %.1f GiB more than an even share: parameters have sizes %s, which "
            "the mesh %s does not divide; a power of two that divides them is %d",
            *(excess / 2**30, sorted(sizes), dict(mesh.shape)),
            math.gcd(*sizes) & -math.gcd(*sizes),
        )


def _dividing(axes, size, mesh):
    """As many of the mesh axes (a name, several or None), from the first, as divide a dimension."""
    axes = axes if isinstance(axes, tuple) else (axes,) if axes else ()
    axes = tuple(axis for axis in axes if mesh.shape[axis] > 1)
    while size % math.prod(mesh.shape[axis] for axis in axes):
        axes = axes[:-1]
    return axes[0] if len(axes) == 1 else axes or None


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The sharding of a batch: its first dimension over data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(ACTIVATION_RULES["batch"]))


def batch_part(mesh: Mesh) -> tuple[int, int]:
    """(index, count): the part of a batch that this process reads; the mesh decides."""
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    held = {}
    for device, (rows,) in batch_sharding(mesh).devices_indices_map((shards,)).items():
        held.setdefault(device.process_index, set()).update(range(*rows.indices(shards)))
    return part_of(held[jax.process_index()], shards)


def part_of(held: set[int], shards: int) -> tuple[int, int]:
    """`batch_part` of a process whose devices have the shards `held`; ValueError if uneven."""
    first, size = min(held), len(held)
    if max(held) - first + 1 != size or first % size or shards % size:
        raise ValueError(
            f"the devices of this process have the shards {sorted(held)} of {shards} of a batch, "
            "which is no even part of it; make sequence x tensor divide the devices of a process, "
            "or a multiple of them"
        )
    return first // size, shards // size


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh | None = None) -> dict[str, Any]:
    """Global arrays from this host's part of a batch.

    Arrays that are on devices already are whole, and are sharded as a batch.

    Args:
      mesh: that of `jax.set_mesh` if None; without any the batch is returned as it is.
    """
    mesh = mesh or jax.sharding.get_mesh()
    if mesh.empty:
        return batch
    layout = batch_sharding(mesh)

    def place(array):
        if isinstance(array, jax.Array):
            return jax.device_put(array, layout)
        return jax.make_array_from_process_local_data(layout, array)

    return {name: place(array) for name, array in batch.items()}


def on_several(tree: Any) -> bool:
    """Whether arrays, or shapes with shardings, lie on devices of several processes."""
    layouts = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(tree)]
    return any(layout is not None and not layout.is_fully_addressable for layout in layouts)


def first_replica(layouts: Sequence[Any]) -> list[NamedSharding] | None:
    """The same shardings over the devices that have index 0 along `data`.

    None if these are of all processes, or if not all arrays are whole at each of several indices.
    """
    meshes = {getattr(layout, "mesh", None) for layout in layouts}
    mesh = meshes.pop() if len(meshes) == 1 else None
    split = any("data" in jax.tree.leaves(tuple(layout.spec)) for layout in layouts)
    if not isinstance(mesh, Mesh) or mesh.shape.get("data", 1) == 1 or split:
        return None
    processes = {device.process_index for device in mesh.devices[0].flat}
    if len(processes) == jax.process_count():
        return None
    first = Mesh(mesh.devices[:1], mesh.axis_names, axis_types=mesh.axis_types)
    return [NamedSharding(first, layout.spec) for layout in layouts]


def only(device: jax.Device) -> Any:
    """Context in which single arrays of one device are computed with, whatever mesh is set."""
    return jax.set_mesh(Mesh(np.array([device]), ("one",)))


def by_replica(layout: NamedSharding) -> tuple[NamedSharding, int]:
    """(the sharding of an array of one value for each index along `data`, how many there are)."""
    spec = PartitionSpec("data", *layout.spec)
    return NamedSharding(layout.mesh, spec), layout.mesh.shape["data"]


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The sharding of an array that is whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def fetch(tree: Any) -> Any:
    """Copies whole arrays to the host, whatever their sharding.

    All processes must call it, with arrays that are on all of their devices.
    """

    def whole(leaf):
        here = not isinstance(leaf, jax.Array) or leaf.is_fully_addressable
        return leaf if here else multihost_utils.process_allgather(leaf, tiled=True)

    return jax.device_get(jax.tree.map(whole, tree))


def place_shapes(tree: Any, layout: Any) -> Any:
    """jax.ShapeDtypeStructs with shardings from `layout`: a tree of them, or one for all."""
    shape = lambda leaf, where: jax.ShapeDtypeStruct(  # noqa: E731
        leaf.shape, leaf.dtype, sharding=where
    )
    if isinstance(layout, NamedSharding):
        return jax.tree.map(lambda leaf: shape(leaf, layout), tree)
    return jax.tree.map(shape, tree, layout)


def put_whole(tree: Any, mesh: Mesh) -> Any:
    """Replicates arrays on every device, except those that are on the mesh already."""

    def place(leaf):
        own = getattr(leaf, "sharding", None)
        placed = isinstance(own, NamedSharding) and own.mesh == mesh
        return leaf if placed else jax.device_put(leaf, replicated(mesh))

    return jax.tree.map(place, tree)
