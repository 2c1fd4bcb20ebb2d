"""Paths of cameras, measured in rendered clips of the world 2.0.0 and in what is no clip at all."""

import dataclasses
import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, corruptions, generate, paths
from seedance_jax.data.world.camera import axes_of
from seedance_jax.data.world.filming import film, seen_by
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.data.world.vocabulary import CAMERA_MOVES
from seedance_jax.evaluation.judges import camera_paths, cuts, findings, sight, verdict
from seedance_jax.evaluation.judges.camera_motion import CameraPath
from seedance_jax.evaluation.judges.camera_views import View, make_poses, moved

SPEC = WorldSpec(17, 64, 64, 12, "tiny")
KINDS = ("single", "together", "sequence", "back")


@pytest.fixture(scope="module")
def clips():
    """{kind of path: (frames, scene, the planned axes)}, the first of each."""
    found, index = {}, 3_000_000
    while len(found) < len(KINDS):
        row = generate("validation", index, SPEC)
        scene = expected_scene(row)
        kind = scene["camera"]["kind"]
        if kind not in found and len(scene["shots"]) == 1 and scene["camera"]["steps"]:
            shot = corruptions.stage("validation", index, SPEC)[0]
            found[kind] = row["frames"], scene, shot
        index += 1
    return found


def look(frames, scene):
    return sight.look(frames, verdict.shot_lengths(scene, frames), scene)


def cameras(frames, scene):
    found = findings.cameras(look(frames, scene), scene)
    return {name: finding.value for name, finding in found.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_rendered_path_is_measured_part_by_part(clips, kind):
    frames, scene, plan = clips[kind]
    [shot] = look(frames, scene)
    axes = axes_of(plan.plan, len(frames) + 1)
    room = {"pan": 2.0, "tilt": 1.0, "roll": 2.0, "zoom": 0.05}
    for part, _ in camera_paths.asked_of(scene["camera"], len(frames)):
        change = shot.path.change(part.first, part.last)
        for axis, most in room.items():
            true = axes[axis][part.last] - axes[axis][part.first]
            assert change.get(axis, 0.0) == pytest.approx(true, abs=most)


def test_of_a_part_of_a_clip_a_part_of_the_path_is_asked():
    """Middle frames are what a run trains on whose buckets are shorter than its clips."""
    spec, wrong = WorldSpec(33, 64, 64, 12, "tiny"), []
    for index in range(3_100_000, 3_100_010):
        row = generate("validation", index, spec)
        numbers = np.arange(8, 25)
        scene = expected_scene(row, numbers)
        if len(scene["shots"]) > 1 or not scene["camera"]["steps"]:
            continue
        assert scene["camera"]["window"] == pytest.approx([8 / 12, 24 / 12])
        found = cameras(row["frames"][numbers], scene)
        assert found["camera_pan"] < 5
        assert found["camera_zoom"] < 8
        whole = {name: value for name, value in scene["camera"].items() if name != "window"}
        shots = [scene["shots"][0] | {"camera": whole}]
        found = cameras(row["frames"][numbers], scene | {"camera": whole, "shots": shots})
        wrong.append(found["camera_pan"] > 5 or found["camera_zoom"] > 8)
    assert any(wrong)
    row = generate("validation", 3_100_000, SPEC)
    assert expected_scene(row) == expected_scene(row, np.arange(17))


@pytest.mark.parametrize("name", ["wrong_tilt", "wrong_roll", "wrong_zoom", "shaky_camera"])
def test_wrong_cameras_are_told_from_right_ones(clips, name):
    gate = {
        "wrong_tilt": "camera_pan",
        "wrong_roll": "camera_roll",
        "wrong_zoom": "camera_zoom",
        "shaky_camera": "camera_shake",
    }[name]
    for kind in ("single", "sequence"):
        frames, scene, plan = clips[kind]
        wrong = corruptions.corrupt(name, plan, 1.0, np.random.default_rng(0), 12)
        assert cameras(wrong, scene)[gate] > 2 * cameras(frames, scene)[gate] + 1.0


def test_the_pixels_are_believed_and_not_the_record(clips):
    _, scene, plan = clips["sequence"]
    still = corruptions.corrupt("static_camera", plan, 1.0, np.random.default_rng(0), 12)
    [shot] = look(still, scene)
    assert not shot.path.values


def test_a_cut_is_found_and_a_fast_path_is_none(clips):
    """Where nearly nothing is to be seen of the floor, a cut may be missed."""
    hits = 0
    for frames, scene, plan in clips.values():
        cut = corruptions.corrupt("spurious_cut", plan, 1.0, np.random.default_rng(0), 12)
        assert cuts.find_cuts(frames, look(frames, scene)) == []
        found = cuts.find_cuts(cut, look(cut, scene))
        assert found in ([], [len(frames) // 2])
        hits += len(found)
    assert hits >= 3


@pytest.mark.parametrize("kind", ["black", "noise"])
def test_nothing_to_be_seen_is_no_error(clips, kind):
    for frames, scene, _ in clips.values():
        noise = np.random.default_rng(0).integers(0, 256, frames.shape, np.uint8)
        odd = np.zeros_like(frames) if kind == "black" else noise
        assert np.isfinite(list(cameras(odd, scene).values())).all()


def test_steadied_places_stand():
    """A point of the floor is where it is seen from a standing camera, whichever way it turned."""
    view, count = View(), 9
    path = {axis: np.linspace(-0.5, 0.5, count) for axis in ("pan", "tilt", "roll", "zoom")}
    path = {axis: 12 * v if axis != "zoom" else 0.3 * v for axis, v in path.items()}
    level = make_poses(view, {"pan": np.zeros(count)})
    point = np.array([40.0, 44.0])
    seen = moved(np.tile(point, (count, 1, 1)), level, make_poses(view, path), (64, 64))[0][:, 0]
    frames = np.zeros((count, 64, 64, 3), np.uint8)
    shot = sight.Shot(0, frames, [], CameraPath(path), view, frames)
    assert np.ptp(seen, axis=0).min() > 5
    np.testing.assert_allclose(shot.steady(seen), np.tile(point, (count, 1)), atol=1e-6)


def test_captions_leave_room_for_what_they_do_not_say():
    step = {"start": 0.2, "stop": 1.2, "moves": {"pan left": 10.0}}
    low, high = paths.AMOUNTS["pan"]
    assert camera_paths.meant("pan", 10.0, step, ["numbers", "moves"]) == (10.0, 10.0)
    assert camera_paths.meant("pan", 10.0, step, ["moves"]) == (low, high)
    slow = camera_paths.meant("pan", 4.5, step, ["words", "moves"])
    assert slow == (low, 5.5)


def test_gates_of_roll_and_shaking_are_not_of_the_old_world(clips):
    _, scene, _ = clips["single"]
    old = {name: value for name, value in scene.items() if name != "look_alikes"}
    shown = verdict.shown(old, 12)
    assert [shown[f"camera_{name}"] for name in ("roll", "shake", "pan")] == [False, False, True]
    untold = dict(scene["camera"], said=[])
    untold = scene | {"shots": [dict(scene["shots"][0], camera=untold)]}
    shown = verdict.shown(untold, 12)
    assert [shown[f"camera_{name}"] for name in ("roll", "shake", "pan")] == [False, True, False]


def test_every_axis_of_the_world_is_measured():
    axes = {paths.axis_of(move) for move in CAMERA_MOVES} - {"static"}
    assert axes == set(camera_paths.SHORT.axes)


def test_a_camera_that_looks_away_is_followed_out_and_back():
    """A turn by 55 degrees has no place in common with where it began; the camera is to be back."""
    time = np.array([0.0, 0.5, 1.7, 2.5, 3.7, 4.5])
    keyframes = [
        {"time": t, "easing": "smooth", **dict.fromkeys(paths.AXES, 0.0), "pan": pan}
        for t, pan in zip(time, (0.0, 0.0, 55.0, 55.0, 0.0, 0.0), strict=True)
    ]
    camera = {"move": "path", "kind": "episodes", "steps": [], "keyframes": keyframes}
    asked = camera_paths.asked_of(camera, 55)
    assert [round(part.asked.get("pan", 0.0)) for part, _ in asked] == [0, 55, 0, -55, 0]
    pan = np.interp(np.arange(55) / 12, time, [k["pan"] for k in keyframes])
    right = camera_paths.errors(CameraPath({"pan": pan}), View(), asked, (55, 64, 64))[0]
    half = camera_paths.errors(CameraPath({"pan": 0.5 * pan}), View(), asked, (55, 64, 64))[0]
    gone = CameraPath({"pan": np.maximum.accumulate(pan)})
    lost = camera_paths.errors(gone, View(), asked, (55, 64, 64))[0]
    assert right[0] < 6 < 30 < half[0] < lost[0]


def test_looking_away_is_seen_in_the_pixels():
    spec = dataclasses.replace(SPEC, num_frames=49)
    index = next(
        k
        for k in range(3_000_000, 3_000_100)
        if corruptions.stage("validation", k, spec)[0].plan.move == "static"
    )
    [shot] = corruptions.stage("validation", index, spec)[:1]
    count, time = len(shot.area), np.array([0.0, 0.5, 1.7, 2.3, 3.5, 4.0])
    pans = (0.0, 0.0, 55.0, 55.0, 0.0, 0.0)
    keyframes = tuple(
        paths.Keyframe(t / 4, dict.fromkeys(paths.AXES, 0.0) | {"pan": pan}, "smooth")
        for t, pan in zip(time, pans, strict=True)
    )
    pan = np.radians(paths.along(keyframes, np.arange(count + 1) / (count - 1))["pan"])
    turn = np.zeros((count + 1, 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(pan)
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -np.sin(pan), np.sin(pan), 1.0
    frames = film(seen_by(shot, rotation=shot.cameras.rotation @ turn))
    scene = json.loads(generate("validation", index, spec)["scene"])
    told = [{"time": 4 * k.time, "easing": k.easing, **k.values} for k in keyframes]
    camera = scene["camera"] | {"move": "path", "kind": "episodes", "keyframes": told}
    scene |= {"slice": "long", "shots": [{"num_frames": count, "camera": camera}]}
    found = cameras(frames, scene)
    assert found["camera_pan"] < 3
    assert cameras(film(shot), scene)["camera_pan"] > 50
