"""Two objects of one colour, one of which passes before the other."""

import numpy as np
import pytest

from seedance_jax.evaluation.judges import following

SIZE, COUNT = 64, 40
NEAR, FAR = 6.0, 8.0  # radii; the lower edges are 50 and 42


def disc(x, bottom, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return (columns - x) ** 2 + (rows - bottom + radius) ** 2 < radius**2


@pytest.fixture(scope="module")
def passing():
    """(mask of both, x of the nearer): it rolls before the other and stays there."""
    way = np.minimum(10 + 1.5 * np.arange(COUNT), 32)
    return np.stack([disc(x, 50, NEAR) | disc(34, 42, FAR) for x in way]), way


def middles(masks):
    return np.array([np.nonzero(mask)[1].mean() + 0.5 if mask.any() else np.nan for mask in masks])


def test_each_is_told_while_they_are_one_part(passing):
    mask, way = passing
    near, far = sorted(following.follow(mask, 2, 0.004), key=lambda m: m[0].sum())
    np.testing.assert_allclose(middles(near), way, atol=1.0)
    assert far.any((1, 2)).all()
    assert not (near & far).any()
    assert (near | far).sum() > 0.97 * mask.sum()


def test_one_behind_a_screen_is_no_second_disc(passing):
    mask, _ = passing
    mask = mask.copy()
    mask[30:] = disc(34, 42, FAR)
    told = following.follow(mask, 2, 0.004)
    assert sorted(part[30:].any() for part in told) == [False, True]


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything_are_no_error(value):
    for part in following.follow(np.full((5, SIZE, SIZE), value), 2, 0.004):
        assert part.shape == (5, SIZE, SIZE)
