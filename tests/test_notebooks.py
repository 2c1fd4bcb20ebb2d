"""The code cells of the notebooks: quickstart with a model of random weights, train as it is."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seedance_jax.models.generator import example_inputs
from seedance_jax.pretrained import generators
from seedance_jax.sampling.pipeline import Pipeline
from tests import notebook_cells
from tests.notebook_cells import code_cells, split

ROOT = Path(__file__).parents[1]
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


def test_the_cells_of_quickstart_run(pipeline, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(Pipeline, "from_run", lambda: pipeline)
    monkeypatch.chdir(tmp_path)
    with notebook_cells.screen(shown.append, Video=lambda path, **_: Path(path)):
        notebook_cells.run(ROOT / "notebooks/quickstart.ipynb")
    movie = next(item for item in shown if isinstance(item, Path))
    assert movie.stat().st_size > 0
    assert len(shown) == 3


@pytest.fixture(scope="module")
def trained(command, tmp_path_factory):
    """(folder, what was printed) of the notebook that trains."""
    pytest.importorskip("mujoco", reason="the world is an extra")
    folder = tmp_path_factory.mktemp("train")
    done = command(ROOT / "notebooks/train.ipynb", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_training_shows_its_sheets_and_the_table_of_the_judges(trained):
    folder, _ = trained
    pictures = [Image.open(path) for path in sorted((folder / "shown").glob("*.png"))]
    assert len(pictures) == 6
    assert all(np.std(picture) > 20 for picture in pictures)
    (table,) = (path.read_text() for path in (folder / "shown").glob("*.html"))
    for words in ("prompt following", "motion quality", "through the autoencoder"):
        assert words in table


def test_training_tells_what_the_filter_drops_and_what_the_autoencoder_keeps(trained):
    _, printed = trained
    kept, rows = re.search(r"(\d+) of (\d+) rows kept by the filter", printed).groups()
    assert 0 < int(kept) < int(rows)
    good, dropped = re.search(r"of (\d+) clips without a flaw (\d+) are dropped", printed).groups()
    assert int(dropped) <= 0.1 * int(good) < int(kept)
    assert float(re.search(r"([\d.]+) dB", printed)[1]) > 15  # 7.5 after 12 steps


def test_training_goes_through_the_stages_and_its_lineage_names_them(trained):
    folder, printed = trained
    tree = printed[printed.index("/merged: merged, a generator") :]
    stages = ("sft", "continue_train", "pretrain_24fps", "pretrain_highres", "pretrain_video")
    places = [tree.index(f": {name}, a generator") for name in (*stages, "pretrain_image")]
    assert places == sorted(places)
    assert tree.count("merged: ") == 3  # itself, and two specialists
    assert "then" not in tree
    logs = [*folder.glob("runs/notebook/*/*/metrics.jsonl")]
    assert len(logs) == 8
    for log in logs:
        assert all(np.isfinite(json.loads(line)["loss"]) for line in log.open())


def test_the_scripts_exist():
    """What notebooks ask a shell for: files of the repository, in legal sizes."""
    cells = [cell for path in NOTEBOOKS for cell in code_cells(path)]
    commands = [line for cell in cells for line in split(cell)[1]]
    scripts = re.findall(r"^!bash (\S+) (\w+)", "\n".join(commands), re.MULTILINE)
    assert scripts
    for script, size in scripts:
        text = (ROOT / script).read_text()
        assert re.search(rf"SIZE: .*\b{size}\b", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_extras_exist(path):
    commands = [line for cell in code_cells(path) for line in split(cell)[1]]
    installs = [line for line in commands if line.startswith("%pip")]
    extras = re.findall(r"\[(\w+)\]", " ".join(installs))
    setup = (ROOT / "setup.py").read_text()
    assert extras
    assert all(f'"{extra}": [' in setup for extra in extras)
