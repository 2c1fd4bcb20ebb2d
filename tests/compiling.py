"""What is compiled, by name, and a folder where executables are kept."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from seedance_jax.pretrained import executables

EVENT = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled():
    """The names of the functions that are compiled, or fetched from JAX's cache, one after another.

    Clear it before what is counted.
    """
    names = []

    def listen(event, seconds, **said):
        if event == EVENT:
            names.append(said["fun_name"].removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder where executables are kept, beside a new cache of JAX."""
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv(executables.SWITCH, "1")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "cache"))
    compilation_cache.reset_cache()
    yield tmp_path / "cache" / executables.FOLDER
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()
