"""Checkpoints that are kept by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.training import checkpoint, run_directory
from seedance_jax.training.saver import Saver
from tests.training.test_loop import quadratic


@pytest.fixture
def saver(one_device, tmp_path):
    """Function () -> (Saver of the last two steps and every tenth, function that saves steps)."""
    opened = []

    def make():
        save = Saver(tmp_path, every=2, keep=2, keep_every=10)
        opened.append(save)

        def steps(*numbers):
            for step in numbers:
                state = {"ema": {"w": jnp.full(2, step, jnp.float32)}}
                state = jax.device_put(state, sharding.replicated(one_device))
                save(step, state, quadratic().batches(step))

        return save, steps

    yield make
    for save in opened:
        save.close()


def test_a_pinned_checkpoint_outlives_the_others_also_after_a_restart(saver, tmp_path):
    save, steps = saver()
    steps(2, 4)
    save.pin(2, "best")
    save.pin(4, "second")
    steps(6, 8, 10, 12)
    save.close()
    assert run_directory.all_steps(tmp_path) == [2, 4, 10, 12]
    assert run_directory.pinned(tmp_path) == {"best": 2, "second": 4}
    save, steps = saver()
    steps(14, 16)
    save.close()
    assert run_directory.all_steps(tmp_path) == [2, 4, 10, 14, 16]
    for step in (2, "best"):
        np.testing.assert_array_equal(checkpoint.load(tmp_path, step=step)["w"], [2, 2])
    np.testing.assert_array_equal(checkpoint.load(tmp_path)["w"], [16, 16])


def test_a_name_that_moves_frees_the_step_it_was_at(saver, tmp_path):
    save, steps = saver()
    steps(2)
    save.pin(2, "best")
    steps(4, 6, 8)
    save.pin(6, "best")
    steps(10, 12)
    save.close()
    assert run_directory.all_steps(tmp_path) == [6, 10, 12]
    assert run_directory.pinned(tmp_path) == {"best": 6}


def test_a_step_to_come_is_saved_when_it_is_done_and_until_then_the_name_stays(saver, tmp_path):
    save, steps = saver()
    steps(2)
    save.pin(2, "best")
    save.pin(7, "best")  # as a hook of step 7 would: it is called before the step is saved
    steps(3, 4, 5, 6)
    assert run_directory.pinned(tmp_path) == {"best": 2}
    steps(7)
    assert run_directory.pinned(tmp_path) == {"best": 7}
    steps(8, 9, 10, 12)
    save.close()
    assert run_directory.all_steps(tmp_path) == [7, 10, 12]


def test_a_name_may_be_given_before_the_first_step_of_a_run_or_after_a_restart(saver, tmp_path):
    save, steps = saver()
    save.pin(3, "soon")
    steps(2, 3)
    save.close()
    save, _ = saver()
    save.pin(2, "old")
    assert run_directory.pinned(tmp_path) == {"soon": 3, "old": 2}


def test_what_cannot_be_pinned_or_found_is_said(saver, tmp_path):
    save, steps = saver()
    steps(2, 4, 6)
    for step in (2, 5):
        with pytest.raises(ValueError, match=rf"no checkpoint of step {step}, only of \[4, 6\]"):
            save.pin(step, "best")
    for name in ("", "12"):
        with pytest.raises(ValueError, match="must be a name, and not a number"):
            save.pin(6, name)
    save.close()
    assert run_directory.pinned(tmp_path) == {}
    for step in ("best", 2):
        with pytest.raises(FileNotFoundError, match=rf"no checkpoint {step!r}, only \[4, 6\] and"):
            checkpoint.load(tmp_path, step=step)
