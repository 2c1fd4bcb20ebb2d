"""Broken models score as they should, by the real judges."""

import numpy as np
import pytest

from seedance_jax.evaluation.suite import cases, scoring

# Clips of text alone: a throw in range, and a slide of a held-out combination.
CLIPS = 2


def frozen(clip):
    return np.repeat(clip[:1], len(clip), 0)


def shuffled(clip):
    return clip[np.random.default_rng(0).permutation(len(clip))]


def noisy(clip):
    return np.random.default_rng(0).integers(0, 256, clip.shape, np.uint8)


@pytest.fixture(scope="module")
def passed(suite, fake, tmp_path_factory):
    """Function (change of the true clips) -> which of the first clips pass, and the rows."""

    def run(change):
        model = fake(lambda case: change(cases.true_clip(suite, case)))
        rows = scoring.score(model, suite, tmp_path_factory.mktemp("run"), CLIPS, CLIPS)
        return [row["verdict"]["passed"] for row in rows.values()], rows

    return run


def test_true_clips_pass(passed):
    assert all(passed(lambda clip: clip)[0])


@pytest.mark.parametrize("change", [frozen, shuffled, noisy])
def test_broken_clips_fail(passed, change):
    assert not any(passed(change)[0])


def test_still_pictures_look_good_and_do_not_move(passed):
    for row in passed(frozen)[1].values():
        gates = row["verdict"]["gates"]
        assert gates["flicker"]
        assert gates["sharpness"]
        assert not gates["dynamics"]
