"""The background job of a TPU host, with a stand-in for the command."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = """
import os, signal, sys, time
def save(*_):
    print("saved", flush=True)
    sys.exit(int(sys.argv[-1].partition("--stopped_status=")[2] or 0))
signal.signal(signal.SIGTERM, save)
print("flags", *sys.argv[2:], os.environ["LIBTPU_INIT_ARGS"], flush=True)
if "--bad" in sys.argv:
    sys.exit("error: bad flag")
if "--short" in sys.argv:
    sys.exit(0)
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


def state(host, wanted):
    """The word on the job, once it is `wanted` or half a minute has passed."""
    for _ in range(60):
        found = host("state")[1].split()[-1]
        if found == wanted:
            break
        time.sleep(0.5)
    return found


def test_a_word_tells_how_a_job_ended(host, tmp_path):
    assert state(host, "idle") == "idle"
    host("start", "v6e", "job")
    assert state(host, "running") == "running"
    host("stop")
    assert state(host, "stopped") == "stopped"
    host("start", "v6e", "job")
    host("stop", "interrupted")  # by `watch`, which goes on
    assert state(host, "interrupted") == "interrupted"
    host("start", "v6e", "job", "--bad")
    assert state(host, "failed") == "failed"
    host("start", "v6e", "job", "--short")
    assert state(host, "finished") == "finished"


def test_a_training_that_the_system_ends_is_interrupted(host, tmp_path):
    host("start", "v6e", "train", "--workdir=w")
    assert "flags --workdir=w --stopped_status=75" in (tmp_path / "runs/worker/log.txt").read_text()
    job = int((tmp_path / "runs/worker/pid").read_text().split()[0])
    os.kill(job, signal.SIGTERM)
    assert state(host, "interrupted") == "interrupted"


@pytest.mark.parametrize(
    ("key", "value"),
    [("preempted", "TRUE"), ("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE")],
)
def test_a_notice_of_the_end_saves_at_once(host, tmp_path, monkeypatch, key, value):
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    curl.write_text(
        f'#!/bin/sh\ncase "$*" in *instance/{key}) echo {value} ;; *) echo NONE ;; esac\n'
    )
    curl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{curl.parent}:{os.environ['PATH']}")
    host("start", "v6e", "train", "--workdir=w")
    assert state(host, "leaving") == "leaving"  # as long as it is announced
    assert (tmp_path / "runs/worker/outcome").read_text() == "interrupted\n"
    log = (tmp_path / "runs/worker/log.txt").read_text().splitlines()
    assert log[-1] == "saved"
    assert f"notice: {key}; saving" in log[-2]


def test_unknown_words_are_refused(host):
    assert "no TPU generation 'v9'; legal: v4 v5e" in host("start", "v9", "job")[1]
    assert "no command 'begin'; legal: install idle" in host("begin")[1]
