"""Distributed processes, usually one per host: initialisation, and exchange of small values.

Every process runs the same program on its part of the mesh and of the batch. Only process 0 writes
files that exist once.
"""

import contextlib
import functools
import hashlib
import json
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src import distributed  # JAX shows the store of the coordinator nowhere else
from jax.experimental import multihost_utils

# Bytes that are sent at once; every size is a program, so there are few.
LEAST, MOST = 2**12, 2**26
# Parts of the runtime's messages when another process has stopped.
LOST = ("gloo", "coordination service", "heartbeat", "connection reset", "unavailable", "aborted")


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    connect_timeout: int,
    heartbeat: int,
) -> None:
    """Connects to the other processes, if there are any; must come before any use of a device.

    Args:
      coordinator: host:port at which process 0 listens; with num_processes and process_id. If None
        the platform decides (TPU pods, GKE, SLURM, Open MPI), else the process runs alone.
      connect_timeout: seconds after which the process exits with a message.
      heartbeat: seconds without a heartbeat after which a process counts as dead and all exit.

    Raises:
      ValueError: incomplete or impossible settings.
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
                # Longer than `limit`, because the runtime exits with a stack trace.
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


def check_place(coordinator: str, num_processes: int, process_id: int) -> None:
    """Raises ValueError unless the three settings are possible."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"coordinator={coordinator!r} must be host:port, as in 10.0.0.2:8476")
    if not 0 <= process_id < num_processes:
        raise ValueError(f"process_id={process_id} must be 0 to {num_processes - 1}")


@contextlib.contextmanager
def limit(seconds: float, message: str) -> Iterator[None]:
    """Exits the process with `message` if the body takes longer."""

    def give_up():
        end(f"{message}: is each of them running, and can it reach that address?")

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end(message: str) -> NoReturn:
    """Exits this process at once, without waiting for the others; they then stop by themselves."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)


def joined() -> bool:
    """Whether this process is one of several."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_main() -> bool:
    """Whether this is process 0, the one that writes."""
    return jax.process_index() == 0


def explain(error: Exception | str) -> str:
    """The message of an error in one of several processes, with advice if another one is gone."""
    own = f"process {jax.process_index()} of {jax.process_count()}: {error}"
    if any(word in str(error).lower() for word in LOST):
        own += (
            "\nanother process has stopped or cannot be reached, and none can go on without it; "
            "start all of them again: training goes on from its last checkpoint"
        )
    return own


def wait(name: str) -> None:
    """Waits until all processes have called this."""
    if joined():
        multihost_utils.sync_global_devices(name)


def gather(value: Any) -> list[Any]:
    """`value` (JSON) of every process."""
    if not joined():
        return [value]
    own = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(own.size))
    padded = np.zeros(_padded(int(sizes.max())), np.uint8)
    padded[: own.size] = own
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]


def post(board: str, value: Any) -> None:
    """Leaves `value` (JSON) on a board for the others, in the place of what was left before.

    Unlike `gather` it waits for nobody: the coordinator keeps it.
    """
    if joined():
        client, name = distributed.global_state.client, f"{board}/{jax.process_index()}"
        client.key_value_set(name, json.dumps(value), allow_overwrite=True)


def posted(board: str) -> dict[int, Any]:
    """{process: what it left last on a board}, of those that did; {} of a process alone."""
    found = distributed.global_state.client.key_value_dir_get(board + "/") if joined() else []
    return {int(name.rpartition("/")[2]): json.loads(text) for name, text in found}


def _padded(size):
    """The next power of two, which is LEAST at least."""
    return max(LEAST, 1 << (size - 1).bit_length())


def of_main(make: Callable[[], Any]) -> Any:
    """The result of make() in process 0, which alone calls it; what it raises there, all raise.

    So files that all processes need are read once. All must call this, and make() must not. What it
    returns is pickled: JSON, arrays, records of these.

    Raises ValueError, in the other processes, for any error of process 0, with its message.
    """
    found, caught = None, None
    if is_main():
        try:
            found = {"value": make()}
        except Exception as error:  # any, or the others would wait for a process that is gone
            found, caught = {"error": _said(error)}, error
    found = broadcast(found)
    if "error" in found:
        raise caught or ValueError(f"in process 0: {found['error']}")
    return found["value"]


def _said(error):
    """The message of an error; its type, too, unless it is one of those that explain themselves."""
    plain = isinstance(error, ValueError | OSError | ImportError)
    return str(error) if plain else f"{type(error).__name__}: {error}"


def broadcast(value: Any) -> Any:
    """`value` of process 0, pickled, in all processes; theirs do not count."""
    if not joined():
        return value
    content = pickle.dumps(value) if is_main() else b""
    size = np.frombuffer(len(content).to_bytes(8, "little"), np.uint8)  # JAX has no 64-bit numbers
    size = int.from_bytes(_of_first(size).tobytes(), "little")
    received = [_broadcast_part(content[at : at + MOST], size - at) for at in range(0, size, MOST)]
    return value if is_main() else pickle.loads(b"".join(received))


def _broadcast_part(content, left):
    """The first of `left` bytes, at most MOST, as process 0 has them in `content`."""
    padded = np.zeros(min(MOST, _padded(left)), np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    return _of_first(padded)[:left].tobytes()


def _of_first(array):
    with jax.transfer_guard("allow"):  # hooks of the loop are under one that is not
        return multihost_utils.broadcast_one_to_all(array)


def check_same(values: Mapping[str, Any], what: str = "differ from process 0") -> None:
    """Raises ValueError in all processes unless `values` (JSON) are equal in all of them."""
    first, *others = gather(values)
    lines = ""
    for number, other in enumerate(others, 1):
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                lines += f"\n  process {number}: {name}: {first.get(name)!r} -> {other.get(name)!r}"
    if lines:
        raise ValueError(f"all processes must be started alike, but some {what}:{lines}")


@functools.cache
def code_version() -> dict[str, str]:
    """{"code": hash (16 hex digits) of this package's files, "jax": version}."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return {"code": digest.hexdigest()[:16], "jax": jax.__version__}
