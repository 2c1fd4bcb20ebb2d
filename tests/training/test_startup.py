"""How long a start took, in parts."""

import json

import pytest

from seedance_jax.training import run_directory, startup
from tests.stages.test_job import toy  # noqa: F401
from tests.training.test_loop import NUM_STEPS, quadratic

OF_A_JOB = [part for part in startup.PARTS if part not in ("imports", "cluster")]


@pytest.fixture(autouse=True)
def clocks(monkeypatch):
    """No start is under way; and a second passes whenever somebody asks."""
    monkeypatch.setattr(startup, "CLOCKS", [])
    times = iter(range(1000))
    monkeypatch.setattr(startup.time, "monotonic", lambda: float(next(times)))


def test_a_job_says_how_long_each_part_of_its_start_took(toy, tmp_path, capsys):  # noqa: F811
    toy(quadratic(), tmp_path, num_steps=2)
    found = json.loads((tmp_path / startup.FILE).read_text())
    assert (found["step"], found["processes"]) == (1, 1)
    assert list(found["seconds"]) == OF_A_JOB
    parts = ", ".join(f"{part} {found['seconds'][part]:.1f}" for part in OF_A_JOB)
    line = f"{sum(found['seconds'].values()):.1f} s from the start to step 1: {parts}"
    assert capsys.readouterr().out.splitlines().count(line) == 1
    toy(quadratic(), tmp_path)  # goes on
    found = json.loads((tmp_path / startup.FILE).read_text())
    assert found["step"] == 3 < NUM_STEPS
    assert list(found["seconds"]) == OF_A_JOB


def test_a_start_that_cannot_be_written_down_stops_no_training(
    toy,  # noqa: F811
    tmp_path,
    capsys,
):
    (tmp_path / "run" / startup.FILE).mkdir(parents=True)  # where no file can be put
    run_directory.write_json(tmp_path / "run", "config.json", {})
    assert "trained" in toy(quadratic(), tmp_path / "run")
    assert f"WARNING: no {startup.FILE}: " in capsys.readouterr().err


def test_what_came_before_the_job_is_a_part_of_its_start(toy, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(startup, "began", lambda: -7.0)
    startup.begin(of_process=True)
    startup.mark("imports")
    startup.mark("cluster")
    toy(quadratic(), tmp_path / "a")
    found = json.loads((tmp_path / "a" / startup.FILE).read_text())["seconds"]
    assert list(found) == list(startup.PARTS)
    assert found["imports"] >= 7
    startup.begin(of_process=True)  # another command in the same process, which began long ago
    startup.mark("imports")
    assert 0 < startup.CLOCKS[0].seconds["imports"] < 7


def test_a_part_that_ends_twice_counts_twice_and_nothing_counts_after_the_end():
    startup.mark("checks")  # of no start
    startup.begin()
    for part in ("checks", "stage", "checks", "step"):
        startup.mark(part)
    [clock] = startup.CLOCKS
    assert clock.ended
    assert clock.seconds["checks"] == 2 * clock.seconds["stage"]
    before = dict(clock.seconds)
    startup.mark("checks")
    assert clock.seconds == before


def test_a_process_began_before_it_asks_when(monkeypatch):
    monkeypatch.undo()
    first, second = startup.began(), startup.began()
    assert first < startup.time.monotonic()
    assert abs(first - second) < 1
