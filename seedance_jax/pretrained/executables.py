"""Compiled programs as files, so that a new process neither traces nor compiles what one has run.

JAX's own cache keeps what XLA made of a program; to ask it, a process must trace the program and
lower it first, which takes longer than sampling a small clip. A `KeptProgram` is found by what
decides over it: the function, its static arguments, the shapes and places of the others, the code
it is traced from, versions, settings of JAX and XLA, and the processor.

Files lie in `executables` of the folder of JAX's cache (`jax_compilation_cache_dir`), if that is in
use, unless SEEDANCE_EXECUTABLES=0. To load one is to run what is in it: the folder must be the
user's own, and writable by nobody else. It may be removed at any time.
"""

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import platform
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
import numpy as np
from absl import logging
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

FOLDER = "executables"
SWITCH = "SEEDANCE_EXECUTABLES"  # 0 in the environment: programs are compiled, by JAX's cache
# What programs are traced from: all that their functions use of the package (tested).
CODE = (
    *("models", "diffusion", "sharding.py", "sampling/sampler.py"),
    *("pretrained/codec.py", "pretrained/executables.py"),
)
MOST = 2**30  # bytes that are kept; those that have not been used for longest go first
ONE_AT_A_TIME = threading.Lock()
DIGEST = hashlib.sha256().digest_size
# Variables of the environment that change programs, and settings of JAX that do not.
VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NPROC")
PLACES = ("cache", "log", "dump", "traceback", "coordination", "profiler")


class KeptProgram:
    """A jitted function that looks for its executables in files before it compiles.

    It is `jax.jit` itself where no files can be kept: without a cache, in one of several processes,
    and where it is traced.
    """

    def __init__(self, function: Callable, static: Sequence[str] = (), donate: Sequence[str] = ()):
        """static, donate: names of arguments, as of `jax.jit`; what a partial binds is static."""
        bound = function if isinstance(function, functools.partial) else functools.partial(function)
        if bound.func.__closure__:
            raise ValueError(f"{bound.func} holds values of its surroundings: bind them by partial")
        self._name = f"{bound.func.__module__}.{bound.func.__qualname__}"
        self._bound = f"{bound.args!r} {bound.keywords!r}"
        self._parameters, self._static = tuple(inspect.signature(function).parameters), set(static)
        self._jitted = jax.jit(function, static_argnames=static, donate_argnames=donate)
        self._loaded = {}
        self.lower = self._jitted.lower

    def __call__(self, *args: Any, **named: Any) -> Any:
        folder = directory()
        if folder is None:
            return self._jitted(*args, **named)
        given = [*zip(self._parameters, args, strict=False), *named.items()]
        fixed = tuple((name, value) for name, value in given if name in self._static)
        others = [value for name, value in given[: len(args)] if name not in self._static]
        others_named = {name: named[name] for name in named if name not in self._static}
        leaves, tree = jax.tree.flatten((others, others_named))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return self._jitted(*args, **named)
        kind = (fixed, tree, tuple(map(_kind, leaves)), jax.sharding.get_mesh(), _settings())
        if kind not in self._loaded:
            path = self._path(folder, kind)
            lowered = functools.partial(self._jitted.lower, *args, **named)
            self._loaded[kind] = _load(path) or _compile(path, lowered, self._name)
        return self._loaded[kind](*others, **others_named)

    def _path(self, folder, kind):
        """Where the executable of some arguments is, or belongs; None if it cannot be named."""
        fixed, tree, kinds, mesh, settings = kind
        shapes = [(str(aval), aval.weak_type, *_place(place)) for aval, place in kinds]
        said = f"{self._name} {self._bound} {fixed!r} {tree} {shapes} {mesh!r} {_ids(mesh)}"
        if " at 0x" in said:  # of an object that has no name but its address
            logging.info("%s is compiled in every process", self._name)
            return None
        digest = hashlib.sha256("\n".join([said, settings, *surroundings()]).encode()).hexdigest()
        return folder / f"{self._name.rpartition('.')[2]}-{digest[:32]}"


def _kind(leaf):
    """What a program is compiled for: (abstract value, place or None)."""
    return jax.typeof(leaf), getattr(leaf, "sharding", None)


def _place(sharding):
    return repr(sharding), _ids(getattr(sharding, "mesh", None))


def _ids(mesh):
    has_devices = isinstance(mesh, jax.sharding.Mesh) and not mesh.empty
    return tuple(device.id for device in mesh.devices.flat) if has_devices else ()


def directory() -> Path | None:
    """The folder of executables, made if need be; None where none are kept."""
    root = jax.config.jax_compilation_cache_dir
    used = jax.config.jax_enable_compilation_cache and os.environ.get(SWITCH) != "0"
    if not root or not used or "://" in root or jax.process_count() > 1:
        return None
    return _private(Path(root) / FOLDER)


@functools.cache
def _private(path):
    """The folder, or None (logged) if it is not the user's alone."""
    try:
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        found = path.stat()
    except OSError as error:
        logging.warning("executables cannot be kept: %s", error)
        return None
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        logging.warning("%s is not used: others than you can write there", path)
        return None
    return path


def _settings():
    """Those of JAX that change programs, also those that hold in a `with` alone."""
    found = jax.config.values.items()
    return repr([item for item in found if not any(part in item[0] for part in PLACES)])


def surroundings() -> tuple[str, ...]:
    """What a program depends on besides itself and settings: code, versions, devices, processor."""
    versions = (jax.__version__, jaxlib.__version__, flax.__version__, np.__version__)
    devices = [(device.id, device.platform, device.device_kind) for device in jax.devices()]
    version = jax.devices()[0].client.platform_version
    variables = {name: os.environ.get(name) for name in VARIABLES}
    said = (versions, platform.python_version(), devices, version, variables)
    return (code(), processor(), *map(repr, said))


@functools.cache
def code() -> str:
    """Hash of the source that programs are traced from."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for place in CODE:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(root)} {file.stat().st_size}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


code()  # of what is imported with this module: a process may run while somebody edits the files


@functools.cache
def processor() -> str:
    """The cores that may be used, and what they can do (Linux; else their name)."""
    file, lines = Path("/proc/cpuinfo"), [platform.processor()]
    if file.exists():
        with file.open() as text:  # of the first core
            lines = list(iter(lambda: text.readline().strip(), ""))
    wanted = ("flags", "Features", "model name", "cpu family", "model\t")
    return f"{platform.machine()} {cores()} {[x for x in lines if x.startswith(wanted)]}"


def cores() -> int:
    """How many may be used."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _load(path):
    """The executable in a file; None if there is none, or it cannot be used (logged)."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
            raise ValueError("it is not what was written")
        serialized, *skeletons, ids = pickle.loads(content[DIGEST:])
        trees = [jax.tree.structure(skeleton) for skeleton in skeletons]
        devices = {device.id: device for device in jax.devices()}
        loaded = serialize_executable.deserialize_and_load(
            serialized, *trees, execution_devices=[devices[number] for number in ids]
        )
        os.utime(path)  # it was used
    except FileNotFoundError:
        return None
    except Exception as error:  # the reasons are many, and XLA's and pickle's to name
        logging.warning("%s is compiled again: %s", path, error)
        return None
    return loaded


def _compile(path, lower, name):
    """Compiles, and writes the file, whole or not at all; a failure to write is logged."""
    if path is None:
        return lower().compile()
    with _without_cache():
        compiled = lower().compile()
    try:
        serialized, *trees = serialize_executable.serialize(compiled)
        skeletons = [jax.tree.unflatten(tree, range(tree.num_leaves)) for tree in trees]
        ids = [device.id for device in compiled.runtime_executable().local_devices()]
        body = pickle.dumps((serialized, *skeletons, ids))
        _write(path, hashlib.sha256(body).digest() + body)
        prune(path.parent, MOST)
    except Exception as error:  # of disks, and of programs that cannot be serialized
        logging.warning("%s is not kept for other processes: %s", name, error)
    return compiled


def _write(path, content):
    draft = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            draft = Path(file.name)
            file.write(content)
        draft.replace(path)
    except OSError:
        if draft:
            draft.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _without_cache():
    """Compiles without JAX's cache: what that gives lacks parts when it is serialized on a CPU."""
    switch = "jax_enable_compilation_cache"
    with ONE_AT_A_TIME:  # the switch is that of all threads
        try:
            jax.config.update(switch, False)
            compilation_cache.reset_cache()  # whether it is in use is asked once
            yield
        finally:
            jax.config.update(switch, True)
            compilation_cache.reset_cache()


def prune(folder: Path, most: int) -> None:
    """Removes the files of a folder that were used longest ago, until it has `most` bytes."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process has removed it
            found.append((path.stat(), path))
    total = 0
    for stat, path in sorted(found, key=lambda one: -one[0].st_mtime):
        total += stat.st_size
        if total > most:
            path.unlink(missing_ok=True)
