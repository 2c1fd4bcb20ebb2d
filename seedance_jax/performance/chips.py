"""Published peak figures of accelerators, and TPU topologies to compile for."""

import importlib.util
import math
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import jax
from jax.experimental import topologies

from seedance_jax.training import cluster

# Without these libtpu takes this machine for a TPU VM and queries its metadata server.
SILENCE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


class Chip(NamedTuple):
    """One chip.

    Attributes:
      flops: bfloat16 FLOPs per second.
      memory: bytes of HBM.
      bandwidth: of HBM, bytes per second.
      links: bytes per second to other chips, both directions together.
      devices: JAX devices per chip.
      network: bytes per second to other slices, in each direction; None if not published.
    """

    flops: float
    memory: float
    bandwidth: float
    links: float
    devices: int = 1
    network: float | None = None


# docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e,tpu7x}
CHIPS = {
    "v4": Chip(275e12, 32 * 2**30, 1228e9, 600e9),
    "v5e": Chip(197e12, 16 * 2**30, 819e9, 400e9, network=25e9 / 8),
    "v5p": Chip(459e12, 95 * 2**30, 2765e9, 1200e9, network=50e9 / 8),
    "v6e": Chip(918e12, 32 * 2**30, 1638e9, 800e9, network=100e9 / 8),
    "tpu7x": Chip(2307e12, 192 * 2**30, 7380e9, 1200e9, devices=2),
}

# The first jax known to parse the compiled programs of a chip: 0.10 rejects asynchronous
# instructions with several operands.
READABLE = {"tpu7x": (0, 11)}

KINDS = {  # {device_kind in jax: chip}
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU7x": "tpu7x",
}
GPUS = {  # {device_kind in jax: dense bfloat16 FLOPs per second}
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
}
PEAKS = GPUS | {kind: CHIPS[name].flops / CHIPS[name].devices for kind, name in KINDS.items()}


def peak_flops() -> float | None:
    """Peak FLOPs per second of all devices together; None, with a printed line, if unknown."""
    kinds = [device.device_kind for device in jax.devices()]
    if unknown := set(kinds) - PEAKS.keys():
        if jax.default_backend() != "cpu" and cluster.is_main():
            print(f"no mfu: the peak of {sorted(unknown)} is not known")
        return None
    return sum(PEAKS[kind] for kind in kinds)


def parse_topology(text: str) -> tuple[str, tuple[int, ...]]:
    """("v5p", (4, 4, 8)) for "v5p:4x4x8": the chip, and the number of chips along each axis.

    Raises:
      ValueError: an unknown chip, or a malformed shape.
    """
    match = re.fullmatch(r"(\w+):([1-9]\d*(?:x[1-9]\d*)*)", text)
    if not match or match[1] not in CHIPS:
        raise ValueError(
            f"topology={text!r}; write CHIP:AxB[xC], such as v5p:4x4x8, CHIP one of {list(CHIPS)}"
        )
    return match[1], tuple(map(int, match[2].split("x")))


def count_devices(text: str) -> int:
    """Number of JAX devices of a topology."""
    name, shape = parse_topology(text)
    return math.prod(shape) * CHIPS[name].devices


def device_memory(text: str) -> int:
    """Bytes of HBM of one JAX device of a topology."""
    chip = CHIPS[parse_topology(text)[0]]
    return int(chip.memory / chip.devices)


def pod_flags(name: str) -> list[str]:
    """XLA flags for a chip, as `launch/environment.sh` sets them."""
    clone = Path(__file__).parents[2]
    script = '. launch/shell.sh && . launch/environment.sh && libtpu_flags "$1"'
    command = ["bash", "-c", script, "bash", name]
    try:
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise ValueError(f"the flags in {clone}/launch/environment.sh: {error.stderr}") from error
    return done.stdout.split()


def check_readable(name: str) -> None:
    """Raises ValueError if this jaxlib cannot parse compiled programs of a chip."""
    if jax.__version_info__ < READABLE.get(name, ()):
        wanted = ".".join(map(str, READABLE[name]))
        raise ValueError(
            f"jax {jax.__version__} cannot read programs for {name}; {wanted} can (Python 3.12)"
        )


def check_slices(text: str, slices: int) -> None:
    """Raises ValueError if nobody knows how fast slices of a topology exchange data."""
    name, _ = parse_topology(text)
    if slices > 1 and CHIPS[name].network is None:
        legal = [name for name, chip in CHIPS.items() if chip.network]
        raise ValueError(
            f"slices={slices}: the network of {name} is not published; of {legal} it is"
        )


def open_topology(text: str, slices: int = 1) -> list[jax.Device]:
    """Abstract devices of so many slices of a topology to compile for; no TPU is needed.

    The compiler gets `pod_flags`, then those in LIBTPU_INIT_ARGS.

    Raises:
      ValueError: libtpu is missing, the chip does not come in this shape, or this jaxlib cannot
        parse its programs.
    """
    name, _ = parse_topology(text)
    check_readable(name)
    if importlib.util.find_spec("libtpu") is None:
        raise ValueError("no TPU compiler: pip install 'seedance-jax[tpu]'")
    for key, value in SILENCE.items():
        os.environ.setdefault(key, value)
    own = os.environ.get("LIBTPU_INIT_ARGS", "")
    os.environ["LIBTPU_INIT_ARGS"] = " ".join([*pod_flags(name), own])
    jax.config.update("jax_platforms", "cpu")  # do not open a TPU of this machine
    try:
        several = {"num_slices": slices} if slices > 1 else {}
        return topologies.get_topology_desc(text, "tpu", **several).devices
    except Exception as error:  # libtpu raises several types
        reason = str(error).splitlines()[0]
        raise ValueError(f"libtpu has no topology {text!r} of {name}: {reason}") from error
    finally:
        os.environ["LIBTPU_INIT_ARGS"] = own  # libtpu has read it; child processes would, too
