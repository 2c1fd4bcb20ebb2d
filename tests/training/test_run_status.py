"""What can be said of a run from its directory alone."""

import datetime
import json
import os
import re

import pytest

from seedance_jax.training import heartbeat, places, release, run_directory, status
from tests.stages.test_job import toy  # noqa: F401
from tests.training.test_loop import NUM_STEPS, KilledError, quadratic


def ago(seconds):
    """A time as a run writes it."""
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return then.isoformat(timespec="seconds")


def host(step, **more):
    about = {"process": 0, "host": "h0", "still": 0.5, "waiting": False, "input": 0.25}
    return {**about, "late": 0.5, "seconds_per_step": 1.0, "step": step, "age": 2.0} | more


NEW = dict.fromkeys(("input", "late", "seconds_per_step"))  # of a host before its second step


def write(workdir, *, hosts=(), state="running", silence=5, starts=(), records=(), saved=()):
    """The files of a run, as if it had come so far."""
    run_directory.write_json(workdir, "config.json", {"stage": "toy", "num_steps": 200})
    about = {"state": state, "error": "", "written": ago(silence), "hosts": list(hosts)}
    run_directory.write_json(workdir, heartbeat.FILE, about)
    for name, lines in ((heartbeat.STARTS, starts), ("metrics.jsonl", records)):
        (workdir / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in saved:
        (workdir / "checkpoints" / str(step)).mkdir(parents=True)


def record(step, rate=1.0, goodput=1.0):
    return {"step": step, "loss": 1 / step, "steps_per_second": rate, "goodput": goodput}


def start(seconds, step=0, reached=0):
    return {"time": ago(seconds), "host": "h0", "processes": 1, "step": step, "reached": reached}


def test_a_run_that_goes_on_says_how_far_and_how_fast(tmp_path):
    records = [record(step, 2.0) for step in (10, 20, 30)]
    write(
        tmp_path,
        hosts=[host(34, seconds_per_step=0.5)],
        starts=[start(105)],
        records=records,
        saved=[20],
    )
    found = status.read(tmp_path, 8.0)
    expected = {"state": "running", "step": 34, "num_steps": 200, "loss": 1 / 30, "checkpoint": 20}
    assert {name: found[name] for name in expected} == expected
    assert (found["steps_per_second"], found["clips_per_second"]) == (2.0, 16.0)
    assert 5 <= found["hosts"][0]["age"] - 2.0 <= 15
    assert found["goodput"] == pytest.approx(17 / 100, rel=0.05)  # 34 steps of half a second each
    assert (found["restarts"], found["repeated_steps"]) == (0, 0)
    text = "\n".join(status.lines(found))
    for words in (
        *(f"{tmp_path}: running", "step        34 of 200 (toy)", "loss        0.03333"),
        *("2 steps/s, 16 clips/s, 83 s to go", "checkpoint  step 20", "goodput     17% of 100 s"),
        *("restarts    0", "process 0 on h0: step 34, waited for its input 25% of the time"),
    ):
        assert words in text


def test_steps_that_a_kill_lost_do_not_count_and_restarts_do(tmp_path):
    records = [record(step) for step in (10, 20, 30, 40)]
    starts = [start(205), start(105, 20, 38), start(65, 20, 25)]
    write(tmp_path, hosts=[host(45)], starts=starts, records=records, saved=[20], silence=105)
    found = status.read(tmp_path, 1.0)
    assert (found["state"], found["step"], found["checkpoint"]) == ("lost", 45, 20)
    assert found["goodput"] == pytest.approx(20 / 100, rel=0.05)
    assert (found["restarts"], found["repeated_steps"]) == (2, 18 + 5)
    text = "\n".join(status.lines(found))
    assert "restarts    2, which repeated 23 steps" in text
    assert "to go" not in text


def test_the_rate_is_that_of_the_last_minute_and_never_that_of_compiling(tmp_path):
    records = [record(10, 2.0), record(20, 2.5), record(30, 0.01)]
    for hosts, rate in (([host(30, seconds_per_step=0.25)], 4.0), ([host(30, **NEW)], 2.0)):
        write(tmp_path, hosts=hosts, records=records)
        found = status.read(tmp_path, 3.0)
        assert (found["steps_per_second"], found["clips_per_second"]) == (rate, 3 * rate)
    write(tmp_path, hosts=[host(3, **NEW)])
    assert "  rate        not yet known" in status.lines(status.read(tmp_path, 3.0))


@pytest.mark.parametrize(
    ("records", "start", "end", "seconds"),
    [
        ([], 0, 0, 0.0),
        ([record(10, 2.0, 0.5)], 0, 10, 2.5),
        ([record(10, 2.0), record(20, 1.0)], 10, 20, 10.0),  # it started before this was written
        ([record(10), record(20)], 0, 15, 15.0),  # the others are lost
        ([record(10), record(20)], 0, 23, 23.0),  # the last have no record yet
        ([{"step": 1, "steps_per_second": 0.01}, record(3)], 0, 3, 3.0),  # the first compiled
        ([record(10), record(30)], 0, 30, 30.0),  # a record was dropped at a restart
    ],
)
def test_the_time_that_steps_take_is_that_of_their_records(records, start, end, seconds):
    assert status.useful_seconds(records, start, end) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("given", "state", "why"),
    [
        ({"silence": 50}, "running", ""),
        ({"hosts": [host(None)]}, "running", "starting"),
        ({"silence": 100}, "lost", "no sign of it for 10. s"),
        ({"state": "interrupted", "silence": 100}, "interrupted", "saved"),
        ({"state": "finished", "silence": 100}, "finished", "metadata.json is still to come"),
    ],
)
def test_the_state_is_a_word_and_why(tmp_path, given, state, why):
    write(tmp_path, **{"hosts": [host(5)], **given})
    first = next(status.lines(status.read(tmp_path, 1.0)))
    assert re.fullmatch(f"{tmp_path}: {state}(: {why}.*)?", first), first
    assert bool(why) == (": " in first.removeprefix(f"{tmp_path}: "))


def test_a_run_whose_hosts_do_not_keep_up_names_the_slowest(tmp_path):
    hosts = [host(9, late=0.0), host(9, process=1, host="h1", late=1.0, input=0.9)]
    write(tmp_path, hosts=hosts)
    found = status.read(tmp_path, 1.0)
    assert list(status.lines(found))[-1].startswith("  process 1 on h1 is the slowest")
    write(tmp_path, hosts=hosts, state="interrupted")
    assert status.read(tmp_path, 1.0)["slowest"] is None


def test_no_host_is_silent_because_the_last_look_at_all_was_a_while_ago(tmp_path):
    write(tmp_path, hosts=[host(9), host(9, process=1, age=12.0)], silence=50)
    found = status.read(tmp_path, 1.0)
    assert (found["state"], found["slowest"]) == ("running", None)
    assert found["hosts"][1]["age"] >= 60
    write(tmp_path, hosts=[host(9), host(9, process=1, age=42.0)], silence=5)
    assert "has not been heard of for 42 s" in status.read(tmp_path, 1.0)["slowest"]


def test_a_start_that_has_given_no_sign_yet_is_unknown(tmp_path):
    write(tmp_path, starts=[start(5)])
    os.remove(tmp_path / heartbeat.FILE)
    found = status.read(tmp_path, 1.0)
    assert (found["state"], found["why"]) == ("unknown", "no sign of it since its start")
    assert found["goodput"] is None
    assert not any("goodput" in line for line in status.lines(found))


def test_a_damaged_log_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, oops}\n{"step": 3}\n')
    with pytest.raises(ValueError, match=rf"{tmp_path}/metrics\.jsonl has a line that is not JSON"):
        status.read(tmp_path, 1.0)


class Killed:
    """A hook in whose fifth step the run dies; its files stay as of a process that was killed."""

    def __init__(self, *made):
        pass

    def __call__(self, step, state, metrics):
        if step == 5:
            raise KilledError

    def close(self):
        pass


def listing(workdir):
    return {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}


def test_a_training_is_read_whatever_becomes_of_it_and_is_not_touched(toy, tmp_path):  # noqa: F811
    workdir = tmp_path / "run"
    with pytest.raises(KilledError):
        toy(quadratic(), workdir, [Killed], checkpoint_every=2, log_every=1)
    before = listing(workdir)
    found = status.read(workdir, 1.0)
    assert listing(workdir) == before
    assert (found["state"], found["why"]) == ("failed", "KilledError:")
    assert (found["step"], found["checkpoint"], found["restarts"]) == (5, 4, 0)
    assert 0 <= found["checkpoint_age"] < 300
    toy(quadratic(), workdir, checkpoint_every=2, log_every=1)
    found = status.read(workdir, 1.0)
    assert (found["state"], found["why"], found["step"]) == ("finished", "", NUM_STEPS)
    assert (found["restarts"], found["repeated_steps"]) == (1, 1)
    assert 0 < found["goodput"] <= 1
    os.remove(workdir / heartbeat.FILE)
    os.remove(workdir / heartbeat.STARTS)  # as of a run that is older than these
    found = status.read(workdir, 1.0)
    assert (found["state"], found["restarts"], found["hosts"]) == ("finished", None, [])
    assert not any("goodput" in line for line in status.lines(found))


def test_a_training_in_a_bucket_is_read_as_one_on_this_machine(toy, bucket):  # noqa: F811
    workdir = places.place(bucket)
    with pytest.raises(KilledError):
        toy(quadratic(), workdir, [Killed], checkpoint_every=2, log_every=1)
    found = status.read(workdir, 1.0)
    assert (found["state"], found["step"], found["checkpoint"]) == ("failed", 5, 4)
    assert found["loss"] > 0
    assert 0 <= found["checkpoint_age"] < 300
    toy(quadratic(), workdir, checkpoint_every=2, log_every=1)
    found = status.read(workdir, 1.0)
    assert (found["state"], found["restarts"], found["repeated_steps"]) == ("finished", 1, 1)


def test_what_is_no_run_is_refused(tmp_path, bucket):
    buckets = places.place(bucket), places.place("gs://not-there/run")
    for place in (tmp_path / "none", tmp_path, *buckets):
        with pytest.raises(FileNotFoundError, match=f"{place} is not a run: it has no config.json"):
            status.read(place, 1.0)
    (tmp_path / release.FILE).touch()
    run_directory.write_json(tmp_path, "config.json", {})
    with pytest.raises(ValueError, match="is a release"):
        status.read(tmp_path, 1.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (9000, "2.5 h"), (1e6, "11.6 days")],
)
def test_a_time_in_words(seconds, words):
    assert status.duration(seconds) == words
