"""Broken models score as they should, by the real judges."""

import numpy as np
import pytest

from seedance_jax.evaluation.suite import scoring

# Clips of text alone: a throw in range, and a slide of a held-out combination.
PLAIN = (0, 1)
TWO_SHOTS, GIVEN = 3, 4  # a clip with a cut, and one of which the first frame is given


def frozen(clip):
    return np.repeat(clip[:1], len(clip), 0)


def shuffled(clip):
    return clip[np.random.default_rng(0).permutation(len(clip))]


def noisy(clip):
    return np.random.default_rng(0).integers(0, 256, clip.shape, np.uint8)


@pytest.fixture(scope="module")
def passed(suite, fake, tmp_path_factory):
    """Function (change of the true clips, numbers of cases) -> which pass, and their gates."""

    def run(change, numbers=PLAIN):
        chosen = [suite.cases[number] for number in numbers]
        own = suite._replace(cases=[c._replace(number=i) for i, c in enumerate(chosen)])
        model = fake(lambda case: change(suite.clip(case)), suite=own)
        rows = scoring.score(model, own, tmp_path_factory.mktemp("run"), batch_size=1)
        verdicts = [row["verdict"] for row in rows.values()]
        return [v["passed"] for v in verdicts], [v["gates"] for v in verdicts]

    return run


def test_true_clips_pass(passed):
    assert all(passed(lambda clip: clip, (*PLAIN, TWO_SHOTS, GIVEN))[0])


def test_a_clip_of_two_shots_needs_its_cut(passed):
    """Its first shot alone, played slowly, has none."""
    [true], [gates] = passed(lambda clip: clip, (TWO_SHOTS,))
    assert (true, gates["cuts"]) == (True, True)
    [slow], [gates] = passed(lambda clip: clip[np.arange(len(clip)) // 4], (TWO_SHOTS,))
    assert (slow, gates["cuts"]) == (False, False)


def test_given_frames_must_come_back(passed, suite):
    """Of another scene, as sharp and as natural as the true one, all but the given frame may be."""
    other = suite.clip(suite.cases[0])
    for change, kept in ((lambda clip: clip, True), (lambda clip: other, False)):
        [found], [gates] = passed(change, (GIVEN,))
        assert (found, gates["given_frames"]) == (kept, kept)
    only = lambda clip: np.concatenate([other[:1], clip[1:]])  # noqa: E731
    assert not passed(only, (GIVEN,))[1][0]["given_frames"]


@pytest.mark.parametrize("change", [frozen, shuffled, noisy])
def test_broken_clips_fail(passed, change):
    assert not any(passed(change)[0])


def test_still_pictures_look_good_and_do_not_move(passed):
    for gates in passed(frozen)[1]:
        assert gates["flicker"]
        assert gates["sharpness"]
        assert not gates["dynamics"]
