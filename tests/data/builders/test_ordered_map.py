"""The processes that records are spread over. Functions of module level, for those are started."""

import contextlib
import multiprocessing
import os
import time

import pytest

from seedance_jax.data.builders.processes import ordered_map


def double(number):
    return 2 * number


def double_unless(number, killers=(), slow=()):
    if number in killers:
        os._exit(7)
    time.sleep(3600 * (number in slow))
    return 2 * number


def killed(number):
    return double_unless(number, killers=(3, 40))


def endless(number):
    return double_unless(number, slow=range(1, 99))


def failing(number):
    raise KeyError(number)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_results_come_in_order(num_processes):
    assert list(ordered_map(double, range(50), num_processes)) == list(range(0, 100, 2))


def test_only_the_items_that_kill_their_process_are_lost():
    """Also where one dies while its results are not waited for."""
    found = []
    for result in ordered_map(killed, range(60), 2, died=lambda number: f"lost {number}"):
        found.append(result)
        time.sleep(0.02)
    expected = [2 * number for number in range(60)]
    expected[3], expected[40] = "lost 3", "lost 40"
    assert found == expected


def test_without_a_word_for_it_a_death_is_an_error():
    with pytest.raises(ChildProcessError, match="the process of 3 was killed"):
        list(ordered_map(killed, range(9), 2))


def test_errors_of_the_function_are_those_of_the_map():
    with pytest.raises(KeyError):
        list(ordered_map(failing, range(9), 2))


def test_closing_ends_what_is_in_work():
    before = {*multiprocessing.active_children()}
    with contextlib.closing(ordered_map(endless, range(40), 2)) as made:
        assert next(made) == 0
        started = {*multiprocessing.active_children()} - before
    assert len(started) == 2
    for _ in range(6000):  # what is in work would take an hour
        left = [process.pid for process in started if is_there(process.pid)]
        if not left:
            break
        time.sleep(0.01)
    assert left == []


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
