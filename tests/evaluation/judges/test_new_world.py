"""Gates of what the world has since 2.0.0: open on true clips, shut on wrong ones."""

import functools

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, corruptions, generate, pixels
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.evaluation.judges import calibration, drawing, sight, verdict

FPS = 12
PLAIN = WorldSpec(25, 64, 64, FPS, "plain")
STILL = WorldSpec(1, 64, 64, FPS, "plain")
LONG = WorldSpec(241, 64, 64, FPS, "long")
# Much as those of the forms of clips, but for all of them.
BOUNDS = {
    "gravity": (0.6, 1.5),
    "bounce": (0.7, 1.3),
    "fall": (0.75, 1.6),
    "permanence": (-1e3, 1.2),
    "appearance": (-1e3, 0.9),
    "spread": (1.3, 1e3),
    "fragments": (0.12, 1e3),
    "look_alike": (0.25, 1e3),
    "identity": (-1e3, 0.9),
    "light": (0.8, 1.25),
    "noise": (-1e3, 0.75),
    "sharpness": (0.3, 0.9),
    "alignment_event": (0.0, 1e3),
    "alignment_shape": (-0.5, 1e3),
    "jitter": (-1e3, 0.085),
    "flicker": (-1e3, 3.0),
    "exposure": (-1e3, 2.0),
    "dynamics": (0.0, 1e3),
    "camera_pan": (-1e3, 9.0),
    "camera_zoom": (-1e3, 8.0),
    "camera_orbit": (-1e3, 18.0),
    "camera_roll": (-1e3, 9.0),
    "camera_shake": (-1e3, 1.0),
}
# (event, number of a clip before a standing camera, what is wrong, the gate that is there for it)
WRONG = [
    ("break", 2298, "lost_fragments", "spread"),
    ("break", 2298, "stuck_fragments", "fragments"),
    ("break", 2160, "slow_gravity", "gravity"),
    ("occlude", 2041, "recolor_hidden", "appearance"),
    ("occlude", 2159, "stagnate", "permanence"),
    ("drop", 2465, "no_bounce", "bounce"),
    ("throw", 2876, "no_bounce", "bounce"),
    ("drop", 2693, "slow_gravity", "gravity"),
    ("throw", 2079, "linear_fall", "gravity"),
    ("drop", 2835, "hover", "fall"),
    ("slide", 2056, "speed_up", "alignment_event"),
    ("drop", 2102, "overexposed", "light"),
    ("drop", 2102, "underexposed", "light"),
]


@functools.cache
def true_clip(index, spec=PLAIN):
    row = generate("validation", index, spec)
    return row["frames"], expected_scene(row)


def wrong_clip(index, name, spec=PLAIN):
    [shot] = corruptions.stage("validation", index, spec)
    return corruptions.corrupt(name, shot, 1.0, np.random.default_rng(0), FPS)


def judged(frames, scene):
    """The gates of frames, by BOUNDS."""
    shots = sight.look(frames, verdict.shot_lengths(scene, frames), scene)
    found = verdict.measure(shots, FPS, scene)
    return verdict.Verdict(found, verdict.gates(found, scene, FPS, BOUNDS))


@pytest.mark.parametrize(("event", "index", "corruption", "gate"), WRONG)
def test_gates_open_on_true_clips_and_shut_on_wrong_ones(event, index, corruption, gate):
    frames, scene = true_clip(index)
    assert scene["event"] == event
    assert judged(frames, scene).gates[gate] is True
    assert judged(wrong_clip(index, corruption), scene).gates[gate] is False


@pytest.mark.parametrize("index", [2178, 2475, 2160, 2829])
def test_pushes_and_breaks_are_seen_where_they_happen(index):
    frames, scene = true_clip(index)
    assert scene["event"] in ("push", "break")
    seen = judged(frames, scene)
    assert seen.gates["alignment_event"]
    assert seen.gates["alignment_count"]
    assert seen.gates["alignment_shape"]  # which scenery does not have
    still = np.repeat(frames[:1], len(frames), axis=0)
    assert judged(still, scene).gates["alignment_event"] is False


def test_look_alikes_that_swap_are_told_from_those_that_do_not():
    frames, scene = true_clip(1000, LONG)
    assert scene["look_alikes"]
    assert judged(frames, scene).passed
    swapped = judged(wrong_clip(1000, "identity_swap", LONG), scene)
    assert swapped.gates["look_alike"] is False
    gone = judged(wrong_clip(1000, "vanish", LONG), scene)
    assert gone.gates["alignment_event"] is False


@pytest.fixture(scope="module")
def stills():
    return [true_clip(index, STILL) for index in range(1001, 1031)]


def test_pictures_are_judged_on_what_they_show(stills):
    seen = [judged(frames, scene) for frames, scene in stills]
    asked = {name for name, gate in seen[0].gates.items() if gate is not None}
    assert asked == set(verdict.OF_PICTURES)
    assert np.mean([v.passed for v in seen]) >= 0.9
    for gate in ("alignment_floor", "light", "sharpness", "noise"):
        assert np.mean([v.gates[gate] for v in seen]) >= 0.95


def test_pictures_of_another_floor_light_or_focus_fail(stills):
    floors = {"grey": "sandy", "sandy": "grey"}
    for frames, scene in stills[:10]:
        other = scene | {"floor": floors[scene["floor"]]}
        assert judged(frames, other).gates["alignment_floor"] is False
        for change, gate in (
            (pixels.overexpose, "light"),
            (pixels.underexpose, "light"),
            (pixels.blur, "sharpness"),
            (functools.partial(pixels.noise, rng=np.random.default_rng(0)), "noise"),
        ):
            assert judged(change(frames, 1.0), scene).gates[gate] is False


@pytest.mark.parametrize(
    ("index", "spec"), [(2178, PLAIN), (2160, PLAIN), (2041, PLAIN), (1000, LONG), (1001, STILL)]
)
def test_odd_frames_are_judged_and_fail(index, spec):
    frames, scene = true_clip(index, spec)
    noise = np.random.default_rng(0).integers(0, 256, frames.shape, np.uint8)
    for odd in (noise, np.zeros_like(frames), np.full_like(frames, 255)):
        v = judged(odd, scene)
        assert not v.passed
        assert v.gates["alignment_color"] is False or v.gates["light"] is False
        assert drawing.draw(odd[:1], v).dtype == np.uint8


def test_the_old_world_has_none_of_the_new_gates():
    row = generate("validation", 0, WorldSpec(slice="tiny", version="1.3.0"))
    gates = judged(row["frames"], expected_scene(row)).gates
    assert [gates[name] for name in verdict.NEW] == [None] * len(verdict.NEW)


def test_rules_are_of_gates_with_numbers():
    assert set(calibration.RULES) <= set(verdict.GATES)
    assert set(calibration.LIMITS) <= set(calibration.RULES)
