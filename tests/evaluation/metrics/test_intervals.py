"""Intervals against closed forms and published tables, and of very few values."""

import json
import math

import numpy as np
import pytest

from seedance_jax.evaluation.metrics import intervals


def test_intervals_of_shares_are_those_of_wilson():
    """Against the values of Newcombe, Statistics in Medicine 17 (1998), table I."""
    for hits, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        share, *found = intervals.wilson(hits, count)
        assert share == hits / count
        np.testing.assert_allclose(found, (low, high), atol=5e-5)
    assert intervals.share(5, 10)[1:3] == pytest.approx((0.2366, 0.7634), abs=5e-5)
    assert intervals.share(0, 20)[:3] == pytest.approx((0.0, 0.0, 0.1611), abs=5e-5)
    assert intervals.share(10, 10).high == pytest.approx(1.0)
    assert intervals.share(0, 0)[1:] == (0.0, 1.0, 0)
    assert intervals.wilson(0, 0) is None


def test_intervals_of_means_shrink_with_more_values():
    rng = np.random.default_rng(0)
    values = rng.normal(size=1600)
    few, many = intervals.mean(values[:100]), intervals.mean(values)
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4.0, rel=0.3)
    normal = 2 * intervals.Z * values.std() / math.sqrt(len(values))
    assert many.high - many.low == pytest.approx(normal, rel=0.1)


def test_few_values_are_uncertain():
    assert math.isnan(intervals.mean([]).value)
    value, low, high, count = intervals.mean([0.25])
    assert (value, count) == (0.25, 1)
    assert math.isnan(low)
    assert math.isnan(high)
    assert intervals.mean([0, 1]) == (0.5, 0.0, 1.0, 2)
    three = intervals.mean([0, 1, 1])
    assert (three.low, three.high) == (0.0, 1.0)


def test_more_values_of_the_same_groups_do_not_narrow_the_interval():
    groups = [[1], [1], [-1], [0], [1], [-1]]
    alone = intervals.grouped_mean(groups)
    many = intervals.grouped_mean([group * 10 for group in groups])
    assert many == pytest.approx(alone)
    assert alone.low < alone.value < alone.high
    assert intervals.grouped_mean(groups * 10).high < alone.high
    one = intervals.grouped_mean([[1, 0]])
    assert (one.value, one.count) == (0.5, 1)
    assert np.isnan(one[1:3]).all()


def test_what_is_no_number_is_null_in_json_and_left_out_in_words():
    one = intervals.mean([0.25])
    told = json.dumps(intervals.as_json(one), allow_nan=False)
    assert json.loads(told) == {"value": 0.25, "low": None, "high": None, "count": 1}
    assert intervals.as_json([1]) == [1]
    assert intervals.in_words(one[:3], ".2f") == "0.25"
    assert intervals.in_words((0.5, 0.25, 1.0), ".2f") == "0.50 [0.25, 1.00]"
    assert intervals.in_words(None, ".2f") == "-"
