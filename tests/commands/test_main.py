"""The one command line: which commands there are, and what --help says of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from seedance_jax import __main__ as program
from seedance_jax.commands import cli

ROOT = Path(__file__).parents[2]
FOLDER = Path(cli.__file__).parent


def run(*arguments):
    command = [sys.executable, "-m", "seedance_jax", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_module_of_the_folder_is_a_command():
    names = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "cli", "flag_errors"}
    assert names == program.COMMANDS.keys()
    for name in names:
        assert "\ndef main(argv" in (FOLDER / f"{name}.py").read_text(), name
    for name in ("cli", "flag_errors"):
        assert "\ndef main(" not in (FOLDER / f"{name}.py").read_text()  # launchers would offer it


@pytest.mark.parametrize("word", program.HELP)
def test_help_lists_every_command_in_its_group_and_exits_well(word, capsys):
    with pytest.raises(SystemExit) as caught:
        program.find_command(["seedance", word])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name, command in program.COMMANDS.items():
        assert f"  {name} " in text
        assert command.summary in text
        assert text.index(f"{command.group}:") < text.index(f"  {name} ")


def test_no_command_is_a_mistake_that_shows_the_list(capsys):
    with pytest.raises(SystemExit) as caught:
        program.find_command(["seedance"])
    assert caught.value.code == 2
    assert "train_features" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("trian", "train"), ("build-data", "build_data"), ("Sample", "sample"), ("vot", "vote")],
)
def test_of_an_unknown_command_the_nearest_is_named(given, nearest):
    with pytest.raises(SystemExit, match=f"no command {given!r}; did you mean {nearest!r}"):
        program.find_command(["seedance", given])


def test_of_a_command_unlike_all_the_legal_ones_are_named():
    with pytest.raises(SystemExit, match="no command 'zzzz'; legal commands: build_data, .*train"):
        program.find_command(["seedance", "zzzz"])


def test_a_script_of_the_package_is_the_same_program():
    text = (ROOT / "setup.py").read_text()
    assert '"seedance=seedance_jax.__main__:main"' in text
    assert callable(program.main)


def test_a_script_of_the_package_finds_the_configs_of_the_current_directory():
    start = "from seedance_jax.__main__ import main; main()"  # as a console script, so without -m
    command = [sys.executable, "-P", "-c", start, "build_data", "--config=configs/vae.py:huge"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no size 'huge'" in done.stderr


@pytest.mark.parametrize("name", program.COMMANDS)
def test_a_command_says_how_it_is_called(name):
    text = (FOLDER / f"{name}.py").read_text()
    assert f"python -m seedance_jax {name} " in text


def test_help_of_a_command_shows_its_text_and_flags():
    done = run("merge", "--help")
    assert done.returncode == 0
    assert "Makes an ordinary run of a generator of several" in done.stdout
    assert "python -m seedance_jax merge " in done.stdout
    assert "--lora_scale" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_unknown_command_ends_in_one_line():
    done = run("trian")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert done.stderr.startswith("error: no command 'trian'; did you mean 'train'?")


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ("--weights=0.5,0.5", "--method=weighted"),
        ("--scale=1.0", "--method=task_arithmetic"),
        ("--limit=3", "--method=greedy"),
        ("--lora_scale=2.0", "--lora"),
    ],
)
def test_a_flag_of_another_way_to_merge_is_refused(given, needed, tmp_path):
    done = run("merge", "--runs=a,b", given, f"--output={tmp_path / 'new'}")
    assert done.returncode == 1
    assert f"{given} does nothing without {needed}" in done.stderr.replace("'", "")
