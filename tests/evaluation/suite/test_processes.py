"""Two real processes without a shared folder run a suite as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import finish, place

from seedance_jax.evaluation.suite import results

ROOT = Path(__file__).parents[3]
PATIENCE = 900
SUITE = ("--suite=world_v1_dev", "--limit=2", "--batch_size=2", "--num_inference_steps=1")


def run(*folders):
    """[(exit status, output, errors)] of a process for each folder, joined over loopback."""
    command = (sys.executable, "-m", "seedance_jax", "evaluate", *SUITE, *place(len(folders)))
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(
            (*command, f"--process_id={i}", f"--output={folder}"),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            **pipe,
        )
        for i, folder in enumerate(folders)
    ]
    return finish(processes, PATIENCE)


@pytest.mark.slow
def test_process_0_alone_keeps_results_and_an_error_of_it_ends_both(tmp_path):
    folders = tmp_path / "first", tmp_path / "second"
    found = run(*folders)
    assert [status for status, _, _ in found] == [0, 0], found
    assert "of the first 2 of 224 clips pass" in found[0][1]
    assert sorted(results.read_rows(folders[0])) == [0, 1]
    assert not folders[1].exists()

    path = folders[0] / results.FILE
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    assert [status for status, _, _ in run(*folders)] == [0, 0]
    assert sorted(results.read_rows(folders[0])) == [0, 1]
    assert json.loads((folders[0] / "report.json").read_text())["clips"] == 2

    path.write_text("no row\n")
    for status, _, errors in run(*folders):
        assert status == 1
        assert "results.jsonl line 1 is not JSON" in errors
