"""A suite is what its name says, and asks no model for what it was not made for."""

import collections
import importlib
import itertools
import json

import pytest

from configs.base import SIZES
from seedance_jax.data.world.vocabulary import SPLITS
from seedance_jax.evaluation.judges import calibration, trials
from seedance_jax.evaluation.suite import cases, drawing_up

CHECKSUMS = {
    "world_v1_dev": "8990e85a8c08aaf162c8161366243b067b0908e997d4e5b83b57cc493df0ba5f",
    "world_v1_test": "289c4cec9ee2d14d2e10f5c942cb71556da14866bd9c7b1f76b92b3a7a10c18f",
}


@pytest.fixture(scope="module", params=sorted(cases.SUITES))
def each(request):
    return cases.read_suite(request.param)


def test_the_checksum_is_pinned(each):
    """Another one is another suite: give it another name."""
    assert each.checksum == CHECKSUMS[each.name]
    assert len(each.cases) == 224


def test_a_changed_file_is_refused(suite, tmp_path, monkeypatch):
    text = (cases.FOLDER / "world_v1_dev.jsonl").read_text()
    (tmp_path / "world_v1_dev.jsonl").write_text(text.replace("red", "green", 1))
    monkeypatch.setattr(cases, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=f"checksum .*world_v1_dev has {suite.checksum[:16]}"):
        cases.read_suite("world_v1_dev")


def test_another_name_is_refused():
    both = r"\['world_v1_dev', 'world_v1_test'\]"
    with pytest.raises(ValueError, match=rf"suite='world_v1' is not one of {both}"):
        cases.read_suite("world_v1")


def test_what_chooses_sees_no_test_suite():
    assert cases.read_dev_suite("world_v1_dev").name == "world_v1_dev"
    refused = r"suite='world_v1_test' is for tables alone; .* one of \['world_v1_dev'\]"
    with pytest.raises(ValueError, match=refused):
        cases.read_dev_suite("world_v1_test")


def test_no_scene_is_in_two_suites():
    suites = [cases.read_suite(name).cases for name in cases.SUITES]
    for one, other in itertools.combinations(suites, 2):
        for what in (
            lambda case: (case.split, case.index),
            lambda case: json.dumps([case.scene["objects"], case.scene["numbers"]]),
        ):
            assert len({what(case) for case in one}) == len(one)
            assert not {what(case) for case in one} & {what(case) for case in other}


def test_no_scene_is_trained_on_or_known_to_the_judges(each):
    """Data sets begin at index 0; the thresholds, and the report on them, have ranges of their own.
    Groups stay within their indices, so that no suite grows into another."""
    lowest = min(case.index for case in each.cases)
    trained = [
        importlib.import_module(f"configs.{name}").get_config(size).data.world.get(split, 0)
        for name in ("vae", "pretrain")
        for size in SIZES
        for split in SPLITS
    ]
    assert max(trained) < calibration.CALIBRATION < trials.FIRST < lowest - 500_000
    first = drawing_up.FIRST_INDEX[each.name]
    assert all(
        0 <= case.index - first < len(drawing_up.GROUPS) * drawing_up.INDICES for case in each.cases
    )


def test_groups_take_turns_and_are_equally_large(each):
    names = list(drawing_up.GROUPS)
    assert [case.group for case in each.cases] == names * 32
    assert [case.number for case in each.cases] == list(range(224))


def test_cameras_move_equally_often_and_held_out_combinations_are_held_out(each):
    by_group = collections.defaultdict(list)
    for case in each.cases:
        by_group[case.group].append(case.scene)
    moves = collections.Counter(scene["camera"]["move"] for scene in by_group["camera"])
    assert set(moves.values()) == {8}
    assert all(scene["outside_training_range"] for scene in by_group["out_of_range"])
    assert {len(scene["shots"]) for scene in by_group.pop("two_shot")} == {2}
    assert {len(scene["shots"]) for group in by_group.values() for scene in group} == {1}


@pytest.mark.parametrize("group", ["in_range", "held_out", "out_of_range"])
def test_the_world_still_draws_the_suite(each, group):
    [drawn] = drawing_up.draw_group(each.name, group, count=1)
    first = next(case for case in each.cases if case.group == group)
    assert cases.read_case(json.dumps({"number": first.number, **drawn})) == first


def test_given_frames_are_those_of_the_true_clip(suite):
    by_group = {case.group: case for case in suite.cases[:7]}
    true = suite.clip(by_group["first_and_last"])
    assert cases.given_frames(by_group["held_out"], true) == {}
    both = cases.given_frames(by_group["first_and_last"], true)
    assert sorted(both) == [0, 16]
    assert (both[16] == true[16]).all()
    assert cases.given_frames(by_group["out_of_range"], true)[0].shape == (5, 64, 64, 3)


def test_another_world_is_refused(suite):
    case = suite.cases[4]
    with pytest.raises(ValueError, match=r"clip 4: the world .* shows another scene"):
        suite.clip(case._replace(index=case.index + 1))


def test_the_scene_of_another_is_of_the_same_group(suite):
    for case in suite.cases[:14]:
        others = [c for c in suite.cases if c.scene == cases.other_scene(suite, case)]
        assert [other.group for other in others] == [case.group]
        assert others[0].number != case.number
    alone = suite._replace(cases=suite.cases[:7])
    assert cases.other_scene(alone, alone.cases[0]) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buckets": [[49, 128, 128]]}, "clips of 17x64x64 .* was trained on 49x128x128"),
        ({"fps": 24.0}, "12 frames a second, the run of 24"),
    ],
)
def test_models_of_other_clips_are_refused(suite, fake, change, message):
    metadata = fake().metadata
    with pytest.raises(ValueError, match=message):
        cases.check_model(suite, fake().config, metadata | change)
    assert cases.test_suite_of(fake().config, metadata) == "world_v1_test"
    assert cases.test_suite_of(fake().config, metadata | change) is None


@pytest.mark.parametrize("source", ["world", "world:3,folder:1", "other:1"])
def test_models_of_another_slice_are_refused(suite, fake, source):
    section = {"slice": "full"}
    data = {"source": source, "world": section, "other": section | {"source": "world"}}
    with pytest.raises(ValueError, match="slice 'tiny' of the world, .* trained on 'full'"):
        cases.check_model(suite, {"data": data}, fake().metadata)
    both = data | {"source": "world,mine", "mine": {"source": "world", "slice": "tiny"}}
    cases.check_model(suite, {"data": both}, fake().metadata)


@pytest.mark.parametrize("limit", [0, 225])
def test_a_limit_beyond_the_suite_is_refused(suite, limit):
    with pytest.raises(ValueError, match=f"limit={limit} must be from 1 to 224"):
        cases.first_cases(suite, limit)
