"""A split is a suite: its clips are generated again, and judged by the same code."""

import json

import numpy as np
import pytest

from seedance_jax.data import schema, sources
from seedance_jax.data.buckets import num_shots
from seedance_jax.evaluation.suite import command, results, splits
from seedance_jax.sampling.shots import parse_prompt, shot_lengths

SPLIT = "held_out_combinations"
TASKS = ["text_to_video", "image_to_video", "first_and_last", "two_shots"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data section of a config with 12 clips of SPLIT on disk; 10 or more have one shot."""
    world = {"slice": "tiny", "num_frames": 17, "height": 64, "width": 64, "fps": 12, SPLIT: 12}
    data = {
        "source": "world",
        "data_dir": str(tmp_path_factory.mktemp("data")),
        "world": world,
        "buckets": [[1, 64, 64, 8, 1.0], [17, 64, 64, 2, 4.0]],
        "num_processes": 1,
    }
    sources.build(data)
    return data


@pytest.fixture(scope="module")
def drawn(data):
    """(suite, limit) of 3 prompts."""
    return splits.draw_split(data, SPLIT, 3)


@pytest.fixture(scope="module")
def report_of(data, fake, tmp_path_factory):
    """Function (change of the true clips, prompts) -> report, of the real judges."""

    def evaluate(change, prompts=1):
        suite, limit = splits.draw_split(data, SPLIT, prompts)
        model = fake(lambda case: change(suite.clip(case)), suite=suite)
        model.reconstruct = lambda frames, batch_size: frames
        return command.run(model, suite, tmp_path_factory.mktemp("run"), limit, batch_size=4)

    return evaluate


@pytest.fixture(scope="module")
def true(report_of):
    """The report of true clips."""
    return report_of(lambda clip: clip, 3)


def test_true_clips_pass(true, drawn):
    assert true["suite"] == SPLIT
    assert list(true["groups"]) == TASKS
    assert true["clips"] == drawn[1] >= 10
    for task in TASKS[:3]:
        part = true["groups"][task]
        assert part["clips"] == 3
        assert part["passed"] == true["groups"]["text_to_video"]["passed"]
    for gate in ("alignment_color", "alignment_direction", "dynamics", "camera_pan"):
        assert true["gates"][gate]["passed"][0] >= 0.9
    assert true["reference"]["true"]["passed"] == true["reference"]["autoencoder"]["passed"]
    assert true["reference"]["true"]["passed"][0] >= 0.8


def test_chance_is_what_true_clips_show_of_the_scene_of_another(true):
    chance = true["reference"]["chance"]
    assert chance["passed"][0] <= 0.2
    assert chance["gates"]["alignment_color"][0] < 0.7


def test_given_frames_come_back_and_the_clip_goes_on_from_them(true):
    groups = true["groups"]
    assert groups["text_to_video"]["given_frames"] == {}
    assert groups["text_to_video"]["jump"] is None
    assert list(groups["image_to_video"]["given_frames"]) == ["0"]
    assert list(groups["first_and_last"]["given_frames"]) == ["0", "16"]
    assert groups["first_and_last"]["given_frames"]["16"] == pytest.approx(99)
    assert groups["image_to_video"]["jump"] == {"made": 1.0, "autoencoder": 1.0}


def test_wrong_colors_fail(report_of):
    report = report_of(lambda clip: np.ascontiguousarray(clip[..., [2, 0, 1]]))
    assert report["groups"]["text_to_video"]["gates"]["alignment_color"][0] <= 0.4
    assert report["groups"]["image_to_video"]["given_frames"]["0"] < 30
    assert report["reference"]["true"]["gates"]["alignment_color"][0] == 1.0


def test_stills_and_cuts_after_the_given_frame_are_seen(report_of, quick):
    still = report_of(lambda clip: clip[:1].repeat(len(clip), 0))["groups"]
    assert still["text_to_video"]["gates"]["dynamics"][0] == 0.0
    assert still["image_to_video"]["jump"]["made"] == 0.0
    assert still["first_and_last"]["given_frames"]["16"] < 30
    assert still["two_shots"]["gates"]["cuts"][0] == 0.0
    with quick():
        cut = report_of(lambda clip: np.concatenate([clip[:1], clip[1:, :, ::-1]]))["groups"]
    assert cut["image_to_video"]["jump"]["made"] > 2
    assert cut["image_to_video"]["given_frames"] == still["image_to_video"]["given_frames"]


def test_a_larger_suite_begins_with_a_smaller_one(data, drawn):
    small, limit = drawn
    large, more = splits.draw_split(data, SPLIT, 6)
    assert small.checksum == large.checksum
    assert large.cases[:limit] == small.cases[:limit]
    assert more > limit
    assert [case.number for case in large.cases] == list(range(len(large.cases)))
    everything, count = splits.draw_split(data, SPLIT)
    assert count == len(everything.cases)
    assert splits.draw_split(data | {"buckets": [[17, 32, 64, 2, 1.0]]}, SPLIT)[0].checksum != (
        small.checksum
    )


def test_only_the_first_clips_are_asked_for_between_two_frames(data, monkeypatch):
    monkeypatch.setattr(splits, "FIRST_AND_LAST", 2)
    suite, _ = splits.draw_split(data, SPLIT)
    assert [case.group for case in suite.cases].count("first_and_last") == 2


def test_a_run_goes_on_with_more_prompts(data, drawn, bright, fake, quick, tmp_path):
    suite, limit = drawn
    suite = suite._replace(clip=bright.clip)
    with quick():
        assert command.run(fake(suite=suite), suite, tmp_path, 3, batch_size=1)["clips"] == 3
        model = fake(suite=suite)
        found = command.run(model, suite, tmp_path, limit, batch_size=1)
    assert (found["clips"], len(model.batches)) == (limit, limit - 3)
    assert (tmp_path / "sheet.png").exists()
    assert [row["seed"] for row in results.read_rows(tmp_path).values()] == list(range(limit))


def test_clips_of_several_shots_are_prompted_as_they_are_recorded(data):
    source = sources.open_split(data, SPLIT)
    suite, _ = splits.draw_split(data, SPLIT)
    cuts = [case for case in suite.cases if case.group == "two_shots"]
    assert [case.index for case in cuts] == np.flatnonzero(num_shots(source.table) == 2).tolist()
    for case in cuts:
        row = source[case.index]
        shots, script = schema.read_shots(row), parse_prompt(case.prompt)
        assert script.captions == schema.captions_of(row["caption"], shots)
        assert json.loads(case.prompt)["global"] == row["caption"]
        lengths = tuple(shot.num_frames for shot in shots)
        assert shot_lengths(script, 17, 12) == lengths
        assert tuple(shot["num_frames"] for shot in case.scene["shots"]) == lengths


def test_what_cannot_be_judged_is_refused(data):
    with pytest.raises(ValueError, match="no split 'validation'"):
        splits.draw_split(data, "validation")
    with pytest.raises(ValueError, match="num_prompts=0"):
        splits.draw_split(data, SPLIT, 0)
    with pytest.raises(ValueError, match=rf"num_prompts=9999 must be from 1 to \d+: .*{SPLIT}"):
        splits.draw_split(data, SPLIT, 9999)
    with pytest.raises(ValueError, match="only clips of the synthetic world"):
        splits.draw_split(data | {"source": "folder"}, SPLIT)


def test_clips_with_a_flaw_are_left_out(data, monkeypatch):
    whole, _ = splits.draw_split(data, SPLIT)
    first = whole.cases[0].index
    read = splits.read_case

    def spoil(source, bucket, split, fps, number):
        case = read(source, bucket, split, fps, number)
        flaw = {"name": "shaken", "severity": 0.5} if case.index == first else None
        return case._replace(scene=case.scene | {"flaw": flaw})

    monkeypatch.setattr(splits, "read_case", spoil)
    kept, _ = splits.draw_split(data, SPLIT)
    assert {case.index for case in kept.cases} == {case.index for case in whole.cases} - {first}
    singles = len({case.index for case in kept.cases if case.group == "text_to_video"})
    with pytest.raises(ValueError, match=f"must be from 1 to {singles}: "):
        splits.draw_split(data, SPLIT, singles + 1)
