"""A training that a suite ends: what is kept, what is remembered, and what opens the run."""

import contextlib
import json

import numpy as np
import pytest

from seedance_jax.evaluation.suite import report
from seedance_jax.evaluation.suite.patience import PatientHook
from seedance_jax.training import checkpoint, loop, run_directory, saver
from tests.training.test_loop import EMA_DECAY, KilledError, quadratic

CLIPS = 2


def make_report(passed, heading=0.5, clips=CLIPS):
    """A report, as far as it is compared."""
    axes = {
        "following": {"passed": [0.3, 0, 1], "headings": {}},
        "motion": {"passed": [0.3, 0, 1], "headings": {"one": [heading, 0, 1], "none": None}},
        "absent": {"passed": None, "headings": {}},
    }
    return {"suite": "toy_dev", "clips": clips, "passed": [passed, 0, 1], "axes": axes}


class Suite:
    """A hook whose reports are given: {step: report}."""

    def __init__(self, workdir, reports):
        self.folder, self.limit = workdir / "suite_toy", CLIPS
        self.given, self.asked = reports, []

    def judge(self, step, state):
        if step not in self.given:
            return None
        self.asked.append(step)
        folder = self.folder / f"{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        run_directory.write_json(folder, "report.json", self.given[step])
        return self.given[step]

    def reports(self):
        paths = sorted(self.folder.glob("*/report.json"))
        found = {int(path.parent.name): json.loads(path.read_text()) for path in paths}
        return {step: report for step, report in found.items() if report["clips"] >= CLIPS}

    def close(self):
        """Nothing is pending."""


def kill_at(at):
    def hook(step, state, metrics):
        if step == at:
            raise KilledError

    return hook


@pytest.fixture
def train(one_device, tmp_path):
    """Function (passed by step, *hooks, workdir, patience) -> (Trained, steps that were judged)."""

    def train(passed, *hooks, workdir=tmp_path / "run", patience=2):
        suite = Suite(workdir, {step: make_report(share) for step, share in passed.items()})
        save = saver.Saver(workdir, every=1, keep=1)
        settings = loop.Settings(7, seed=0, mesh=one_device, ema_decay=EMA_DECAY)
        hook = PatientHook(suite, save, workdir, patience)
        try:
            trained = loop.train(quadratic(), workdir, settings, save, [hook, *hooks])
        finally:
            save.close()
        return trained, suite.asked

    return train


FOUND = {1: 0.2, 2: 0.5, 3: 0.5, 5: 0.4, 6: 0.9}


def test_it_ends_when_nothing_is_better_for_long_enough_and_keeps_the_first_of_the_best(
    train, tmp_path
):
    trained, asked = train(FOUND)
    assert asked == [1, 2, 3, 5]
    assert int(trained.state.step) == 5
    assert trained.stopped == "2 times no better by suite_toy than at step 2"
    assert run_directory.pinned(tmp_path / "run") == {"best": 2}
    assert run_directory.all_steps(tmp_path / "run") == [2, 5]
    trained, asked = train(FOUND, workdir=tmp_path / "patient", patience=3)
    assert (int(trained.state.step), trained.stopped, asked[-1]) == (7, "", 6)
    assert run_directory.pinned(tmp_path / "patient") == {"best": 6}


@pytest.mark.parametrize("at", range(1, 6))
def test_a_killed_training_goes_on_as_one_that_never_stopped(train, tmp_path, at):
    whole, _ = train(FOUND, workdir=tmp_path / "whole")
    with pytest.raises(KilledError):
        train(FOUND, kill_at(at))
    again, _ = train(FOUND)
    assert (again.stopped, int(again.state.step)) == (whole.stopped, int(whole.state.step))
    for part in (None, "best"):
        one, other = (checkpoint.load(tmp_path / name, step=part)["w"] for name in ("whole", "run"))
        np.testing.assert_array_equal(one, other)


def test_reports_of_lost_weights_do_not_count(train, tmp_path):
    with pytest.raises(KilledError):
        train(FOUND | {4: 1.0}, kill_at(4))
    assert (tmp_path / "run/suite_toy/00000004/report.json").exists()
    trained, _ = train(FOUND)
    assert run_directory.pinned(tmp_path / "run") == {"best": 2}
    assert int(trained.state.step) == 5


def test_a_best_checkpoint_that_was_not_pinned_when_the_process_died_is_pinned(train, tmp_path):
    with pytest.raises(KilledError):
        train(FOUND, kill_at(3))
    run_directory.write_json(tmp_path / "run", "pinned.json", {"best": 1})
    train(FOUND)
    assert run_directory.pinned(tmp_path / "run") == {"best": 2}


def test_a_best_that_other_clips_chose_cannot_be_compared(train, tmp_path):
    train(FOUND)
    path = tmp_path / "run/suite_toy/00000002/report.json"
    for clips, refused in ((1, True), (3, False)):
        path.write_text(json.dumps(make_report(0.5, clips=clips)))
        match = "run: step 2, its best, was not chosen by the first 2 clips of suite_toy"
        raises = pytest.raises(ValueError, match=match) if refused else contextlib.nullcontext()
        with raises:
            train(FOUND)


def test_clips_that_pass_come_first_and_headings_break_ties():
    quality = [report.quality(make_report(*one)) for one in ((0.4, 0.9), (0.5, 0.1), (0.5, 0.2))]
    assert quality == sorted(quality)
    assert quality[2] == (0.5, pytest.approx((0.3 + 0.2) / 2))
