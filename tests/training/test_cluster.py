"""Real processes on this machine, joined over loopback, train what one process trains."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from absl import flags
from processes import finish, place

from seedance_jax import sharding
from seedance_jax.commands import cli
from seedance_jax.training import cluster, heartbeat, run_directory

ROOT = Path(__file__).parents[2]
CONFIG = "tests/training/process.py"
NUM_STEPS, DEVICES, PATIENCE, HEARTBEAT = 40, 4, 600, 30
LOST = "another process has stopped|another task died"


def start(workdir, *flags, devices=DEVICES, pause=0.0):
    """Starts one process of a run."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PAUSE": str(pause),
        "PYTHONPATH": str(ROOT),
    }
    command = (sys.executable, "-m", "tests.training.process", f"--config={CONFIG}")
    command += (f"--workdir={workdir}", f"--heartbeat={HEARTBEAT}", *flags)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def start_all(workdir, count, *own, pause=0.0):
    """Starts all processes of a run, which share DEVICES devices; own: one more flag for each."""
    common, processes = place(count), []
    for i in range(count):
        more = own[i : i + 1]
        options = {"devices": DEVICES // count, "pause": pause}
        processes.append(start(workdir, *common, f"--process_id={i}", *more, **options))
    return processes


def losses(workdir):
    """{step: loss} of the log."""
    log = workdir / "metrics.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    assert len({record["step"] for record in records}) == len(records)
    return {record["step"]: record["loss"] for record in records}


def wait_for(workdir, step):
    """Returns when the run has logged a step, and has a checkpoint."""
    deadline = time.monotonic() + PATIENCE
    while max(losses(workdir), default=0) < step or not run_directory.latest_step(workdir):
        assert time.monotonic() < deadline, f"{workdir} never came to step {step}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The losses of one process on all devices."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    ((status, printed, errors),) = finish([start(workdir)], PATIENCE)
    assert status == 0, errors
    assert "trained, 40 steps" in printed
    return losses(workdir)


def assert_trains_as(alone, workdir):
    found = losses(workdir)
    assert found.keys() == alone.keys()
    assert found == pytest.approx(alone, rel=1e-5)


def test_two_processes_survive_a_kill_and_a_preemption_and_train_as_one(alone, tmp_path):
    workdir = tmp_path / "run"
    processes = start_all(workdir, 2, pause=0.05)
    wait_for(workdir, 5)
    processes[1].kill()
    killed = time.monotonic()
    (status, _, errors), _ = finish(processes, PATIENCE)
    assert time.monotonic() - killed < 5 * HEARTBEAT
    assert status != 0
    assert any(text in errors for text in LOST.split("|")), errors
    first = run_directory.latest_step(workdir)
    assert 3 <= first < NUM_STEPS

    processes = start_all(workdir, 2, pause=0.05)
    wait_for(workdir, first + 4)
    processes[1].send_signal(signal.SIGTERM)
    results = finish(processes, PATIENCE)
    assert [status for status, _, _ in results] == [0, 0], results
    stopped = run_directory.latest_step(workdir)
    assert first < stopped < NUM_STEPS
    assert f"stopped at step {stopped} of {NUM_STEPS}" in results[0][1]
    assert "stopped" not in results[1][1]  # process 0 alone reports
    saved = workdir / "checkpoints" / str(stopped) / "data"
    assert len(list(saved.glob("process_*-of-2.json"))) == 2
    assert max(losses(workdir)) == stopped
    found = heartbeat.read_heartbeats(workdir)
    assert found["state"] == "interrupted"
    assert [host["process"] for host in found["hosts"]] == [0, 1]
    assert all(first < host["step"] <= stopped for host in found["hosts"])

    last = start(workdir)  # in one process: another number of hosts
    ((status, _, errors),) = finish([last], PATIENCE)
    assert status == 0, errors
    metadata = run_directory.read_json(workdir, "metadata.json")
    assert len(metadata.pop("weights")) == 16
    assert metadata == {
        "parents": {},
        "makes": "motion",
        "step": NUM_STEPS,
    }
    assert_trains_as(alone, workdir)
    starts = run_directory.read_lines(workdir, heartbeat.STARTS)
    assert [start["processes"] for start in starts] == [2, 2, 1]
    assert [start["step"] for start in starts] == [0, first, stopped]
    assert starts[1]["reached"] >= first
    assert starts[2]["reached"] == stopped


def test_a_hook_of_one_process_stops_all_at_the_same_step(tmp_path, monkeypatch):
    monkeypatch.setenv("STOP", "1,3")
    workdir = tmp_path / "run"
    results = finish(start_all(workdir, 2, pause=0.1), PATIENCE)
    assert [status for status, _, _ in results] == [0, 0], results
    stopped = run_directory.latest_step(workdir)
    assert 3 <= stopped < NUM_STEPS
    assert f"{workdir}: stopped at step {stopped} of {NUM_STEPS}: enough\n" in results[0][1]
    metadata = run_directory.read_json(workdir, "metadata.json")
    assert len(metadata.pop("weights")) == 16
    ended = {"step": stopped, "stopped": "enough"}
    assert metadata == {"makes": "motion", "parents": {}, **ended}


@pytest.mark.slow
@pytest.mark.parametrize("sequence", [1, 2])
def test_four_processes_train_as_one(alone, tmp_path, sequence):
    """With sequence=2 pairs of them need the same examples."""
    own = [f"--config.mesh.sequence={sequence}"] * 4
    results = finish(start_all(tmp_path / "run", 4, *own), PATIENCE)
    assert [status for status, _, _ in results] == [0] * 4, results
    assert_trains_as(alone, tmp_path / "run")


def test_processes_that_pretend_two_slices_train_as_one(alone, tmp_path, monkeypatch):
    monkeypatch.setenv("MEGASCALE_NUM_SLICES", "2")
    results = finish(start_all(tmp_path / "run", 2), PATIENCE)  # data=2
    assert [status for status, _, _ in results] == [0, 0], results
    assert_trains_as(alone, tmp_path / "run")
    whole = ["--config.mesh.data=1"] * 2
    refused = finish(start_all(tmp_path / "other", 2, *whole), PATIENCE)
    assert "on 2 slices, over which it is divided" in "".join(error for _, _, error in refused)


def test_of_two_processes_the_first_reads_for_both_and_keeps_what_it_compiles(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("JAX_LOG_COMPILES", "1")
    workdir = tmp_path / "run"
    for stop, first in (("0,3", 1), ("0,9", None)):
        monkeypatch.setenv("STOP", stop)
        first, common, processes = first or run_directory.latest_step(workdir) + 1, place(2), []
        for i in range(2):
            monkeypatch.setenv("READS", f"{tmp_path}/{i},{workdir}")
            processes.append(start(workdir, *common, f"--process_id={i}", devices=2, pause=0.1))
        results = finish(processes, PATIENCE)
        assert [status for status, _, _ in results] == [0, 0], results
        line = f" s from the start to step {first}: imports "
        assert [printed.count(line) for _, printed, _ in results] == [1, 0]
        main, other = (set((tmp_path / str(i)).read_text().splitlines()) for i in range(2))
        assert "open .lock" in main
        # What is its own, what Orbax keeps of each checkpoint, and whether it sees what others do.
        own = r"checkpoints/\d+/(data/process_1-of-2.json|_CHECKPOINT_METADATA)|compiled/.*"
        reads = [line for line in other if not re.fullmatch(f"stat .*|open ({own})", line)]
        assert set(reads) <= {"os.scandir checkpoints"}
    assert {"open config.json", "open identity.json"} <= main  # the second start reads those
    assert list((workdir / "compiled").glob("jit_step_fn-*"))
    assert "Persistent compilation cache hit for 'jit_step_fn'" in results[0][2]


def test_what_fails_in_process_0_ends_all_with_its_message(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    results = finish(start_all(tmp_path, 2), PATIENCE)
    for status, _, errors in results:
        assert status == 1
        assert f"{tmp_path} is not empty and is not a run; use another --workdir" in errors


def test_processes_that_differ_are_named_with_what_differs(tmp_path):
    processes = start_all(tmp_path / "run", 2, "--config.seed=1", "--config.seed=2")
    results = finish(processes, PATIENCE)
    for status, _, errors in results:
        assert status == 1
        assert "process 1: config.seed: 1 -> 2" in errors
    assert not (tmp_path / "run").exists()


def test_a_coordinator_that_is_not_there_is_waited_for_in_bounds(tmp_path):
    where = ("--coordinator=127.0.0.1:9", "--num_processes=2", "--connect_timeout=3")
    began = time.monotonic()
    both = [start(tmp_path / "run", *where, "--process_id=1")]
    ((status, _, errors),) = finish(both, PATIENCE)
    assert time.monotonic() - began < PATIENCE
    assert status == 1
    assert "error: not all processes met at 127.0.0.1:9 in 3 s" in errors


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("host:1", None, None), "--num_processes is missing|--process_id is missing"),
        (("host", 2, 0), "coordinator='host' must be host:port"),
        (("host:1", 2, 2), "process_id=2 must be 0 to 1"),
    ],
)
def test_a_place_among_processes_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        cluster.join(*given, connect_timeout=1, heartbeat=10)


def test_processes_that_share_shards_share_their_part_of_the_batch():
    assert [sharding.part_of({i}, 4) for i in range(4)] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert [sharding.part_of(held, 4) for held in ({0, 1}, {2, 3})] == [(0, 2), (1, 2)]
    assert sharding.part_of({1}, 2) == (1, 2)  # and so for all processes along sequence
    assert sharding.batch_part(sharding.make_mesh(fsdp=-1)) == (0, 1)
    for held in ({0, 2}, {1, 2}, {0, 1, 2}):
        with pytest.raises(ValueError, match="no even part of it; make sequence x tensor"):
            sharding.part_of(held, 4)


def test_one_process_looks_for_no_others():
    cluster.join(None, 1, connect_timeout=1, heartbeat=10)
    assert not cluster.joined()
    assert cluster.gather({"a": 1}) == [{"a": 1}]
    cluster.check_same({"a": 1})


def test_what_process_0_makes_or_fails_with_is_of_all(monkeypatch):
    assert cluster.of_main(lambda: [1, 2]) == [1, 2]
    caught = OSError("no room")

    def fail():
        raise caught

    with pytest.raises(OSError, match="no room") as own:
        cluster.of_main(fail)
    assert own.value is caught
    told = [{"value": 3}]
    monkeypatch.setattr(cluster, "broadcast", lambda value: told[0])
    monkeypatch.setattr(cluster, "is_main", lambda: False)
    assert cluster.of_main(fail) == 3
    told[0] = {"error": "no room"}
    with pytest.raises(ValueError, match="in process 0: no room"):
        cluster.of_main(fail)


def test_an_error_that_nobody_expects_has_its_type_and_leaves_no_process_waiting(monkeypatch):
    told = []
    monkeypatch.setattr(cluster, "broadcast", lambda value: told.append(value) or value)
    with pytest.raises(KeyError, match="width"):
        cluster.of_main(lambda: {}["width"])
    assert told == [{"error": "KeyError: 'width'"}]


def test_a_command_for_one_process_refuses_several():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    flags.FLAGS.num_processes = 2
    try:
        with pytest.raises(ValueError, match="runs in one process, not in num_processes=2"):
            cli.join_processes(many=False)
    finally:
        flags.FLAGS["num_processes"].unparse()


def test_every_difference_names_its_process_and_field(monkeypatch):
    rows = [{"config.seed": 0, "code": "a"}, {"config.seed": 0, "code": "a"}, {"code": "b"}]
    monkeypatch.setattr(cluster, "gather", lambda value: rows)
    with pytest.raises(ValueError, match="started alike") as caught:
        cluster.check_same(rows[0])
    assert str(caught.value).splitlines()[1:] == [
        "  process 2: code: 'a' -> 'b'",
        "  process 2: config.seed: 0 -> None",
    ]
