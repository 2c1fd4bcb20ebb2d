"""A suite is what its name says, and asks no model for what it was not made for."""

import collections
import json

import pytest

from seedance_jax.evaluation.suite import cases, drawing_up


def test_the_checksum_is_pinned(suite):
    """Another one is another suite: give it another name."""
    assert suite.checksum == "289c4cec9ee2d14d2e10f5c942cb71556da14866bd9c7b1f76b92b3a7a10c18f"
    assert len(suite.cases) == 224


def test_a_changed_file_is_refused(suite, tmp_path, monkeypatch):
    text = (cases.FOLDER / "world_v1.jsonl").read_text()
    (tmp_path / "world_v1.jsonl").write_text(text.replace("red", "green", 1))
    monkeypatch.setattr(cases, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=f"has the checksum .*world_v1 has {suite.checksum[:16]}"):
        cases.read_suite("world_v1")


def test_another_name_is_refused():
    with pytest.raises(ValueError, match=r"suite='world_v0' is not one of \['world_v1'\]"):
        cases.read_suite("world_v0")


def test_groups_take_turns_and_are_equally_large(suite):
    names = list(drawing_up.GROUPS)
    assert [case.group for case in suite.cases] == names * 32
    assert [case.number for case in suite.cases] == list(range(224))


def test_cameras_move_equally_often_and_held_out_combinations_are_held_out(suite):
    by_group = collections.defaultdict(list)
    for case in suite.cases:
        by_group[case.group].append(case.asked)
    moves = collections.Counter(asked["camera"]["move"] for asked in by_group["camera"])
    assert set(moves.values()) == {8}
    assert all(asked["outside_training_range"] for asked in by_group["out_of_range"])
    assert {len(asked["shots"]) for asked in by_group.pop("two_shot")} == {2}
    assert {len(asked["shots"]) for group in by_group.values() for asked in group} == {1}


@pytest.mark.parametrize("group", ["in_range", "held_out", "out_of_range"])
def test_the_world_still_draws_the_suite(suite, group):
    [drawn] = drawing_up.draw_group(suite.spec, group, count=1)
    first = next(case for case in suite.cases if case.group == group)
    assert json.loads(json.dumps({"number": first.number, **drawn})) == first._asdict()


def test_given_frames_are_those_of_the_true_clip(suite):
    by_group = {case.group: case for case in suite.cases[:7]}
    true = cases.true_clip(suite, by_group["first_and_last"])
    assert cases.given_frames(by_group["held_out"], true) == {}
    both = cases.given_frames(by_group["first_and_last"], true)
    assert sorted(both) == [0, 16]
    assert (both[16] == true[16]).all()
    assert cases.given_frames(by_group["out_of_range"], true)[0].shape == (5, 64, 64, 3)


def test_another_world_is_refused(suite):
    case = suite.cases[4]
    with pytest.raises(ValueError, match="clip 4 of world_v1 is of the world .* another scene"):
        cases.true_clip(suite, case._replace(index=case.index + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buckets": [[49, 128, 128]]}, "clips of 17x64x64 .* was trained on 49x128x128"),
        ({"fps": 24.0}, "12 frames a second, the run of 24"),
    ],
)
def test_models_of_other_clips_are_refused(suite, fake, change, message):
    with pytest.raises(ValueError, match=message):
        cases.check_model(suite, fake().config, fake().metadata | change)


def test_models_of_another_slice_are_refused(suite, fake):
    config = {"data": {"source": "world", "world": {"slice": "full"}}}
    with pytest.raises(ValueError, match="slice 'tiny' of the world, .* trained on 'full'"):
        cases.check_model(suite, config, fake().metadata)


@pytest.mark.parametrize("limit", [0, 225])
def test_a_limit_beyond_the_suite_is_refused(suite, limit):
    with pytest.raises(ValueError, match=f"limit={limit} must be from 1 to 224"):
        cases.first_cases(suite, limit)
