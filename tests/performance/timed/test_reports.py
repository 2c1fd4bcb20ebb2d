"""Intervals hold what they say, and only what can be compared is compared."""

import itertools
import json

import numpy as np
import pytest

from seedance_jax.performance.timed import reports


@pytest.mark.parametrize("count", range(1, 12))
def test_the_level_of_a_median_is_that_of_all_signs(count):
    """Each value lies above the true median, or below it, like a coin."""
    drop = min(1, (count - 1) // 2)
    inside = [drop < sum(signs) < count - drop for signs in itertools.product((0, 1), repeat=count)]
    assert reports.median_level(count, drop) == pytest.approx(np.mean(inside))


@pytest.mark.parametrize(("over", "under"), [(1, 1), (2, 3), (4, 4), (5, 3)])
def test_the_level_of_a_ratio_is_that_of_all_orders(over, under):
    wins = []
    for places in itertools.combinations(range(over + under), over):
        rest = [place for place in range(over + under) if place not in places]
        wins.append(sum(a > b for a in places for b in rest))
    for drop in range(over * under // 2):
        inside = [drop < count < over * under - drop for count in wins]
        assert reports.ratio_level(over, under, drop) == pytest.approx(np.mean(inside))


def test_intervals_are_as_narrow_as_their_level_allows():
    few, many = reports.spread([3.0, 1.0, 2.0]), reports.spread(list(range(1, 16)))
    assert (few["low"], few["median"], few["high"], few["level"]) == (1.0, 2.0, 3.0, 0.75)
    assert (many["low"], many["median"], many["high"]) == (4, 8, 12)
    assert many["level"] >= 0.95 > reports.median_level(15, 4)
    assert reports.spread([2.0])["level"] == 0


def test_a_ratio_goes_with_its_values():
    over, under = [4.0, 5.0, 4.5, 4.2, 4.8], [2.0, 2.2, 2.1, 2.3, 1.9]
    found, twice = reports.ratio(over, under), reports.ratio([2 * x for x in over], under)
    swapped = reports.ratio(under, over)
    assert found["ratio"] == pytest.approx(4.5 / 2.1)
    assert found["low"] < found["ratio"] < found["high"]
    assert twice["low"] == pytest.approx(2 * found["low"])
    assert swapped["high"] == pytest.approx(1 / found["low"])
    assert 0.95 <= found["level"] < 1
    assert reports.ratio([1.0], [2.0]) == {"ratio": 0.5, "low": 0.5, "high": 0.5, "level": 0}


def test_intervals_hold_the_true_value_as_often_as_they_say():
    rng, hits = np.random.default_rng(0), []
    for _ in range(400):
        over, under = rng.lognormal(0.3, 0.1, 5), rng.lognormal(0.0, 0.1, 5)
        found = reports.ratio(list(over), list(under))
        hits.append(found["low"] <= np.exp(0.3) <= found["high"])
    assert np.mean(hits) > found["level"] - 0.03


@pytest.fixture
def earlier(tmp_path):
    """A file with the report of one row."""
    seconds = {"ours": reports.spread([2.0, 2.1, 2.2]), "diffusers": reports.spread([3.0])}
    report = {"row": "a", "settings": {"batch": 2}, "seconds": seconds, "versions": {"jax": "0"}}
    report["machine"] = {"processor": "one", "cores": 2, "variables": {}}
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps(report | {"settings": {}}) + "\n\n" + json.dumps(report) + "\n")
    return path


def test_a_row_is_compared_with_the_last_report_of_it(earlier):
    rows = reports.read(earlier)
    machine = {"processor": "one", "cores": 2, "variables": {}}
    reports.check_same("a", machine, {"batch": 2}, rows)
    found = reports.compare("a", {"ours": [1.0, 1.05, 1.1], "before": [1.0]}, rows)
    assert found["earlier / now"] == {"ours": reports.ratio([2.0, 2.1, 2.2], [1.0, 1.05, 1.1])}
    assert found["earlier versions"] == {"jax": "0"}
    assert reports.compare("b", {"ours": [1.0]}, rows) == {}


@pytest.mark.parametrize(
    ("change", "settings", "told"),
    [
        ({"processor": "two"}, {"batch": 2}, "processor: one -> two"),
        ({"cores": 4}, {"batch": 2}, "cores: 2 -> 4"),
        ({"variables": {"OMP_NUM_THREADS": "1"}}, {"batch": 2}, "variables: {} -> {'OMP"),
        ({}, {"batch": 4}, "batch: 2 -> 4"),
    ],
)
def test_what_differs_is_named(earlier, change, settings, told):
    machine = {"processor": "one", "cores": 2, "variables": {}} | change
    with pytest.raises(ValueError, match=told):
        reports.check_same("a", machine, settings, reports.read(earlier))


@pytest.mark.parametrize("text", ["", "[1]\n", "nothing\n", '{"clip": 1}\n'])
def test_a_file_without_rows_is_refused(tmp_path, text):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"file (has no row|is no file) of"):
        reports.read(path)


def test_a_report_names_the_machine_once():
    found = reports.signed({"row": "a"}, reports.Path("/nowhere"))
    assert found["machine"]["processor"]
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["jax"]
    assert found["versions"]["commits"] == [None]
    assert next(iter(found)) == "row"
    assert reports.signed({"machine": 1, "versions": 2}, reports.Path("/nowhere"))["machine"] == 1


def test_numbers_are_as_long_as_they_are_good():
    found = reports.rounded({"a": [1.23456789, 12345678.9], "b": 7, "c": "x"})
    assert found == {"a": [1.235, 12350000.0], "b": 7, "c": "x"}
