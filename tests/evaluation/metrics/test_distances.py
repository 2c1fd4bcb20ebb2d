"""Distances of features against closed forms."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from seedance_jax.evaluation.metrics import frechet, kernel


def exact(mean, deviations, count, seed):
    """Features [count, D] whose mean and covariance (diagonal) are exactly those."""
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((count, len(mean)))
    basis = np.linalg.qr(draws - draws.mean(0))[0] * math.sqrt(count - 1)
    return basis * deviations + mean


def test_frechet_distance_of_known_gaussians():
    x = exact(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.5, 2.0]), 40, 0)
    y = exact(np.array([1.0, 0.0, 3.5]), np.array([3.0, 0.5, 1.0]), 60, 1)
    expected = 4.0 + 0.25 + (1 - 3) ** 2 + 0.0 + (2 - 1) ** 2
    assert frechet.frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_full_covariances_is_that_of_the_matrix_root():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 7)) @ rng.normal(size=(7, 7))
    y = rng.normal(size=(50, 7)) @ rng.normal(size=(7, 7)) + 0.3
    a, b, way = np.cov(x.T), np.cov(y.T), x.mean(0) - y.mean(0)
    expected = way @ way + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet.frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [3, 10, 200])  # below and above the dimension
def test_frechet_distance_is_a_metric_of_sets(count):
    rng = np.random.default_rng(count)
    x, y = rng.normal(size=(count, 20)), rng.normal(size=(count + 1, 20)) + 0.1
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    value = frechet.frechet_distance(x, y)
    assert frechet.frechet_distance(y, x) == pytest.approx(value)
    assert frechet.frechet_distance(x @ turn + 5.0, y @ turn + 5.0) == pytest.approx(value)
    assert frechet.frechet_distance(x, x[::-1]) == pytest.approx(0.0, abs=1e-9)
    assert frechet.frechet_distance(3 * x, 3 * y) == pytest.approx(9 * value)


def test_the_interval_of_a_frechet_distance_is_of_the_populations():
    """The value is too high for few clips, the interval is not."""
    rng = np.random.default_rng(0)
    draws = [rng.normal(size=(2, 120, 8)) for _ in range(12)]
    same = [frechet.frechet_estimate(x, y) for x, y in draws]
    apart = [frechet.frechet_estimate(x, 1.5 * y + 0.5) for x, y in draws]
    truth = 8 * (0.5**2 + 0.5**2)
    assert np.mean([estimate.value for estimate in same]) > 0.2
    assert sum(estimate.low == 0.0 for estimate in same) >= 10
    assert sum(estimate.low < truth < estimate.high for estimate in apart) >= 9
    assert all(estimate.low > 0 for estimate in apart)


def test_too_few_clips_are_said():
    x, y = np.zeros((100, 10)), np.zeros((20, 10))
    assert frechet.too_few(x, x) == ""
    assert "20 clips are too few for a Frechet distance in 10 dimensions" in frechet.too_few(x, y)


def kernel_distance(x, y):
    """Of sets in which every clip occurs once."""
    return kernel.discrepancy(kernel.kernels(x, y), np.ones(len(x)), np.ones(len(y)))


def test_kernel_distance_is_the_mean_over_pairs_of_different_clips():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)) + 1

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    def within(z):
        return np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])

    across = np.mean([k(a, b) for a in x for b in y])
    expected = within(x) + within(y) - 2 * across
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased():
    """x is 1 or -1, y is 0 or 2: E k(x, x') = (8 + 0) / 2 = 4, E k(y, y') = 32, E k(x, y) = 7."""
    rng = np.random.default_rng(0)
    signs = rng.choice((-1.0, 1.0), (4000, 2, 4, 1))
    apart = [kernel_distance(x, y + 1) for x, y in signs]
    same = [kernel_distance(x, y) for x, y in signs]
    for values, truth in ((same, 0.0), (apart, 4 + 32 - 2 * 7)):
        assert abs(np.mean(values) - truth) < 4 * np.std(values) / math.sqrt(len(values))


def test_the_interval_of_a_kernel_distance_covers_the_truth():
    """In D dimensions, x of mean 0 and y of mean 1 in each, both of variance 1: E k(x, x') is
    1 + 3 / D, E k(y, y') is 8 + 18 / D + 6 / D^2, E k(x, y) is 1 + 6 / D."""
    rng, size = np.random.default_rng(0), 16
    draws = [rng.normal(size=(2, 40, size)) for _ in range(40)]
    same = [kernel.kernel_estimate(x, y) for x, y in draws]
    apart = [kernel.kernel_estimate(x, y + 1) for x, y in draws]
    for estimates, truth in ((same, 0.0), (apart, 7 + 9 / size + 6 / size**2)):
        assert sum(found.low < truth < found.high for found in estimates) >= 34
        assert all(found.low < found.value < found.high for found in estimates)


@pytest.mark.parametrize("estimate", [frechet.frechet_estimate, kernel.kernel_estimate])
def test_few_clips_tell_no_interval_or_a_wide_one(estimate):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 3))
    for few in (estimate(x[:2], y), estimate(x, y[:2])):
        assert np.isnan(few[1:3]).all()
        assert few.count == 2
        assert np.isfinite(few.value)
    least = estimate(x[:3], y[:3])
    assert least.low < least.high


@pytest.mark.parametrize("distance", [frechet.frechet_distance, kernel.kernel_estimate])
def test_features_that_do_not_fit_are_refused(distance):
    x = np.zeros((4, 3))
    for other in (np.zeros((4, 2)), np.zeros((1, 3)), np.zeros(4)):
        with pytest.raises(ValueError, match=r"must be \[B, D\] with equal D, 2 rows or more"):
            distance(x, other)
    with pytest.raises(ValueError, match="not finite"):
        distance(x, np.full((4, 3), np.nan))
