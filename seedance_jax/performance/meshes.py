"""Meshes and remat policies that a training step can be compiled for, the most promising first.

The estimates only decide what is tried; the compiler decides what fits.
"""

import dataclasses
import itertools
import math

from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data.buckets import Bucket
from seedance_jax.models.dit import REMAT_POLICIES
from seedance_jax.performance import cost, memory
from seedance_jax.sampling import sizes

# From least to most extra time.
RECOMPUTED = ("none", "save_products", "save_attention", "full", "offload")
SLACK = 1.5  # settings whose estimate exceeds this multiple of the memory are not tried


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to run a training step.

    Attributes:
      mesh: {axis: size} for all axes.
      remat: policy of the DiT.
      estimate: bytes per device.
    """

    mesh: dict[str, int]
    remat: str
    estimate: float = math.nan

    def __str__(self):
        return f"mesh {','.join(f'{k}={v}' for k, v in self.mesh.items())}, remat={self.remat}"


def candidates(
    config: ConfigDict, bucket: Bucket, devices: int, limit: float, slices: int = 1
) -> list[Setting]:
    """Settings that divide batch and heads and need at most SLACK * `limit` bytes per device.

    Those within `limit` come first; then the smallest `tensor`, the least recomputation and the
    smallest `sequence`.

    Raises:
      ValueError: there is none.
    """
    settings = config.to_dict()
    program = cost.make_program(settings, sizes.latent_shape(*bucket.shape))
    kept = memory.activation_bytes(settings, program.latents)
    found = []
    for sequence, tensor in itertools.product(_powers(devices), _powers(devices)):
        shards = devices // (sequence * tensor)
        clips = bucket.batch_size // config.accumulate
        if sequence * tensor > devices or config.model.heads % tensor or clips % shards:
            continue
        if shards % slices:  # each has its own part of `data`
            continue
        axes = {"data": slices, "fsdp": shards // slices, "sequence": sequence, "tensor": tensor}
        mesh = sharding.plan_mesh(devices, **axes)
        state = sum(memory.state_bytes(program, mesh, settings["optimizer"]))
        for remat in REMAT_POLICIES:
            estimate = state + clips // shards * kept[remat] / (sequence * tensor)
            if estimate <= SLACK * limit:
                found.append(Setting(axes, remat, estimate))
    if not found:
        raise ValueError(
            f"no mesh of {devices} devices holds a batch of {bucket.batch_size} x {bucket.shape} "
            f"in {limit / 2**30:.0f} GiB each; raise accumulate={config.accumulate}, or take more "
            "devices"
        )
    work = lambda s: (s.mesh["tensor"], RECOMPUTED.index(s.remat), s.mesh["sequence"])  # noqa: E731
    return sorted(found, key=lambda s: (s.estimate > limit, *work(s)))


def _powers(most):
    """1, 2, 4, ... up to `most`."""
    return [2**i for i in range(most.bit_length()) if 2**i <= most]
