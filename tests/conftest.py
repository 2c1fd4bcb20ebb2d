"""Tests run on eight virtual CPU devices; compiled programs are kept between runs."""

import functools
import os
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import flax.linen as nn
import jax
import numpy as np
import pytest


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
def one_device():
    """The mesh of a single device."""
    from seedance_jax.sharding import MESH_AXES

    types = (jax.sharding.AxisType.Auto,) * len(MESH_AXES)
    return jax.make_mesh((1,) * len(MESH_AXES), MESH_AXES, types, devices=jax.devices()[:1])
