"""Tests run on eight virtual CPU devices; compiled programs are kept between runs.

The whole suite, or a folder of it, runs in two worker processes, files that are named in this one;
`-n` says otherwise.
"""

import functools
import gc
import importlib.util
import json
import os
from pathlib import Path

from tests import xla

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"
DEVICES = 8
WORKERS = 2
# A worker's share of the cores, for the threads of XLA, BLAS, OpenMP and Numba.
THREADS = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)))
if "PYTEST_XDIST_WORKER" in os.environ:
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[pool] = str(THREADS)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("SEEDANCE_EXECUTABLES", "0")  # JAX's cache outlives edits of the code
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
own = {
    "XLA_FLAGS": xla.write(xla_force_host_platform_device_count=DEVICES),
    "NPROC": str(THREADS),
}
outer = {name: os.environ.get(name) for name in own}
os.environ |= own

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors
from absl import flags
from absl.testing import flagsaver

assert len(jax.devices()) == DEVICES
# The flags are read; programs that a test starts shall run as users run them.
for name, value in outer.items():
    os.environ.pop(name)
    if value is not None:
        os.environ[name] = value

# Fixtures that the tests of several folders share.
pytest_plugins = (
    "tests.clip_fixtures",
    "tests.compiling",
    "tests.emulator",
    "tests.one_process",
    "tests.random_pipeline",
    "tests.samples",
)


def pytest_xdist_auto_num_workers(config):
    """Two for folders, none for files and single tests, where starting them would take longer."""
    named = (argument.partition("::")[0] for argument in config.args)
    return WORKERS if all(Path(path).is_dir() for path in named) else 0


def pytest_collection_finish(session):
    """Modules and tests stay: the garbage collector need not look at them after every trace."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _random_params(init, *args, **kwargs):
    generator = np.random.default_rng(17)

    def draw(path, leaf):
        noise = generator.standard_normal(leaf.shape).astype(leaf.dtype)
        if path[-1].key in ("scale", "gamma"):
            return 1 + 0.1 * noise
        fan_in = np.prod(leaf.shape[:-1])
        return 0.1 * noise if path[-1].key == "bias" else (noise / fan_in**0.5).astype(leaf.dtype)

    shapes = nn.unbox(jax.eval_shape(functools.partial(init, **kwargs), jax.random.key(0), *args))
    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="session")
def random_params():
    """Function (init, *args) -> the variables that `init` makes, none of them at zero."""
    return _random_params


@pytest.fixture(scope="session")
def released():
    """Function (part of a generator) -> (config of the released one, {name of a weight: shape})."""
    from seedance_jax.pretrained import runs

    config = json.loads((runs.RELEASED / "config.json").read_text())

    def read(part):
        with safetensors.safe_open(runs.RELEASED / "weights.safetensors", "numpy") as file:
            names = [name for name in file.keys() if name.startswith(f"{part}.")]
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        return config, {name.removeprefix(f"{part}."): shape for name, shape in shapes.items()}

    return read


@pytest.fixture(scope="session")
def one_device():
    """The mesh of a single device."""
    from seedance_jax.sharding import MESH_AXES

    types = (jax.sharding.AxisType.Auto,) * len(MESH_AXES)
    return jax.make_mesh((1,) * len(MESH_AXES), MESH_AXES, types, devices=jax.devices()[:1])


@pytest.fixture
def run_command():
    """Function (name, *flags) that runs the main of a command in this process."""
    from seedance_jax.commands import cli  # noqa: F401 - defines flags that are to stay

    def run(name, *arguments):
        with flagsaver.flagsaver():  # commands define flags of the same names
            spec = importlib.util.find_spec(f"seedance_jax.commands.{name}")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            module.main(flags.FLAGS([name, *arguments]))

    return run
