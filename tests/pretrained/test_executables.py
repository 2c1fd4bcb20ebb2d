"""Programs that are kept give what they gave, to whom they are for, and never stand in the way."""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.pretrained import executables
from seedance_jax.pretrained.executables import KeptProgram
from seedance_jax.sampling.pipeline import Pipeline
from tests import architecture

ROOT = Path(__file__).parents[2]
SMALL = {"num_frames": 5, "height": 16, "width": 16, "num_inference_steps": 2}
# A program as a new process runs it: its result, and how often it compiles.
PROCESS = """
import sys, jax, numpy as np
from seedance_jax.pretrained.executables import KeptProgram
names = []
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **said: names.append(event) if "backend_compile" in event else None)
def grow(x, *, power):
    return (jax.numpy.sin(x) @ x) ** power
x = np.arange(16, dtype=np.float32).reshape(4, 4)
print(np.asarray(KeptProgram(grow, static=("power",))(x, power=3)).tobytes().hex(), len(names))
"""


def scale(factor, x, *, power=1):
    return factor * x**power


def make(factor=2.0):
    """A program as another process would make it."""
    return KeptProgram(functools.partial(scale, factor), static=("power",))


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def warnings(monkeypatch):
    said = []
    log = lambda text, *values: said.append(text % values)  # noqa: E731
    monkeypatch.setattr(executables.logging, "warning", log)
    return said


def test_another_process_gets_the_same_numbers_and_compiles_nothing(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), executables.SWITCH: "1"}
    call = [sys.executable, "-c", PROCESS, str(tmp_path)]
    first, second = (
        subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first.split()[1] == "1"
    assert second.split() == [first.split()[0], "0"]


@pytest.mark.parametrize("sizes", [None, {"sequence": 2, "fsdp": 4}])
def test_clips_of_programs_that_were_kept_are_the_same(parts, kept, compiled, sizes):
    clips = []
    for _ in range(2):
        compiled.clear()
        pipeline = Pipeline(*parts, mesh=sizes and sharding.make_mesh(**sizes))
        clips.append(pipeline("a red ball", **SMALL).frames)
    np.testing.assert_array_equal(*clips)
    assert not compiled
    assert {name.partition("-")[0] for name in files(kept)} >= {"begin", "step", "decode_bytes"}


@pytest.mark.parametrize("damage", [lambda old: old[:-9], lambda old: old[:50] + b"?" + old[51:]])
def test_a_damaged_file_is_replaced_with_a_warning(kept, compiled, warnings, damage):
    make()(jnp.ones(2))
    [path] = kept.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    np.testing.assert_array_equal(make()(jnp.ones(2)), [2.0, 2.0])
    assert len(warnings) == 1
    assert path.name in warnings[0]
    compiled.clear()
    np.testing.assert_array_equal(make()(np.float32([3.0, 4.0])), [6.0, 8.0])
    assert len(warnings) == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda: make()(np.ones(3, np.float32)),
        lambda: make()(np.ones(2, np.int32)),
        lambda: make()(np.float32(1)),
        lambda: make()(1.0),
        lambda: make()(np.ones(2, np.float32), power=2),
        lambda: make(3.0)(np.ones(2, np.float32)),
        lambda: make()(jax.device_put(np.ones(2, np.float32), jax.devices()[1])),
    ],
)
def test_other_shapes_settings_and_devices_have_files_of_their_own(kept, other):
    expected, own = make()(np.ones(2, np.float32)), files(kept)
    other()
    assert len(files(kept)) == len(own) + 1
    np.testing.assert_array_equal(make()(np.ones(2, np.float32)), expected)
    assert len(files(kept)) == len(own) + 1


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (executables, "code"),
        (executables, "processor"),
        (executables.platform, "python_version"),
        (executables.jax, "devices"),
        (executables.jax, "__version__"),
        (executables.jaxlib, "__version__"),
    ],
)
def test_nothing_is_shared_with_other_code_versions_and_machines(kept, monkeypatch, owner, name):
    make()(np.ones(2, np.float32))
    [own] = files(kept)
    old = getattr(owner, name)
    value = "0.0.1" if isinstance(old, str) else lambda: "another"
    monkeypatch.setattr(owner, name, value if name != "devices" else lambda: old()[:3])
    make()(np.ones(2, np.float32))
    assert len({*files(kept), own}) == 2


def test_flags_of_xla_change_programs(monkeypatch):
    found = {executables.surroundings()}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    found.add(executables.surroundings())
    assert len(found) == 2


def test_settings_of_jax_change_programs_also_for_a_while(kept, compiled):
    program, x = make(), np.ones(2, np.float32)
    program(x)
    with jax.default_matmul_precision("float32"):
        program(x)
        make()(x)
    program(x)
    assert compiled == ["scale", "scale"]
    assert len(files(kept)) == 2


def test_the_hash_of_the_code_is_that_of_what_was_imported(monkeypatch):
    """Files that are edited later are no part of what the process traces."""
    spec = importlib.util.spec_from_file_location("another", executables.__file__)
    another = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(another)
    monkeypatch.setattr(Path, "read_bytes", faulty)
    assert another.code() == executables.code()


def test_cores_are_counted_without_the_calls_of_linux(monkeypatch):
    assert executables.cores() <= os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert executables.cores() == os.cpu_count()


def test_what_programs_are_traced_from_is_in_the_hash_of_the_code():
    modules = architecture.modules()
    arrows = architecture.graph(modules)
    roots = {f"seedance_jax.{name}" for name in ("sampling.sampler", "pretrained.codec")}
    roots |= {"seedance_jax.models.generator", "seedance_jax.diffusion.solvers"}
    used = {modules[name] for name in architecture.closure(roots, arrows)}
    package = ROOT / "seedance_jax"
    hashed = [package / place for place in executables.CODE]
    left = [path for path in used if not any(path.is_relative_to(place) for place in hashed)]
    assert all(not path.read_text() for path in left), left  # an empty __init__.py
    assert all(place.exists() for place in hashed)


def test_nothing_is_kept_without_a_cache_or_where_it_is_switched_off(kept, monkeypatch):
    monkeypatch.setenv(executables.SWITCH, "0")
    np.testing.assert_array_equal(make()(jnp.ones(2)), [2.0, 2.0])
    monkeypatch.setenv(executables.SWITCH, "1")
    jax.config.update("jax_compilation_cache_dir", None)
    np.testing.assert_array_equal(make()(jnp.ones(2)), [2.0, 2.0])
    assert not kept.exists()


def test_a_folder_where_others_can_write_is_not_used(kept, warnings):
    kept.mkdir(parents=True)
    kept.chmod(0o777)
    np.testing.assert_array_equal(make()(jnp.ones(2)), [2.0, 2.0])
    assert not files(kept)
    assert "others than you can write there" in warnings[0]


def test_files_and_their_folder_are_the_users_alone(kept):
    make()(jnp.ones(2))
    assert [path.stat().st_mode & 0o077 for path in (kept, *kept.iterdir())] == [0, 0]


def test_a_file_that_cannot_be_written_is_no_error(kept, monkeypatch, warnings):
    monkeypatch.setattr(executables.Path, "replace", faulty)
    np.testing.assert_array_equal(make()(jnp.ones(2)), [2.0, 2.0])
    assert not files(kept)
    assert "no space left" in warnings[0]


def faulty(*unused):
    raise OSError("no space left")


def test_programs_are_traced_like_any_function(kept):
    assert jax.grad(lambda x: make()(x, power=2).sum())(jnp.float32(3.0)) == 12.0


def test_a_function_that_has_no_lasting_name_is_compiled_and_not_kept(kept):
    np.testing.assert_array_equal(make(Nameless())(jnp.ones(2)), [2.0, 2.0])
    assert not files(kept)


class Nameless:
    """Its repr is its address."""

    def __mul__(self, other):
        return 2 * other


def test_what_was_used_longest_ago_goes_first(tmp_path):
    for age, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (100 - age, 100 - age))
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")  # as if another process had removed it
    executables.prune(tmp_path, most=25)
    assert files(tmp_path) == ["a", "b", "gone"]


def test_functions_with_values_of_their_surroundings_are_refused():
    """Those would not be in the key of what is kept."""
    factor = 2.0
    with pytest.raises(ValueError, match="bind them by partial"):
        KeptProgram(lambda x: factor * x)
