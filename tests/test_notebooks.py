"""The code cells of the notebooks, run with a model of random weights."""

import ast
import json
import re
import sys
import types
from pathlib import Path

import pytest

from seedance_jax.models.generator import example_inputs
from seedance_jax.pretrained import generators
from seedance_jax.sampling.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
MODEL = {"width": 16, "depth": 1, "heads": 2, "window": (2, 2)}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def pipeline(parts, random_params):
    """One that reads captions as long as those of the world."""
    _, _, vae, weights, config, metadata = parts
    config = {"text": config["text"] | {"max_words": 32}}
    generator = generators.build_generator(config["text"], MODEL, 4)
    params = random_params(generator.init, *example_inputs(4, 128))["params"]
    return Pipeline(generator, params, vae, weights, config, metadata | {"text_length": 128})


def code_cells(path):
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def split(cell):
    """(python, commands): of Jupyter's `!` and `%` lines and the others."""
    lines = "".join(cell["source"]).splitlines()
    commands = [line for line in lines if line.startswith(("!", "%"))]
    return "\n".join(line for line in lines if line not in commands), commands


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_clean_and_defines_nothing(path):
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in code_cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        defined = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
        nodes = ast.walk(ast.parse(split(cell)[0]))
        assert not [node for node in nodes if isinstance(node, defined)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_run(path, pipeline, tmp_path, monkeypatch):
    shown = []
    screen = types.SimpleNamespace(display=shown.append, Video=lambda path, **_: Path(path))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=screen))
    monkeypatch.setitem(sys.modules, "IPython.display", screen)
    monkeypatch.setattr(Pipeline, "from_run", lambda: pipeline)
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in code_cells(path):
        exec(compile(split(cell)[0], path.name, "exec"), names)
    movie = next(item for item in shown if isinstance(item, Path))
    assert movie.stat().st_size > 0
    assert len(shown) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_commands_exist(path):
    """What a notebook asks a shell for: files of the repository, in legal sizes."""
    commands = [line for cell in code_cells(path) for line in split(cell)[1]]
    scripts = re.findall(r"^!bash (\S+) (\w+)", "\n".join(commands), re.MULTILINE)
    assert scripts
    for script, size in scripts:
        text = (ROOT / script).read_text()
        assert re.search(rf"SIZE: .*\b{size}\b", text)
    installs = [line for line in commands if line.startswith("%pip")]
    extras = re.findall(r"\[(\w+)\]", " ".join(installs))
    setup = (ROOT / "setup.py").read_text()
    assert extras
    assert all(f'"{extra}": [' in setup for extra in extras)
