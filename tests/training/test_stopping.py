"""Hooks that end a training."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from seedance_jax.training import cluster, loop, run_directory, saver
from seedance_jax.training.stopping import Stop, StopRequests
from tests.training.test_loop import EMA_DECAY, NUM_STEPS, Recorder, assert_same, quadratic


@pytest.fixture
def train(one_device, tmp_path):
    """Function (*hooks) -> what `loop.train` gives, in tmp_path."""

    def train(*hooks, workdir=tmp_path):
        save = saver.Saver(workdir, every=100)
        settings = loop.Settings(NUM_STEPS, seed=0, mesh=one_device, ema_decay=EMA_DECAY)
        try:
            return loop.train(quadratic(), workdir, settings, save, hooks)
        finally:
            save.close()

    return train


def stop_at(at, reason):
    return lambda step, state, metrics: Stop(reason) if step == at else None


def test_a_hook_ends_the_training_which_can_go_on(train, tmp_path):
    recorder = Recorder()
    trained = train(stop_at(3, "the reward fell"), stop_at(3, "later"), recorder)
    assert (int(trained.state.step), trained.stopped) == (3, "the reward fell")
    assert list(recorder.losses) == [1, 2, 3]  # hooks after it were called, too
    assert run_directory.all_steps(tmp_path) == [3]
    whole = train(workdir=tmp_path / "whole")
    again = train(recorder)
    assert again.stopped == whole.stopped == ""
    assert_same(again.state, whole.state)


def test_at_the_last_step_there_is_nothing_to_stop(train):
    trained = train(stop_at(NUM_STEPS, "enough"))
    assert (int(trained.state.step), trained.stopped) == (NUM_STEPS, "")


def test_a_training_in_a_thread_sets_no_handlers_and_can_be_stopped_by_a_hook():
    def take():
        with StopRequests() as requests:
            requests.take(Stop("enough"))
            return requests.stops_alone(), requests.reason()

    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(take).result() == (True, "enough")
    assert signal.getsignal(signal.SIGTERM) == before


def test_of_several_processes_none_stops_alone_and_all_know_why(monkeypatch):
    sent = []
    monkeypatch.setattr(cluster, "joined", lambda: True)
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    with StopRequests() as requests:
        requests.take(None)
        assert not sent
        for reason in ("first", "second"):  # they need some steps to agree
            requests.take(Stop(reason))
            assert not requests.stops_alone()
            assert sent == [(os.getpid(), signal.SIGTERM)]
    monkeypatch.setattr(cluster, "gather", lambda value: ["", value, ""])
    assert requests.reason() == "first"
    monkeypatch.setattr(cluster, "gather", lambda value: ["", ""])
    assert StopRequests().reason() == ""
