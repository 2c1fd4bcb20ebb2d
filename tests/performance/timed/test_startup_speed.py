"""Parts of a process of `sample` add up to the whole."""

from seedance_jax.performance.timed import startup_speed
from tests import xla


class Owner:
    """What a clock looks at: `outer` takes 5 seconds, 2 of them in `inner`."""

    def __init__(self, clock):
        self.clock = clock

    def inner(self):
        self.clock.now += 2

    def outer(self):
        self.clock.now += 1
        self.inner()
        self.clock.now += 2


class FakeTime:
    now = 0.0

    def perf_counter(self):
        return self.now


def test_seconds_count_for_the_innermost_part(monkeypatch):
    clock, fake = startup_speed.Clock(), FakeTime()
    monkeypatch.setattr(startup_speed, "time", fake)
    owner = Owner(fake)
    clock.time(owner, "inner", "programs")
    clock.time(owner, "outer", "sampling")
    owner.outer()
    owner.inner()
    assert clock.spent["sampling"] == 3
    assert clock.spent["programs"] == 4


def test_medians_of_processes_are_of_parts_and_of_what_is_no_sampling():
    part = dict.fromkeys(startup_speed.PARTS, 1.0)
    found = startup_speed.summary([part | {"sampling": s} for s in (1.0, 2.0, 9.0)])
    assert found["sampling s"] == 2
    assert found["all s"] == 7
    assert found["all but sampling s"] == 5


def test_a_process_is_measured_to_the_finished_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", xla.write())
    found = startup_speed.run(str(tmp_path))
    assert list(found) == list(startup_speed.PARTS)
    assert all(seconds > 0 for seconds in found.values()), found
    assert sorted(path.name for path in (tmp_path / "clips").glob("*.mp4")) == ["0000.mp4"]
    assert list((tmp_path / "cache" / "executables").glob("step-*"))
