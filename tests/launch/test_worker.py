"""The background job of a TPU host, with a stand-in for the command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = """
import os, signal, sys, time
def save(*_):
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("flags", *sys.argv[2:], os.environ["LIBTPU_INIT_ARGS"], flush=True)
if "--bad" in sys.argv:
    sys.exit("error: bad flag")
time.sleep(60)
"""


@pytest.fixture
def host(tmp_path):
    """Function (command, ...) -> the finished launch/worker.sh; JOB is the only command known."""
    shutil.copytree(ROOT / "launch", tmp_path / "launch")
    (tmp_path / "seedance_jax").mkdir()
    (tmp_path / "seedance_jax" / "__main__.py").write_text(JOB)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)

    def call(*command):
        script = ["bash", "launch/worker.sh", *command]
        output = tmp_path / "output"  # a pipe would stay open as long as the job
        with output.open("w") as file:
            done = subprocess.run(script, cwd=tmp_path, stdout=file, stderr=file, timeout=60)
        return done.returncode, output.read_text()

    yield call
    call("stop")


def test_one_job_runs_until_it_is_stopped(host, tmp_path):
    assert "nothing is running" in host("status")[1]
    assert host("idle")[0] == 0
    status, printed = host("start", "v6e", "job", "--prompt=a b")
    assert (status, "started job" in printed) == (0, True), printed
    assert host("idle")[0] == 1
    status, printed = host("start", "v6e", "job")
    assert status == 1
    assert "a job is running" in printed
    assert "running: " in host("status")[1]
    status, printed = host("stop")
    assert (status, "stopped" in printed) == (0, True)
    log = (tmp_path / "runs/worker/log.txt").read_text()
    assert "flags --prompt=a b --xla_tpu_enable_async_all_to_all=true" in log
    assert log.splitlines()[-1] == "saved"
    assert host("idle")[0] == 0


def test_the_job_outlives_its_connection(tmp_path, host):
    host("start", "v4", "job")
    job = int((tmp_path / "runs/worker/pid").read_text().split()[0])
    assert os.getsid(job) == job  # no terminal can hang it up
    host("stop")
    state = Path(f"/proc/{job}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_job_that_fails_at_once_says_why(host):
    status, printed = host("start", "v5p", "job", "--bad")
    assert status == 1
    assert "error: bad flag" in printed
    assert "job ended at once" in printed


def test_unknown_words_are_refused(host):
    assert "no TPU generation 'v9'; legal: v4 v5e" in host("start", "v9", "job")[1]
    assert "no command 'begin'; legal: install idle" in host("begin")[1]
