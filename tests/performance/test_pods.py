"""Compiles for slices of TPUs: what was found is in `tests/golden/pods.json`.

    python -m seedance_jax pods --out=runs/pods
    python tests/golden/make_pods.py runs/pods

make that file; `pytest -m slow tests/performance/test_pods.py` compiles all again, for hours.
"""

import importlib.util
import json
from pathlib import Path

import jax
import pytest

from seedance_jax import sharding
from seedance_jax.performance import chips, pods

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/golden/pods.json").read_text())
ALL = pods.ALL
needs_compiler = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="extra: tpu")


def test_every_cell_has_a_name_of_its_own_and_can_be_chosen():
    assert len({cell.name for cell in ALL}) == len(ALL)
    assert pods.choose([]) == list(ALL)
    chosen = pods.choose(["7b_480p_5s_v5p", "base_1080p"])
    assert {cell.model for cell in chosen} == {"7b", "base"}
    assert len(chosen) == 4 + 4
    with pytest.raises(ValueError, match="'v9' is in the name of no cell"):
        pods.choose(["7b", "v9"])


@pytest.mark.parametrize("cell", ALL, ids=lambda cell: cell.name)
def test_meshes_use_all_devices_and_divide_the_batch(cell):
    devices = cell.slices * chips.count_devices(pods.SLICES[cell.slice])
    mesh = sharding.plan_mesh(devices, **sharding.read_mesh(cell.mesh.split(",")))
    sharding.check_batches({"clips": cell.batch}, mesh)


def test_the_pages_have_the_rows_of_the_table_and_all_of_it_fits():
    page = (ROOT / "seedance_jax/performance/README.md").read_text()
    rows = {pods.line(cell, GOLDEN[cell.name]) for cell in ALL}
    assert rows <= set(page.splitlines())
    shown = [line for line in (ROOT / "README.md").read_text().splitlines() if " MFU" not in line]
    shown = [line for line in shown if line.startswith("| `") and "fsdp=" in line]
    assert len(shown) == 3
    assert set(shown) <= rows
    for cell in ALL:
        assert GOLDEN[cell.name]["memory"]["fits"] or cell in pods.REMAT


def test_a_failed_compile_tells_what_the_compiler_said(tmp_path, monkeypatch):
    broken = pods.CELLS[0]._replace(batch=3)
    with pytest.raises(RuntimeError, match=r"(?s)base_480p_5s_v5e-256.*a batch of 3 does not div"):
        pods.compile_cell(broken, tmp_path / "report.json")
    assert not list(tmp_path.iterdir())


def test_slices_that_this_jax_cannot_read_are_refused_before_the_first_compile(monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 2))
    pods.check_readable([cell for cell in ALL if cell.slice != "tpu7x-64"])
    with pytest.raises(ValueError, match="for tpu7x; .* --only=v5e-256,v5p-128,v6e-256 leaves"):
        pods.check_readable(ALL)


@needs_compiler
def test_the_step_of_a_model_compiles_for_a_slice(tmp_path, command):
    """The step of a cell of the table, of the smallest model, of three pairs of blocks."""
    report = tmp_path / "smoke.json"
    flags = "--config=configs/pretrain.py:smoke --config.model.remat=full --topology=v5e:2x4"
    flags += f" --mesh=fsdp=4,sequence=2 --batch=16 --json={report}"
    done = command("compile", *flags.split())
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert found["memory"]["fits"]
    assert found["collectives"]["all-to-all"]["times"] >= 6 * 3
    assert 1.2 < found["flops"] / found["model_flops"] < 1.4


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("cell", ALL, ids=lambda cell: cell.name)
def test_a_compile_finds_what_it_found(cell, tmp_path):
    name, _ = chips.parse_topology(pods.SLICES[cell.slice])
    if jax.__version_info__ < chips.READABLE.get(name, ()):
        pytest.skip(f"jax {jax.__version__} cannot read programs for {name}")
    found, known = pods.compile_cell(cell, tmp_path / "report.json"), GOLDEN[cell.name]
    assert found["memory"]["fits"] == known["memory"]["fits"]
    assert found["memory"]["peak"] == pytest.approx(known["memory"]["peak"], rel=0.05)
    if known["memory"]["fits"]:
        assert found["flops"] == pytest.approx(known["flops"], rel=1e-3)
        assert found["binds"] == known["binds"]
        assert found["mfu_at_most"] == pytest.approx(known["mfu_at_most"], rel=0.05)
        # One exchange of activations to windows and one back: forward, again, and backward.
        exchanged = found["collectives"].get("all-to-all", {"times": 0})["times"]
        assert (exchanged >= 6 * 16) == ("sequence" in cell.mesh)
