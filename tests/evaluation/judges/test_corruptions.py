import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, corruptions, filming, pixels
from seedance_jax.evaluation.judges import cuts, sight, verdict
from seedance_jax.evaluation.metrics import intervals

# The gate that is there for each; others may shut too.
GATES = {
    "freeze": "dynamics",
    "slow_gravity": "gravity",
    "linear_fall": "gravity",
    "shuffled_frames": "jitter",
    "vanish": "identity",
    "recolor": "alignment_count",
    "teleport": "identity",
    "wrong_pan": "camera_pan",
    "wrong_zoom": "camera_zoom",
    "exposure_wobble": "exposure",
    "noise": "flicker",
    "blur": "sharpness",
}


@pytest.fixture(scope="module")
def scene(judged):
    """(number, what is asked) of a clip of one shot in which something falls before a standing
    camera, and which passes."""
    for index, (_, asked, v) in enumerate(judged):
        if corruptions.applies("slow_gravity", asked) and v.passed:
            return index, asked
    raise AssertionError("no such clip")


def test_filming_again_gives_the_same_clip(records, scene, spec):
    index, _ = scene
    [shot] = corruptions.stage("validation", index, spec)
    np.testing.assert_array_equal(filming.film(shot), records[index]["frames"])


@pytest.mark.parametrize("name", [n for n in corruptions.CORRUPTIONS if n in GATES])
def test_wrong_clips_fail_by_their_own_gate(scene, spec, name):
    index, asked = scene
    [shot] = corruptions.stage("validation", index, spec)
    frames = corruptions.corrupt(name, shot, 1.0, np.random.default_rng(0), 12)
    assert frames.shape == (17, 64, 64, 3)
    v = verdict.judge_clip(frames, 12, asked)
    assert not v.passed
    assert GATES[name] in v.failed


def test_corruptions_apply_where_they_can_be_seen(judged):
    for _, asked, _ in judged:
        assert not corruptions.applies("stagnate", asked)
        assert not corruptions.applies("identity_swap", asked)
        if len(asked["shots"]) == 2:
            assert not any(corruptions.applies(name, asked) for name in corruptions.CORRUPTIONS)


def test_a_cut_that_was_not_asked_for_fails(scene, spec):
    index, asked = scene
    [shot] = corruptions.stage("validation", index, spec)
    v = verdict.judge_clip(corruptions.corrupt("spurious_cut", shot, 1.0, None, 12), 12, asked)
    assert v.findings["cuts"].value == [8]
    assert not v.passed


def test_another_light_or_grain_is_no_cut(records, scene):
    index, asked = scene
    frames = records[index]["frames"].astype(float)
    grain = np.random.default_rng(0).normal(size=frames.shape)
    later = np.arange(17)[:, None, None, None] >= 8
    for other in (1.1 * frames, frames + 6 * grain):
        changed = pixels.as_bytes(np.where(later, other, frames))
        shots = sight.look(changed, [17], asked)
        assert cuts.find_cuts(changed, shots) == []


def test_intervals_hold_the_rate_and_shrink():
    for passed, count in ((0, 20), (10, 20), (20, 20)):
        _, low, high, _ = intervals.share(passed, count)
        assert 0 <= low <= passed / count + 1e-9
        assert passed / count - 1e-9 <= high <= 1
    assert np.ptp(intervals.share(100, 200)[1:3]) < np.ptp(intervals.share(10, 20)[1:3])
    assert intervals.share(8, 10)[1:3] == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert intervals.share(0, 0)[1:3] == (0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lost_fragments", r"is of \['break'\], not of event="),
        ("identity_swap", "two objects or more"),
        ("moved_hidden", r"is of \['episodes'\]"),
    ],
)
def test_scenes_that_cannot_be_wrong_so_are_refused(name, message):
    [shot] = corruptions.stage("validation", 3, WorldSpec(slice="tiny"))
    with pytest.raises(ValueError, match=message):
        corruptions.corrupt(name, shot, 1.0, np.random.default_rng(0), 12)


def test_pictures_and_long_clips_refuse_what_they_cannot_have():
    [shot] = corruptions.stage("validation", 0, WorldSpec(1, 32, 32, 12, "tiny"))
    with pytest.raises(ValueError, match="not of pictures"):
        corruptions.corrupt("freeze", shot, 1.0, np.random.default_rng(0), 12)
    with pytest.raises(ValueError, match="flawed=0.5"):
        WorldSpec(241, 32, 32, 12, "long", flawed=0.5)
