"""Errors of the command line end in one line."""

import ast
import functools
import sys
from pathlib import Path

import jax
import pytest
from absl import app, flags
from absl.testing import flagsaver
from ml_collections import config_flags

from seedance_jax.commands import cli


@pytest.fixture
def parse():
    """Function (*arguments) that parses them as a command with --config and --prompt does."""
    values = flags.FlagValues()
    for name in ("config", "generator"):
        config_flags.DEFINE_config_file(name, flag_values=values)
    flags.DEFINE_string("prompt", "a blue ball", "", flag_values=values)
    app.define_help_flags()
    flags.DEFINE_flag(flags.FLAGS["help"], flag_values=values)

    def run(*arguments, operands=False, required=None):
        if required:
            flags.mark_flag_as_required(required, flag_values=values)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flags, "FLAGS", values)
            patch.setattr(sys, "argv", ["sample", *arguments])  # where fields of configs are found
            patch.setattr(flags, "mark_flag_as_required", lambda name: None)
            return cli.parse_flags(["sample", *arguments], operands)

    return run


def test_arguments_that_belong_to_no_flag_are_refused(parse):
    assert parse("--prompt=a blue cube falls") == ["sample"]
    with pytest.raises(SystemExit, match="error: 'cube falls' belongs to no flag.*--prompt="):
        parse("--prompt=blue", "cube", "falls")
    with pytest.raises(SystemExit, match="'num_steps=3' .*flags begin with --"):
        parse("num_steps=3")


def test_a_command_that_takes_operands_gets_them_from_before_and_after_its_flags(parse):
    assert parse("a", "--prompt=blue", "b", operands=True) == ["sample", "a", "b"]
    with pytest.raises(SystemExit, match="^error: Unknown command line flag 'bla'"):
        parse("a", "--bla=3", operands=True)


def test_flags_that_are_wrong_end_in_one_line(parse):
    with pytest.raises(SystemExit) as caught:
        parse("--config=configs/pretrain.py:huge")
    message = str(caught.value)
    assert message.startswith(
        "error: flag --config=configs/pretrain.py:huge: no size 'huge'; sizes, as in "
        "--config=configs/vae.py:tiny: smoke, tiny, released, small, base, 7b"
    )
    assert "\n" not in message
    with pytest.raises(SystemExit, match="^error: Unknown command line flag 'bla'.*--helpshort"):
        parse("--bla=3")


@pytest.mark.parametrize(
    ("file", "near"),
    [
        ("configs/pretrian.py:tiny", "did you mean configs/pretrain.py? "),
        ("vae", "did you mean configs/vae.py? "),
        ("", ""),
        ("configs", ""),
    ],
)
def test_a_config_file_that_is_not_there_ends_with_those_that_are(parse, file, near):
    with pytest.raises(SystemExit) as caught:
        parse(f"--config={file}")
    said = (
        f"error: --config={file}: there is no such file; {near}configs: configs/continue_train.py, "
    )
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert "base.py" not in str(caught.value)


def test_a_flag_that_is_missing_is_named(parse):
    with pytest.raises(SystemExit, match="^error: --config is missing [(]"):
        parse(required="config")


def test_help_is_no_mistake(parse, capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0


def test_the_config_of_a_command_stands_in_what_is_to_be_run(monkeypatch):
    arguments = ["train", "--config=a b.py:tiny", "--workdir=c", "--config.data.source=folder"]
    monkeypatch.setattr(sys, "argv", arguments)
    error = ValueError("build it:\n  build_data --config=...")
    assert cli.explain(error).endswith(
        "build_data '--config=a b.py:tiny' --config.data.source=folder"
    )
    monkeypatch.setattr(sys, "argv", ["train"])
    assert cli.explain(error) == str(error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--generator=configs/pretrain.py:smoke", "--generator.model.deep=3"],
            "^error: --generator.model.deep: generator.model has no field 'deep'; .*legal: .*depth",
        ),
        (
            ["--generator", "configs/pretrain.py:smoke", "--generator.bla", "3"],
            "^error: --generator.bla: generator has no field 'bla'; legal: .*model",
        ),
        (
            ["--config=configs/vae.py:smoke", "--config.vae.bla=3"],
            "^error: --config.vae.bla: config.vae has no field 'bla'",
        ),
        (
            ["--config=configs/vae.py:smoke", "--config.num_stpes=3"],
            "config has no field 'num_stpes'; did you mean 'num_steps'[?] legal: accu",
        ),
    ],
)
def test_a_field_that_a_config_has_not_ends_with_the_legal_ones(parse, arguments, said):
    with pytest.raises(SystemExit, match=said):
        parse(*arguments)


@pytest.fixture
def given(monkeypatch):
    """Function (*arguments) that parses them as a command with --lora and --rewriter does."""

    def parse(*arguments):
        values = flags.FlagValues()
        flags.DEFINE_string("lora", "", "", flag_values=values)
        flags.DEFINE_float("lora_scale", 1.0, "", flag_values=values)
        flags.DEFINE_bool("warmup", False, "", flag_values=values)
        flags.DEFINE_enum("rewriter", None, ["lm", "world"], "", flag_values=values)
        config_flags.DEFINE_config_file("config", flag_values=values)
        monkeypatch.setattr(flags, "FLAGS", values)
        values(["sample", *arguments])

    return parse


def test_a_flag_needs_one_of_the_flags_that_give_it_a_use(given):
    uses = {"--lora": ("lora_scale", "warmup"), "--rewriter=lm": ("warmup",)}
    given()
    cli.needs(uses)  # defaults are no matter
    given("--lora=runs/a", "--lora_scale=2", "--warmup")
    cli.needs(uses)
    given("--lora=", "--rewriter=lm", "--nowarmup")
    cli.needs(uses)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lora_scale=1.0"], "^--lora_scale=1.0 does nothing without --lora$"),
        (["--lora=", "--lora_scale=2"], "^--lora_scale=2.0 does nothing without --lora$"),
        (
            ["--nowarmup", "--rewriter=world"],
            "^--nowarmup does nothing without --lora or --rewriter=lm$",
        ),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused_with_what_it_needs(given, arguments, said):
    given(*arguments)
    with pytest.raises(ValueError, match=said):
        cli.needs({"--lora": ("lora_scale", "warmup"), "--rewriter=lm": ("warmup",)})


def test_a_flag_of_another_mode_is_refused(given):
    uses = {"a generator": ("lora_scale", "warmup"), "an autoencoder": ("config", "warmup")}
    given("--config=configs/vae.py:smoke", "--warmup", "--lora=a")
    cli.needs(uses, mode="an autoencoder")
    with pytest.raises(ValueError, match="^--config=configs/vae.py:smoke does nothing without an"):
        cli.needs(uses, mode="a generator")
    with pytest.raises(
        ValueError, match="--warmup does nothing without a generator or an autoencoder"
    ):
        cli.needs(uses, mode="a reward")  # where none of these has a use


def raised(error):
    def main(argv):
        raise error

    with flagsaver.flagsaver():
        flags.FLAGS(["test", "--num_processes=1"])
        cli.one_line_errors(main)(["test"])


def test_what_is_missing_and_what_is_full_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *args: None)
    exhausted = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GiB\nof\nthem")
    missing = ModuleNotFoundError("No module named 'torch'", name="torch.utils")
    page = ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
    refused = type("HttpError", (Exception,), {"__module__": "gcsfs.retry"})("503 of storage\nlong")
    for error, message in (
        (missing, r'error: torch.utils is not installed; .* pip install -e "\.\[parity\]"$'),
        (page, r'error: uvicorn is not installed; .* pip install -e "\.\[vote\]"$'),
        (ImportError("the world needs mujoco"), "error: the world needs mujoco$"),
        (
            refused,
            "error: a bucket cannot be read or written: HttpError: 503 of storage; .* start again$",
        ),
        (MemoryError(), "error: out of memory: none is left$"),
        (exhausted, "error: out of memory: RESOURCE_EXHAUSTED: 9 GiB$"),
    ):
        with pytest.raises(SystemExit, match=message):
            raised(error)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        raised(jax.errors.JaxRuntimeError("INTERNAL: a bug"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt=gs://bucket/runs"], "^--prompt=gs://bucket/runs: only local paths and mounted"),
        (["--config.vae_run=s3://a/b"], "^--config.vae_run=s3://a/b: only local"),
        (["--config.data.data_dir=s3://data"], "^--config.data.data_dir=s3://data: only local"),
        (
            ["--config.data.data_dir=caf\udce9"],
            r"^--config.data.data_dir=caf\\xe9 must be UTF-8 text",
        ),
    ],
)
def test_places_that_no_reader_reaches_are_refused(monkeypatch, arguments, said):
    def check(*given):
        values = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=values)
        flags.DEFINE_string("prompt", "a ball", "", flag_values=values)
        monkeypatch.setattr(sys, "argv", ["sample", "--config=configs/pretrain.py:smoke", *given])
        values(sys.argv)
        monkeypatch.setattr(flags, "FLAGS", values)
        cli.check_places()

    check("--prompt=two balls: // 16://9 of them", "--config.vae_run=/mnt/bucket/vae")
    with pytest.raises(ValueError, match=said):
        check(*arguments)


# Flags that are words, numbers or JSON; all others are paths, see `cli.define_path`.
WORDS = {
    *("coordinator", "extend", "frames", "guidance_interval", "host", "labels", "mesh"),
    *("negative_prompt", "num_inference_steps", "only", "profile", "prompt", "ratio", "rows"),
    *("scorers", "weights"),
    *("seconds", "severities", "sides", "size", "slice", "solver", "split", "suite", "tokens"),
    *("topology", "version", "workers"),
}


def test_every_flag_that_is_no_word_is_a_path():
    words = set()
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            kinds = ("DEFINE_string", "DEFINE_list")
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in kinds:
                words.add(node.args[0].value)
    assert words <= WORDS, words - WORDS


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_tilde_is_the_home_directory_in_paths_and_configs(home, monkeypatch):
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    monkeypatch.setattr(flags, "mark_flag_as_required", lambda name: None)
    monkeypatch.setattr(flags, "FLAGS", values)
    with monkeypatch.context() as patch:
        define = functools.partial(flags.DEFINE, flag_values=values)
        patch.setattr(flags, "DEFINE", define)
        output = cli.define_path("output", "~/samples", "")
        lpips = cli.define_paths("lpips", [], "")
    (home / "my.py").write_text(Path("configs/pretrain.py").read_text())
    arguments = ["--config=~/my.py:smoke", "--config.vae_run=~", "--config.data.data_dir=~/data"]
    arguments += ["--config.data.folder.path=~/films", "--lpips=~/vgg,heads"]
    monkeypatch.setattr(sys, "argv", ["sample", *arguments])
    assert cli.parse_flags([*sys.argv, "~/a", "b"], operands=True)[1:] == [f"{home}/a", "b"]
    assert output.value == f"{home}/samples"
    assert lpips.value == [f"{home}/vgg", "heads"]
    cli.check_places()
    config = values.config
    assert (config.vae_run, config.data.data_dir) == (str(home), f"{home}/data")
    assert config.data.folder.path == f"{home}/films"
    assert config.data.buckets  # what is no text stays
    values(["sample", "--output=~/out"])
    assert output.value == f"{home}/out"
    with pytest.raises(flags.IllegalFlagValueError, match="~nobody_here/a: no such home"):
        values(["sample", "--output=~nobody_here/a"])


def test_a_name_that_is_no_text_is_named(monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *args: None)
    with pytest.raises(UnicodeEncodeError) as caught:
        "caf\udce9.mp4".encode()
    with pytest.raises(SystemExit, match=r"error: 'caf\\\\xe9.mp4' is not utf-8 text; give"):
        raised(caught.value)
