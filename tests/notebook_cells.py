"""The cells of a notebook, and how they run without Jupyter.

    python -m tests.notebook_cells notebooks/train.ipynb FOLDER

runs them in that folder, and keeps what they show in FOLDER/shown.
"""

import contextlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def code_cells(path: Path) -> list[dict]:
    """The code cells of a notebook."""
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def split(cell: dict) -> tuple[str, list[str]]:
    """(python, commands): of Jupyter's `!` and `%` lines and the others."""
    lines = "".join(cell["source"]).splitlines()
    commands = [line for line in lines if line.startswith(("!", "%"))]
    return "\n".join(line for line in lines if line not in commands), commands


@contextlib.contextmanager
def screen(display: Callable[[Any], Any], **kinds: Callable) -> Iterator[None]:
    """Context in which IPython.display is this `display`, and what makes what it shows."""
    shown = types.SimpleNamespace(display=display, **kinds)
    stand_ins = {"IPython": types.SimpleNamespace(display=shown), "IPython.display": shown}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules |= stand_ins
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            sys.modules |= {} if module is None else {name: module}


def run(path: Path) -> None:
    """Runs the Python of all cells, one after the other."""
    names = {}
    for cell in code_cells(path):
        exec(compile(split(cell)[0], path.name, "exec"), names)


def keep(path: str, folder: str) -> None:
    """Runs a notebook in a folder; what it shows becomes shown/00.png, 01.html, ... there."""
    path, shown = Path(path).resolve(), Path(folder).resolve() / "shown"
    shown.mkdir(parents=True, exist_ok=True)

    def display(one):
        stem = shown / f"{len(list(shown.iterdir())):02d}"
        if isinstance(one, str):
            stem.with_suffix(".html").write_text(one)
        else:
            one.save(stem.with_suffix(".png"))

    with contextlib.chdir(folder), screen(display, HTML=str):
        run(path)


if __name__ == "__main__":
    keep(*sys.argv[1:])
