"""A cluster of processes on this machine, with small programs in the place of a command."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launch" / "local_cluster.sh"
PROLOGUE = """
import os, signal, subprocess, sys, time
flags = dict(word[2:].split("=") for word in sys.argv[1:])
me = int(flags["process_id"])
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(0)))
print("ready", me, flags["num_processes"], flags["coordinator"], flush=True)
"""


@pytest.fixture
def cluster(tmp_path):
    """Function (program, number, *options) -> a running local cluster of that program."""
    started = []

    def start(program, number="3", *options):
        command = [sys.executable, "-c", PROLOGUE + program]
        call = ["bash", str(SCRIPT), f"--logs={tmp_path}/logs", *options, number, *command]
        pipe = subprocess.PIPE
        # A shell cannot trap what was ignored before it, as Ctrl-C is in background jobs.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(call, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
        signal.signal(signal.SIGINT, before)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def wait_for(path, text):
    end = time.monotonic() + 20
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < end, f"{path} never said {text}"
        time.sleep(0.05)


def test_every_process_knows_the_others(cluster, tmp_path):
    process = cluster("print('works', os.environ['JAX_PLATFORMS'])")
    printed, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    coordinators = set()
    for i in range(3):
        assert f"[{i}] works cpu" in printed
        log = (tmp_path / "logs" / f"{i}.log").read_text()
        coordinators.add(re.match(rf"ready {i} 3 (127\.0\.0\.1:\d+)\n", log).group(1))
    assert len(coordinators) == 1


def test_if_one_fails_the_others_are_told_to_stop(cluster):
    process = cluster("time.sleep(1)\nif me == 1: sys.exit(7)\ntime.sleep(60)")
    printed, errors = process.communicate(timeout=90)
    assert process.returncode == 7
    assert "process 1 ended with status 7" in errors
    assert "[0] saved" in printed
    assert "[2] saved" in printed


def test_one_that_is_killed_counts_as_failed(cluster, tmp_path):
    process = cluster("open(f'{me}.pid', 'w').write(f'{os.getpid()}.')\ntime.sleep(60)", "2")
    for i in range(2):
        wait_for(tmp_path / f"{i}.pid", ".")
    os.kill(int((tmp_path / "0.pid").read_text()[:-1]), signal.SIGKILL)
    printed, errors = process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGKILL
    assert "process 0 ended with status 137" in errors
    assert "[1] saved" in printed


def test_one_that_will_not_stop_is_killed_with_its_children(cluster, tmp_path):
    program = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if me == 1: time.sleep(1), sys.exit(3)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("child", "w").write(f"{child.pid}.")
time.sleep(60)
"""
    process = cluster(program, "2", "--grace=1")
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 3
    assert "process 0 did not stop within 1 s: killed" in errors
    state = Path(f"/proc/{(tmp_path / 'child').read_text()[:-1]}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_stops_all(cluster, tmp_path, number, status):
    process = cluster("time.sleep(60)", "2")
    for i in range(2):
        wait_for(tmp_path / "logs" / f"{i}.log", "ready")
    process.send_signal(number)
    printed, _ = process.communicate(timeout=90)
    assert process.returncode == status
    assert "[0] saved" in printed
    assert "[1] saved" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "N=''"),
        (["two", "true"], "N='two' processes; legal: 1, 2"),
        (["0", "true"], "N='0'"),
        (["2"], "nothing to run"),
        (["--grace=soon", "2", "true"], "--grace='soon'; legal: whole seconds"),
        (["--log=x", "2", "true"], "no option --log=x; legal: --logs= --grace="),
    ],
)
def test_bad_input_is_refused(arguments, message):
    done = subprocess.run(["bash", str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr
