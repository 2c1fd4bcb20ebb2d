"""Scenes at graded severities: what is stored, whatever makes it, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from seedance_jax.data import video
from seedance_jax.data.builders import graded_clips, parts, storage
from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world.vocabulary import ACCEPTANCE, HELD_OUT

pytest.importorskip("mujoco")
pytest.importorskip("numba")
WORLD = WorldSpec(num_frames=13, height=32, width=32, fps=12, slice="tiny")
SPEC = graded_clips.PairSpec(WORLD, {"train": 17, "validation": 2}, (0.5, 1.0), corruptions=3)


def record_files(directory):
    return {path.name: path.read_bytes() for path in directory.rglob("*.array_record*")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return graded_clips.build_pairs(tmp_path_factory.mktemp("pairs"), SPEC)


def test_the_bytes_do_not_depend_on_the_processes(built, tmp_path):
    first = record_files(built)
    assert len(first) == 2
    other = graded_clips.build_pairs(tmp_path, SPEC, num_processes=2)
    assert record_files(other) == first
    assert (other / "scenes.json").read_bytes() == (built / "scenes.json").read_bytes()
    assert other.name == built.name


def test_rows_are_a_true_clip_and_rising_severities_that_are_seen(built):
    rows, scenes = storage.open_split(built, "train"), read_scenes(built, "train")
    number = 0
    for scene in scenes:
        clips, before = {}, None
        for kind, severity in scene["variants"]:
            row = rows[number]
            assert (row["corruption"], row["caption"]) == (kind, scene["caption"])
            assert row["severity"] == np.float32(severity)
            clips[kind, severity] = video.decode_mp4(row["video"])[0].astype(int)
            number += 1
        true = clips.pop(("", 0.0))
        error = np.mean((true - generate("train", scene["index"], WORLD)["frames"]) ** 2)
        assert error < 20
        for (kind, severity), frames in clips.items():
            before = before if before and before[0] == kind else (kind, 0.0, true)
            assert severity > before[1]
            assert not np.array_equal(frames, before[2])
            before = (kind, severity, frames)
        assert 1 <= len({kind for kind, _ in clips}) <= 3
        assert len(scene["edits"]) == 4
    assert number == len(rows)


def read_scenes(directory, split):
    return json.loads((directory / "scenes.json").read_text())[split]


def test_scenes_of_two_shots_are_left_out_and_counted(built):
    report = storage.read_report(built)
    tried = {index for index in range(17) if num_shots(index) == 1}
    assert {scene["index"] for scene in read_scenes(built, "train")} == tried
    assert report["left_out"]["train"] == 17 - len(tried) > 0
    captions = (built / "captions_train.txt").read_text().split("\n")[:-1]
    assert set(captions) == {scene["caption"] for scene in read_scenes(built, "train")}


def num_shots(index):
    return len(json.loads(generate("train", index, WORLD)["scene"])["shots"])


def test_a_build_that_died_goes_on_where_it_was(built, tmp_path, monkeypatch):
    make, made = graded_clips.make_scene, []

    def dies(split, index, spec):
        if len(made) == 4:
            raise MemoryError("here")
        made.append((split, index))
        return make(split, index, spec)

    with monkeypatch.context() as patch:
        patch.setattr(graded_clips, "make_scene", dies)
        with pytest.raises(MemoryError):
            graded_clips.build_pairs(tmp_path, SPEC)
    done, again = list(made), []
    directory = graded_clips.pairs_directory(tmp_path, SPEC)
    assert not storage.is_complete(directory)
    with monkeypatch.context() as patch:
        patch.setattr(graded_clips, "make_scene", lambda *a: again.append(a[:2]) or make(*a))
        assert graded_clips.build_pairs(tmp_path, SPEC) == directory
    assert len(done) == 4
    assert not set(done) & set(again)
    assert len(done) + len(again) == 19
    assert record_files(directory) == record_files(built)
    assert not parts.directory_of(directory).exists()


def test_no_recolored_clip_shows_a_pair_that_is_held_out():
    from seedance_jax.data.world import corruptions, grading

    drawn = set()
    for index in range(25):
        shots = corruptions.stage("train", index, WORLD)
        if len(shots) == 1:
            rng = grading.draw(shots[0], "recolor", ("train", index), WORLD)
            body = corruptions.recolored(shots[0], rng).scene.bodies[0]
            assert body.shape not in HELD_OUT[body.color]
            drawn.add(body.color)
    assert len(drawn) > 3


@pytest.mark.parametrize("kind", ACCEPTANCE)
def test_what_rewards_are_tried_on_is_never_trained_on(kind):
    with pytest.raises(ValueError, match=f"{kind}.*is kept from all training data"):
        dataclasses.replace(SPEC, kinds=("blur", kind))
    apart = dataclasses.replace(SPEC, kinds=(kind,), splits={"validation": 1})
    assert apart.kinds == (kind,)


def test_training_data_has_none_of_it_by_default(built):
    for split in ("train", "validation"):
        kinds = {kind for scene in read_scenes(built, split) for kind, _ in scene["variants"]}
        assert not kinds & set(ACCEPTANCE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": ("melt",)}, r"corruption='melt' is not one of \['blur'"),
        ({"severities": (0.5, 0.2)}, r"\(0.5, 0.2\) do not rise"),
        ({"severities": (0.0, 1.0)}, "do not rise within"),
        ({"severities": (0.5, 1.1)}, "do not rise within"),
        ({"edits": 3}, "edits=3 must be 0 or more, edits even"),
        ({"corruptions": -1}, "corruptions=-1"),
        ({"splits": {}}, "one scene or more"),
        ({"splits": {"test": 3}}, r"\['test'\] are not of \['train'"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **change)


def test_long_scenes_have_no_wrong_captions():
    world = WorldSpec(121, 32, 32, 12, "long")
    with pytest.raises(ValueError, match="set edits=0"):
        graded_clips.PairSpec(world, {"train": 1})


def test_scenes_have_no_flaws_of_their_own():
    flawed = dataclasses.replace(WORLD, flawed=0.5)
    assert graded_clips.PairSpec(flawed, {"train": 1}).world == WORLD
