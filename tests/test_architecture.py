import ast
import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from configs.base import SIZES
from seedance_jax.data import sources
from seedance_jax.diffusion import tasks
from seedance_jax.models.generator import example_inputs
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import runs
from seedance_jax.stages import STAGES

ROOT = Path(__file__).parents[1]
PACKAGE = "seedance_jax"
# Imports go strictly down; within a room they are free.
FLOORS = {
    "sharding": 0,
    "models": 1,
    "diffusion": 1,
    "data": 1,
    "training": 1,
    "pretrained": 2,
    "sampling": 3,
    "stages": 4,
    "evaluation": 5,
    "performance": 5,
    "commands": 6,
    "__main__": 7,
}
FORBIDDEN = ("utils.py", "common.py", "helpers.py", "misc.py")
MODULES = [
    path
    for path in sorted((ROOT / PACKAGE).rglob("*.py"))
    if path != ROOT / PACKAGE / "__init__.py"
]
CONFIGS = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem not in ("__init__", "base")
)
CONFIGS_AND_SIZES = [(name, size) for name in CONFIGS for size in SIZES] + [("pretrain", "7b")]


def imports(path):
    """Full dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import in {path}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(dotted):
    """The room of the package that a dotted name belongs to."""
    return dotted.split(".")[1]


def name(path):
    """The dotted name of a file, that of its folder for __init__.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_strictly_down(path):
    own = room(name(path))
    for dotted in imports(path):
        assert not dotted.startswith(("configs", "tests")), dotted
        if dotted.startswith(PACKAGE + ".") and room(dotted) != own:
            assert FLOORS[room(dotted)] < FLOORS[own], f"{name(path)} uses {dotted}"


@pytest.mark.parametrize("path", [path for path in MODULES if room(name(path)) == "data"], ids=name)
def test_the_data_layer_does_not_import_jax(path):
    roots = {dotted.split(".")[0] for dotted in imports(path)}
    assert not roots & {"jax", "jaxlib", "flax", "optax", "orbax"}


def test_nothing_imports_tensorflow():
    for path in MODULES:
        assert "tensorflow" not in {dotted.split(".")[0] for dotted in imports(path)}, path


def test_configs_import_neither_jax_nor_the_package():
    for path in (ROOT / "configs").glob("*.py"):
        roots = {dotted.split(".")[0] for dotted in imports(path)}
        assert roots <= {"configs", "ml_collections"}, path


def test_no_file_is_a_drawer():
    assert not [path for path in MODULES if path.name in FORBIDDEN]


def test_every_folder_is_a_package():
    for path in MODULES:
        assert (path.parent / "__init__.py").exists(), path


@pytest.mark.parametrize(("name", "size"), CONFIGS_AND_SIZES)
def test_a_config_is_locked_and_names_a_stage(name, size):
    config = importlib.import_module(f"configs.{name}").get_config(size)
    assert isinstance(config, ConfigDict)
    assert config.is_locked
    assert config.size == size
    assert config.stage in STAGES
    with pytest.raises(AttributeError, match="peak_lrr"):
        config.optimizer.peak_lrr = 1.0


@pytest.mark.parametrize("name", CONFIGS)
def test_an_unknown_size_is_named(name):
    with pytest.raises(ValueError, match=r"no size 'huge'.*smoke.*tiny"):
        importlib.import_module(f"configs.{name}").get_config("huge")


@pytest.mark.parametrize(("name", "size"), CONFIGS_AND_SIZES)
def test_the_model_of_a_config_can_be_made(name, size):
    """Every size, by shapes alone: heads, widths and strides fit each other and the buckets."""
    config = importlib.import_module(f"configs.{name}").get_config(size).to_dict()
    shapes = [bucket.shape for bucket in sources.make_buckets(config["data"]["buckets"])]
    key = jax.random.key(0)
    if config["stage"] == "vae":
        model = VAE(**config["vae"])
        for shape in shapes:
            jax.eval_shape(model.init, key, jnp.zeros((1, *shape, 3)))
        return
    tasks.check_weights(config["tasks"])
    model = runs.build_generator(config["text"], config["model"], 48)
    jax.eval_shape(model.init, key, *example_inputs(48, config["data"]["text_length"]))
