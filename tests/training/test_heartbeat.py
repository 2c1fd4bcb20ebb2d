"""What a run says of itself while it goes on: lines of hosts, starts, and which host lags."""

import re
import threading
import time
import types

import pytest

from seedance_jax.training import cluster, heartbeat, lag, progress, run_directory
from tests.stages.test_job import toy  # noqa: F401
from tests.training.test_loop import NUM_STEPS, quadratic

BEAT = 0.05


@pytest.fixture
def clock(monkeypatch):
    """What `progress` takes for the time, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    return now


def walk(made, clock, steps, *, computing=1.0, waiting=0.0, late=False):
    """Steps of a loop, each of so many seconds."""
    for _ in range(steps):
        made.begin((made.step or 0) + 1, late)
        clock[0] += computing
        with made.waiting():
            clock[0] += waiting


def test_a_line_has_the_share_of_the_time_that_went_into_waiting_for_input(clock):
    made = progress.Progress()
    clock[0] += 500  # starting
    assert made.report()["step"] is None
    walk(made, clock, 1, computing=900)  # compiling
    assert made.report()["input"] is None
    walk(made, clock, 10, computing=3, waiting=1, late=True)
    found = made.report()
    assert (found["step"], found["still"], found["waiting"]) == (11, 4, False)
    assert (found["input"], found["seconds_per_step"]) == (0.25, pytest.approx(40 / 9, 1e-3))
    assert found["late"] == 1.0


def test_shares_are_of_the_last_minute_and_of_five_steps_at_least(clock):
    made = progress.Progress()
    walk(made, clock, 100, waiting=1)
    for _ in range(8):
        made.report()
        walk(made, clock, 10)
    assert made.report()["input"] == 0
    walk(made, clock, 4, computing=600, waiting=600)
    made.report()
    walk(made, clock, 4, computing=600, waiting=600)
    assert made.report()["seconds_per_step"] == pytest.approx(1200, rel=0.2)


def test_a_wait_that_goes_on_counts_and_is_not_counted_twice(clock):
    made = progress.Progress()
    walk(made, clock, 2)
    with made.waiting():
        clock[0] += 9
        found = made.report()
        assert found["waiting"]
        assert found["still"] == 10
        assert found["input"] == 0.9
        clock[0] += 10
    assert made.report()["input"] == 0.95


def line(process, step=100, **more):
    usual = {"still": 1.0, "waiting": False, "input": 0.0, "late": 0.1, "seconds_per_step": 1.0}
    return {"process": process, "host": f"h{process}", "step": step, "age": 0.0, **usual, **more}


STARTING = dict.fromkeys(("input", "late", "seconds_per_step"))


@pytest.mark.parametrize(
    ("hosts", "process", "what", "words"),
    [
        ([line(0), line(1), line(2)], None, None, None),
        ([line(0, late=1.0, input=0.9)], None, None, None),  # there is nobody to wait for it
        ([line(0), line(1, late=1.0, input=0.9), line(2)], 1, "input", "process 1 on h1 is the sl"),
        ([line(0), line(1), line(2, late=0.8)], 2, "step", "in 80% of the steps, those .* in 10%"),
        ([line(0, late=0.9), line(1, late=0.9)], None, None, None),  # all are slow alike
        (
            [line(0, 101), line(1, still=40.0, waiting=True)],
            1,
            "input",
            "waited for its input, aft",
        ),
        ([line(0, 101), line(1, still=40.0)], 1, "step", "been in step 100 for 40 s; .* step 101"),
        ([line(0, 101), line(1, still=40.0, seconds_per_step=20.0)], None, None, None),
        ([line(0, still=900.0), line(1, still=900.0)], None, None, None),  # all in the same step
        ([line(0), line(1, None, still=40.0, **STARTING)], 1, "step", "has been starting for 40 s"),
        (
            [line(0), line(1, None, still=40.0, waiting=True, **STARTING)],
            1,
            "input",
            "has waited for its first batch for 40 s",
        ),
        ([line(0), line(1, age=31.0)], 1, "heartbeat", "process 1 on h1 has not been heard of"),
        (
            [line(0), {"process": 1, "host": None, "step": None, "age": 31.0}],
            1,
            "heartbeat",
            "process 1 on an unknown host has not",
        ),
        ([line(0, ended=True), line(1, age=31.0)], None, None, None),
    ],
)
def test_the_host_that_the_others_wait_for_is_named(hosts, process, what, words):
    found = lag.find(hosts, 10.0)
    assert (found and found.process, found and found.what) == (process, what)
    assert found is None or re.search(words, found.text), found.text


def beats(workdir):
    return heartbeat.read_heartbeats(workdir)


def wait_until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_file_says_that_the_run_goes_on_and_how_it_ended(tmp_path):
    with heartbeat.Heartbeat(tmp_path, BEAT) as heart:
        wait_until(lambda: beats(tmp_path).get("state") == "running")
        heart.progress.begin(7, False)
        wait_until(lambda: beats(tmp_path)["hosts"][0]["step"] == 7)
        heart.ended = "finished"
    assert beats(tmp_path)["state"] == "finished"
    assert beats(tmp_path)["hosts"][0]["step"] == 7
    with pytest.raises(OSError, match="no room"), heartbeat.Heartbeat(tmp_path, BEAT):
        raise OSError("no room\nat all")
    assert (beats(tmp_path)["state"], beats(tmp_path)["error"]) == (
        "failed",
        "OSError: no room at all",
    )
    with heartbeat.Heartbeat(tmp_path, BEAT):
        pass
    assert beats(tmp_path)["state"] == "interrupted"


def test_a_start_is_written_down_with_the_steps_that_it_repeats(tmp_path):
    (tmp_path / "checkpoints/4").mkdir(parents=True)
    (tmp_path / "metrics.jsonl").write_text('{"step": 5}\n{"step": 6, "lo')
    for _ in range(2):
        with heartbeat.Heartbeat(tmp_path, BEAT) as heart:
            heart.progress.begin(9, False)
    first, second = run_directory.read_lines(tmp_path, heartbeat.STARTS)
    assert (first["step"], first["reached"], first["processes"]) == (4, 5, 1)
    assert (second["step"], second["reached"]) == (4, 9)


def test_a_run_that_lost_its_directory_writes_nothing_there(tmp_path):
    with heartbeat.Heartbeat(tmp_path, BEAT) as heart:
        wait_until(lambda: beats(tmp_path))
        heart.lose()
        time.sleep(2 * BEAT)
        (tmp_path / heartbeat.FILE).write_text("theirs")
    assert (tmp_path / heartbeat.FILE).read_text() == "theirs"


def test_what_cannot_be_written_is_said_once_and_stops_nothing(tmp_path, capfd):
    with heartbeat.Heartbeat(tmp_path / "gone", BEAT) as heart:
        wait_until(lambda: heart._count > 3)
    assert capfd.readouterr().err.count("WARNING: no heartbeat: ") == 1


def test_process_0_writes_the_lines_of_all_with_their_ages_and_names_who_lags(
    tmp_path, monkeypatch, capfd
):
    posted = {1: {**line(1, late=1.0, input=0.9), "beat": 3}}
    monkeypatch.setattr(cluster, "posted", lambda board: posted)
    monkeypatch.setattr(heartbeat.jax, "process_count", lambda: 3)
    own = {"input": 0.0, "late": 0.0, "step": 100, "still": 0.0, "waiting": False}
    monkeypatch.setattr(progress.Progress, "report", lambda self: own)
    with heartbeat.Heartbeat(tmp_path, 0.2):
        wait_until(lambda: beats(tmp_path) and beats(tmp_path)["hosts"][1]["age"] > 0.3)
        posted[2] = {**line(2), "beat": 0}
        posted[1] = {**posted[1], "beat": 4}
        wait_until(lambda: beats(tmp_path)["hosts"][2]["step"] == 100)
        assert beats(tmp_path)["hosts"][1]["age"] < 0.3
        assert [host["host"] for host in beats(tmp_path)["hosts"][1:]] == ["h1", "h2"]
        said = "WARNING: process 1 on h1 is the slowest"
        wait_until(lambda: said in capfd.readouterr().err)


def test_a_training_job_beats_until_its_end_and_leaves_no_thread(toy, tmp_path):  # noqa: F811
    assert "trained" in toy(quadratic(), tmp_path / "run")
    found = beats(tmp_path / "run")
    assert found["state"] == "finished"
    assert found["hosts"][0]["step"] == NUM_STEPS
    assert len(run_directory.read_lines(tmp_path / "run", heartbeat.STARTS)) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]
