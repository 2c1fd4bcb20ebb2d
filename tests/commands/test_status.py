import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seedance_jax.training import run_directory
from tests.training import test_run_status as files

ROOT = Path(__file__).parents[2]


def write(workdir):
    files.write(workdir, hosts=[files.host(9)], records=[files.record(8)], starts=[files.start(65)])
    data = {"buckets": [[1, 16, 16, 4, 1.0], [5, 16, 16, 2, 3.0]]}
    config = {"stage": "toy", "num_steps": 200, "data": data}
    run_directory.write_json(workdir, "config.json", config)


def test_a_run_is_described_in_words_and_as_json(run_command, tmp_path, capsys):
    write(tmp_path)
    for _ in range(2):
        run_command("status", str(tmp_path), f"--json={tmp_path / 'report.jsonl'}")
    text = capsys.readouterr().out
    assert f"{tmp_path}: running\n" in text
    assert "1 steps/s, 2.5 clips/s" in text  # of the mean batch
    reports = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [report["step"] for report in reports] == [9, 9]


def test_a_directory_of_something_else_is_refused(run_command, tmp_path):
    run_directory.write_json(tmp_path, "config.json", {"model_type": "qwen3"})
    with pytest.raises(ValueError, match=f"{tmp_path} is not a run: its config.json is that of"):
        run_command("status", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "status takes one run directory, as in: python -m seedance_jax status runs/vae"),
        (["a", "b"], "status takes one run directory"),
        (["s3://bucket/run"], "WORKDIR=s3://bucket/run: only local paths, mounted storage and gs"),
        (["gs://x/run"], "'x' is no name of a bucket"),
        (["nowhere"], "nowhere is not a run: it has no config.json"),
    ],
)
def test_what_is_no_run_ends_in_a_message(run_command, arguments, message):
    with pytest.raises((ValueError, OSError), match=message):
        run_command("status", *arguments)


def test_no_device_is_used(tmp_path):
    """As on a machine whose accelerators belong to the training."""
    write(tmp_path)
    command = [sys.executable, "-m", "seedance_jax", "status", str(tmp_path)]
    options = {"cwd": ROOT, "capture_output": True, "text": True}
    nowhere = os.environ | {"JAX_PLATFORMS": "none"}  # whatever asks for a device fails
    done = subprocess.run(command, env=nowhere, **options)
    assert done.returncode == 0, done.stderr
    assert "step        9 of 200" in done.stdout
