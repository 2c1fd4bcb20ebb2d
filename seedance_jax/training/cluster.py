"""Several processes as one machine, usually one per host: where they meet, and what they agree on.

Every process runs the same program on its part of the mesh and of the batch. Process 0 alone writes
what is written once.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

# What the runtime says, in the middle of a longer text, if another process is gone.
LOST = ("gloo", "coordination service", "heartbeat", "connection reset", "unavailable", "aborted")


def join(coordinator=None, num_processes=None, process_id=None, *, connect_timeout, heartbeat):
    """Meets the other processes, if there are any; before any other use of a device.

    Args:
      coordinator: host:port of process 0, which opens it; with num_processes and process_id.
        Without: as the platform says (TPU pods, GKE, SLURM, Open MPI), or else alone.
      connect_timeout: seconds until the process gives up and ends, saying so.
      heartbeat: seconds after which a process that shows no life counts as dead, which ends all.

    Raises:
      ValueError: settings that do not go together, or a platform that is only half described.
    """
    given = {"coordinator": coordinator, "process_id": process_id, "num_processes": num_processes}
    if num_processes == 1:
        return
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise ValueError(f"--{missing[0]} is missing: several processes need {list(given)}")
    if not missing:
        check_place(coordinator, num_processes, process_id)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    where = coordinator or "the address that the platform gives"
    with limit(connect_timeout, f"not all processes met at {where} in {connect_timeout} s"):
        try:
            jax.distributed.initialize(
                coordinator,
                num_processes,
                process_id,
                # The runtime would end the process with a stack trace; `limit` is before it.
                initialization_timeout=connect_timeout + 60,
                heartbeat_timeout_seconds=heartbeat,
                shutdown_timeout_seconds=heartbeat,
            )
        except ValueError as error:
            if coordinator or "coordinator_address should be defined" not in str(error):
                raise
        except (RuntimeError, OSError) as error:
            raise ValueError(
                f"cannot join the other processes at {where}: {error}\n"
                "--num_processes=1 runs this process alone"
            ) from error


def check_place(coordinator, num_processes, process_id):
    """Raises ValueError unless the three settings are possible."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"coordinator={coordinator!r} must be host:port, as in 10.0.0.2:8476")
    if not 0 <= process_id < num_processes:
        raise ValueError(f"process_id={process_id} must be 0 to {num_processes - 1}")


@contextlib.contextmanager
def limit(seconds, message):
    """Ends the process with `message` if what is inside takes longer."""

    def give_up():
        end(f"{message}: is each of them running, and can it reach that address?")

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end(message):
    """Ends this process at once, without waiting for the others, which then end by themselves."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)


def joined():
    """Whether this process is one of several."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_main():
    """Whether this is process 0, the one that writes."""
    return jax.process_index() == 0


def explain(error):
    """The message of an error (or the error) in one of several processes."""
    own = f"process {jax.process_index()} of {jax.process_count()}: {error}"
    if any(word in str(error).lower() for word in LOST):
        own += (
            "\nanother process has stopped or cannot be reached, and none can go on without it; "
            "start all of them again: training goes on from its last checkpoint"
        )
    return own


def wait(name):
    """Returns when all processes are here."""
    if joined():
        multihost_utils.sync_global_devices(name)


def gather(value):
    """`value` (JSON) of every process, by process."""
    if not joined():
        return [value]
    own = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(own.size))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: own.size] = own
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]


def of_main(make):
    """What make() (JSON) gives in process 0, in all processes; and so its ValueError or OSError."""
    found, caught = {}, None
    if is_main():
        try:
            found = {"value": make()}
        except (ValueError, OSError) as error:
            found, caught = {"error": str(error)}, error
    found = gather(found)[0]
    if "error" in found:
        raise caught or ValueError(f"in process 0: {found['error']}")
    return found["value"]


def check_same(values, what="differ from process 0"):
    """Raises ValueError, in all processes, unless `values` (a flat dict of JSON) are the same."""
    first, *others = gather(values)
    lines = ""
    for number, other in enumerate(others, 1):
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                lines += f"\n  process {number}: {name}: {first.get(name)!r} -> {other.get(name)!r}"
    if lines:
        raise ValueError(f"all processes must be started alike, but some {what}:{lines}")


@functools.cache
def code_version():
    """What is installed: a hash (16 hex digits) of this package's files, and the version of jax."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return {"code": digest.hexdigest()[:16], "jax": jax.__version__}
