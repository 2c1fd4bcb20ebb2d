import functools
import importlib
import json

import architecture
import jax
import jax.numpy as jnp
import pytest
from architecture import (
    FLOORS,
    PACKAGE,
    ROOT,
    clashes,
    closure,
    functions,
    imports,
    lines,
    local_names,
    room,
    share_of_measuring,
    unannotated,
    within,
)
from ml_collections import ConfigDict

from configs.base import SIZES
from seedance_jax.data import sources
from seedance_jax.diffusion import tasks
from seedance_jax.models.generator import example_inputs
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import generators, runs
from seedance_jax.stages import STAGES

MODULES = architecture.modules()
ARROWS = architecture.graph(MODULES)
FORBIDDEN = ("utils", "common", "helpers", "misc")
# Modules that share a name, and why.
NAMESAKES = {
    "vae": "the model and its stage",
    "lora": "the model and its stage",
}
# What works on paths of this machine alone, in the only modules that may do so, and why. Whatever
# may be gs://bucket/path goes through `training.places` or, in the data layer, `data.remote`.
LOCAL = {
    "where both kinds of places are known": ("data.remote", "training.places", "training.uploads"),
    "one of two ways, the other is of buckets": (
        *("data.builders.parts", "data.builders.storage", "data.listing", "training.lock"),
        *("data.builders.caption_files", "training.hooks"),
    ),
    "files that come with the package, and of the machine": (
        *("data.preferences.voting.endpoints", "evaluation.judges.forms", "evaluation.suite.cases"),
        *("evaluation.suite.page", "evaluation.suite.pictures", "evaluation.suite.scoring"),
        *("models.products", "performance.chips", "pretrained.card", "pretrained.runs"),
        *("sampling.labels", "training.cluster", "training.startup"),
    ),
    "copies on this machine, of which decoders and libraries read": (
        *("data.builders.records", "data.builders.stills", "data.builders.world_clips"),
        *("data.color_profiles", "data.video.container", "data.video.reader"),
        *("evaluation.metrics.features", "evaluation.suite.command", "evaluation.suite.results"),
    ),
    "caches of this machine": ("commands.cli", "pretrained.executables"),
    "files that grow under a lock while a page or a command writes to them": (
        *("data.appended", "data.curation.reviewing.desk", "data.curation.reviews"),
        *("data.preferences.box", "data.preferences.pairs", "data.preferences.votes"),
        *("evaluation.releases", "evaluation.suite.log"),
    ),
    "results that are compared where they were copied to": (
        *("evaluation.suite.comparison", "evaluation.suite.comparison_page", "evaluation.tally"),
        "evaluation.metrics.paired",
    ),
    "what a user gives, once, to one process": (
        *("commands.convert", "commands.flag_errors", "data.file_names", "data.images"),
        *("data.pointers", "data.tokenizer", "models.public.file_kinds", "models.public.qwen"),
        *("models.public.hugging_face", "models.public.qwen_vision"),
        "models.public.siglip",
        *("models.public.safetensors_file", "models.public.torch_file", "pretrained.exchange"),
        *("pretrained.language_model", "sampling.files", "sampling.prompt_files"),
    ),
    "sheets and reports for whoever looks at them": (
        *("commands.inspect_data", "commands.score", "commands.train_features"),
    ),
    "measurements of this machine": (
        *("commands.benchmark", "commands.compile", "commands.pods", "performance.pods"),
        *("performance.timed.autoencoder_speed", "performance.timed.benchmarks"),
        *("performance.timed.input_speed", "performance.timed.reports"),
        *("performance.timed.startup_speed", "performance.timed.subjects"),
        *("performance.timed.table", "performance.timed.turns"),
    ),
}
# Files of more than 300 lines, and functions of more than 50, and why.
LONG_FILES = {
    f"{PACKAGE}.sharding": "alone names mesh axes",
    f"{PACKAGE}.data.world.kernels": "Numba recompiles a cached loop with its own file alone",
}
LONG_FUNCTIONS = {"generate": "one loop with its three parts"}
SHARED = {f"{PACKAGE}.commands.{name}" for name in ("cli", "flag_errors")}  # by all commands
COMMANDS = sorted(within("commands", MODULES) - SHARED)
CONFIGS = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem not in ("__init__", "base")
)
CONFIGS_AND_SIZES = [(name, size) for name in CONFIGS for size in SIZES] + [("pretrain", "7b")]


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_strictly_down(name):
    own = room(name)
    for dotted in imports(MODULES[name]):
        assert not dotted.startswith(("configs", "tests")), dotted
        if dotted.startswith(f"{PACKAGE}.") and room(dotted) != own:
            assert FLOORS[room(dotted)] < FLOORS[own], f"{name} uses {dotted}"


@pytest.mark.parametrize("name", sorted(within("data", MODULES)))
def test_the_data_layer_does_not_import_jax(name):
    roots = {dotted.split(".")[0] for dotted in imports(MODULES[name])}
    assert not roots & {"jax", "jaxlib", "flax", "optax", "orbax"}


def test_nothing_imports_tensorflow():
    for path in MODULES.values():
        assert "tensorflow" not in {dotted.split(".")[0] for dotted in imports(path)}, path


def test_configs_import_neither_jax_nor_the_package():
    for path in (ROOT / "configs").glob("*.py"):
        roots = {dotted.split(".")[0] for dotted in imports(path)}
        assert roots <= {"configs", "ml_collections"}, path


def test_no_stage_imports_what_judges():
    reached = closure(within("stages", MODULES), ARROWS)
    assert not within("evaluation", reached)
    assert not within("performance", reached)


def test_what_judges_and_what_is_trained_share_the_world_alone():
    judging = closure(within("evaluation.judges", MODULES), ARROWS)
    shared = judging & closure(within("stages", MODULES), ARROWS)
    shared -= {name for name in shared if not MODULES[name].read_text()}  # empty __init__.py
    for part in ("schema", "video", "world"):
        shared -= within(f"data.{part}", shared)
    assert not shared


def test_no_network_of_a_metric_on_the_world_is_in_a_loss():
    networks = within("models.perception.world_features", MODULES)
    assert networks <= closure(within("evaluation.metrics", MODULES), ARROWS)
    assert not networks & closure(within("stages", MODULES), ARROWS)


def test_only_named_modules_work_on_paths_of_this_machine_alone():
    named = [f"{PACKAGE}.{name}" for names in LOCAL.values() for name in names]
    assert len(named) == len(set(named))
    found = {name for name, path in MODULES.items() if local_names(path)}
    assert found == set(named), (found - set(named), set(named) - found)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pathlib", {"pathlib"}),
        ("def f():\n    from pathlib import Path", {"pathlib"}),
        ("import os.path, shutil as s", {"shutil"}),
        ("open(path)", {"open"}),
        ("path.open()\nfile.replace(a, b)\nos.fspath(a)\nos.path.join(a, b)", set()),
        ("os.replace(a, b)", {"os.replace"}),
        ("os.path.isdir(a)", {"os.path.isdir"}),
        ("from os import path, listdir", {"os.path", "os.listdir"}),
    ],
)
def test_uses_of_paths_of_this_machine_are_found(tmp_path, source, found):
    (tmp_path / "a.py").write_text(source)
    assert local_names(tmp_path / "a.py") == found


def test_two_modules_share_a_name_for_a_reason_only():
    assert clashes(MODULES).keys() == NAMESAKES.keys()


def test_there_are_few_rooms():
    entries = [path for path in (ROOT / PACKAGE).iterdir() if path.name != "__pycache__"]
    assert len(entries) < 15, entries


def test_what_measures_does_not_grow_faster_than_what_is_measured():
    assert share_of_measuring(MODULES) <= 1 / 3


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_reads_flags_and_makes_a_call(name):
    assert lines(MODULES[name]) <= 160
    assert len(functions(MODULES[name])) <= 6


def test_commands_do_not_use_each_other():
    for name in within("commands", MODULES):
        assert within("commands", ARROWS[name]) <= {*SHARED, name}, name


def test_no_file_is_a_drawer():
    assert not [name for name in MODULES if name.rpartition(".")[2] in FORBIDDEN]


def test_every_folder_is_a_package_whose_init_defines_no_function():
    lazy = {f"{PACKAGE}.data.world"}  # its `generate` imports the extra [world] when it is called
    for name, path in MODULES.items():
        assert (path.parent / "__init__.py").exists(), path
        assert path.name != "__init__.py" or name in lazy or not functions(path), path


def test_functions_and_files_fit_on_a_page():
    for name, path in MODULES.items():
        assert (lines(path) > 300) == (name in LONG_FILES), f"{name}: {lines(path)} lines"
        for function, length, arguments in functions(path):
            assert length <= 50 or function in LONG_FUNCTIONS, f"{name}.{function}"
            assert arguments <= 7, f"{name}.{function}"


def test_public_functions_are_annotated():
    bare = {name: unannotated(path) for name, path in MODULES.items()}
    assert not any(bare.values()), bare


def test_the_figures_are_printed_for_any_repository(tmp_path):
    for path, text in {
        "sharding.py": "def one(self, a, *, b):\n    pass\n",
        "data/loader.py": "from seedance_jax.sharding import one\nimport seedance_jax.models\n",
        "models/loader.py": "",
        "models/__init__.py": "from seedance_jax.stages import x\n",
        "stages/x.py": "",
    }.items():
        file = tmp_path / PACKAGE / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    text = "\n".join(architecture.report(tmp_path))
    assert "data              2 lines  -> models 1, sharding 1" in text
    assert "imports that do not go down: data -> models, models -> stages" in text
    assert "seedance_jax.data.loader, seedance_jax.models.loader" in text
    assert architecture.functions(tmp_path / PACKAGE / "sharding.py") == [("one", 2, 2)]
    assert "public functions that are not annotated: 1" in text


@pytest.mark.parametrize(("name", "size"), CONFIGS_AND_SIZES)
def test_a_config_is_locked_and_names_a_stage(name, size):
    config = importlib.import_module(f"configs.{name}").get_config(size)
    assert isinstance(config, ConfigDict)
    assert config.is_locked
    assert (config.name, config.size) == (name, size)
    assert config.stage in STAGES
    with pytest.raises(AttributeError, match="peak_lrr"):
        config.optimizer.peak_lrr = 1.0


@pytest.mark.parametrize("name", CONFIGS)
def test_an_unknown_size_is_named(name):
    with pytest.raises(ValueError, match=r"no size 'huge'.*smoke.*tiny"):
        importlib.import_module(f"configs.{name}").get_config("huge")


# Once for all configs of the same model.
@functools.cache
def trace_autoencoder(model, shape):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape, 3)))


@functools.cache
def trace_generator(settings, text_length):
    model = generators.build_generator(*json.loads(settings), 48)
    jax.eval_shape(model.init, jax.random.key(0), *example_inputs(48, text_length))


@pytest.mark.parametrize(("name", "size"), CONFIGS_AND_SIZES)
def test_the_model_of_a_config_can_be_made(name, size):
    """Every size, by shapes alone: heads, widths and strides fit each other and the buckets."""
    config = importlib.import_module(f"configs.{name}").get_config(size).to_dict()
    shapes = [bucket.shape for bucket in sources.make_buckets(config["data"]["buckets"])]
    if config["stage"] == "vae":
        model = VAE(**runs.as_tuples(config["vae"]))
        for shape in shapes:
            trace_autoencoder(model, tuple(shape))
        return
    tasks.check_weights(config["tasks"])
    settings = json.dumps([config["text"], config["model"]])
    trace_generator(settings, config["data"]["text_length"])
