"""The pages: their commands exist, with legal flags; their files and links, too."""

import ast
import importlib
import re
import subprocess

import pytest
from absl import flags
from absl.testing import flagsaver

from seedance_jax.__main__ import COMMANDS
from tests import pages

ROOT = pages.ROOT
WRITTEN = [page for page in pages.PAGES if (ROOT / page).exists()]
BLOCKS = [block for page in WRITTEN for block in pages.read_blocks(page)]
BASH = [block for block in BLOCKS if block.language == "bash"]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


def block_name(block):
    return block.name


def python_commands(block):
    """Arguments of `python -m seedance_jax`, and of launchers that pass them on, in a block."""
    for argv in pages.dry_run(block):
        if "seedance_jax" in argv and argv[argv.index("seedance_jax") - 1] == "-m":
            yield argv[argv.index("seedance_jax") + 1 :]
        elif argv[0] == "seedance":
            yield argv[1:]


def test_every_page_is_known():
    listed = subprocess.run(
        ["git", "ls-files", "*README.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = {path for path in listed.stdout.split() if "weights" not in path}
    assert found == set(pages.PAGES)


@pytest.mark.parametrize("block", BASH, ids=block_name)
def test_the_commands_of_a_block_are_legal(block, monkeypatch):
    for name, *arguments in python_commands(block):
        monkeypatch.setattr("sys.argv", [name, *arguments])  # where config_flags looks for fields
        assert name in COMMANDS, f"{block.name}: no command {name!r}"
        with flagsaver.flagsaver():
            spec = importlib.util.find_spec(f"seedance_jax.commands.{name}")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            rest = flags.FLAGS([name, *arguments])  # raises for unknown flags and config fields
            assert COMMANDS[name].operands or rest == [name], rest


@pytest.mark.parametrize("block", BASH, ids=block_name)
def test_the_scripts_of_a_block_exist(block):
    for argv in pages.dry_run(block):
        if argv[0] == "bash":
            assert (ROOT / argv[1]).is_file(), f"{block.name}: {argv}"
        elif argv[:2] == ["python", "-m"] and argv[2].startswith("tests."):
            path = ROOT / argv[2].replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), argv


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python"], ids=block_name
)
def test_the_names_that_a_python_block_imports_exist(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("seedance_jax"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("page", WRITTEN)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in LINK.findall((ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_has_no_placeholders(page):
    prose = re.sub(r"^```.*?^```$|`[^`]*`", "", (ROOT / page).read_text(), flags=re.M | re.S)
    assert not re.findall(r"^[A-Z_]{4,}$|\b[A-Z]+_[A-Z]+\b|\bTO" r"DO\b", prose, re.MULTILINE)


def test_a_dry_run_expands_variables_and_runs_nothing(tmp_path):
    text = f'A="--x=1 --y"\npython -m seedance_jax train $A "--z=a b" \\\n    --w\npip {tmp_path}\n'
    block = pages.Block("README.md", 1, "bash", text, None)
    first, second = pages.dry_run(block)
    assert first == [*"python -m seedance_jax train --x=1 --y".split(), "--z=a b", "--w"]
    assert second == ["pip", str(tmp_path)]
    assert list(python_commands(block)) == [["train", "--x=1", "--y", "--z=a b", "--w"]]


def test_a_block_that_fails_is_reported(tmp_path):
    good = pages.Block("README.md", 1, "bash", "echo tiny > a; cat a\n", None)
    assert pages.run(good, tmp_path) is None
    assert (tmp_path / "a").read_text() == "smoke\n"
    assert "boom" in pages.run(good._replace(text="echo boom; false; echo no\n"), tmp_path)
    assert "ZeroDivisionError" in pages.run(
        good._replace(language="python", text="1 / 0\n"), tmp_path
    )


def test_the_size_tiny_becomes_smoke_but_the_released_weights_stay():
    text = "--config=configs/vae.py:tiny --workdir=seedance_jax/weights/tiny runs/tiny/vae"
    assert pages.at_smoke_size(text) == (
        "--config=configs/vae.py:smoke --workdir=seedance_jax/weights/tiny runs/smoke/vae"
    )
