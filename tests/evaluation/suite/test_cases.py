"""A suite is what its name says, and asks no model for what it was not made for."""

import collections
import importlib
import itertools
import json
import re

import pytest

from configs.base import SIZES
from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.vocabulary import SPLITS
from seedance_jax.evaluation.judges import calibration, trials
from seedance_jax.evaluation.suite import cases, drawing_up

CHECKSUMS = {
    "world_v1_dev": "8990e85a8c08aaf162c8161366243b067b0908e997d4e5b83b57cc493df0ba5f",
    "world_v1_test": "289c4cec9ee2d14d2e10f5c942cb71556da14866bd9c7b1f76b92b3a7a10c18f",
    "world_v2_dev": "46a0e83cbfa1af97cf8f11c872955a9465dc359d7a713eab2e1bf12ca14af7ec",
    "world_v2_image_dev": "25d1a8a30e20fcae99cdc0fe6d28e7f879e4e80f08eb56ab577fa8320473e97d",
    "world_v2_image_test": "ef82bfaafa88e1db58ace1490a918c9b78a7f8c14c48d7fee3371da04cb41e7c",
    "world_v2_long_dev": "3baac2649b33e900183eb69134889b2230c17950978c9626522ff5d81da12811",
    "world_v2_long_test": "2c24206150acdea8e4550a0afd1ad43e3b865c8d3433ddabd8e4157b91d8cfc3",
    "world_v2_plain_dev": "2ab9a25d1da8b312a59b0b06b0420567b78a80cde35cba1481dc50ac116d0894",
    "world_v2_plain_image_dev": "b47af6bd33674aa7ff8c0680abb6a061f8a1e813ab7a0f8410b73a823aa4d28c",
    "world_v2_plain_image_test": "29f49613e059f46a789275bb59e21665dbe687580c4b268a82cc8efe19af32b9",
    "world_v2_plain_test": "3abbac18b5ee9b44f1547ea244cd955ee63e0070fb1a5a711b4f1cf7d9aeebf3",
    "world_v2_test": "644e4977fb14381bd57bd40807e4bf88f92e9d04b0c10277e962794b378b1854",
}
# The same scenes in other forms: tests/evaluation/suite/test_same_scenes.py.
OTHER_FORMS = [
    f"world_v2_plain_{form}_{kind}"
    for form in ("6fps", "low", "low_image")
    for kind in ("dev", "test")
]
NAMES = sorted([*CHECKSUMS, *OTHER_FORMS])
# Cases of each suite, and groups.
SIZES_OF = {
    "world_v1": (224, 7),
    "world_v2": (256, 8),
    "world_v2_image": (64, 2),
    "world_v2_long": (32, 2),
    "world_v2_plain": (256, 8),
    "world_v2_plain_image": (64, 2),
}


def family(suite):
    """The name of a suite without _dev or _test."""
    return suite.name.rpartition("_")[0]


@pytest.fixture(scope="module", params=sorted(CHECKSUMS))
def each(request):
    return cases.read_suite(request.param)


def test_the_checksum_is_pinned_and_suites_come_twice(each):
    """Another one is another suite: give it another name."""
    assert {f"{family(each)}_{kind}" for kind in ("dev", "test")} <= set(cases.SUITES)
    assert each.checksum == CHECKSUMS[each.name]
    assert len(each.cases) == SIZES_OF[family(each)][0]


def test_a_changed_file_is_refused(suite, tmp_path, monkeypatch):
    text = (cases.FOLDER / "world_v1_dev.jsonl").read_text()
    (tmp_path / "world_v1_dev.jsonl").write_text(text.replace("red", "green", 1))
    monkeypatch.setattr(cases, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=f"checksum .*world_v1_dev has {suite.checksum[:16]}"):
        cases.read_suite("world_v1_dev")


def test_another_name_is_refused():
    known = re.escape(f"suite='world_v1' is not one of {NAMES}")
    with pytest.raises(ValueError, match=known):
        cases.read_suite("world_v1")


def test_what_chooses_sees_no_test_suite():
    assert cases.read_dev_suite("world_v1_dev").name == "world_v1_dev"
    dev = re.escape(str([name for name in NAMES if name.endswith("_dev")]))
    refused = rf"suite='world_v1_test' is for tables alone; .* one of {dev}"
    with pytest.raises(ValueError, match=refused):
        cases.read_dev_suite("world_v1_test")


def test_no_scene_is_in_two_suites():
    suites = [cases.read_suite(name).cases for name in CHECKSUMS]
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
    first, groups = drawing_up.FIRST_INDEX[each.name], SIZES_OF[family(each)][1]
    assert all(0 <= case.index - first < groups * drawing_up.INDICES for case in each.cases)
    firsts = sorted(drawing_up.FIRST_INDEX.values())
    assert min(b - a for a, b in itertools.pairwise(firsts)) > 8 * drawing_up.INDICES


def test_groups_take_turns_and_are_equally_large(each):
    names, count = list(drawing_up.plan_of(each.name)[0]), len(each.cases)
    assert [case.group for case in each.cases] == names * (count // len(names))
    assert [case.number for case in each.cases] == list(range(count))


def scenes_by_group(suite):
    found = collections.defaultdict(list)
    for case in suite.cases:
        found[case.group].append(case.scene)
    return found


def even(kinds):
    """Whether kinds come equally often, as far as that goes, and more than two do."""
    counts = collections.Counter(kinds).values()
    return len(counts) > 2 and max(counts) - min(counts) <= 1


def test_kinds_come_equally_often_and_held_out_things_are_held_out(each):
    by_group = scenes_by_group(each)
    if family(each) == "world_v1":
        moves = collections.Counter(scene["camera"]["move"] for scene in by_group["camera"])
        assert set(moves.values()) == {8}
    if "camera" in by_group:
        assert even(scene["camera"]["move"] for scene in by_group["camera"])
        assert all(scene["outside_training_range"] for scene in by_group["out_of_range"])
        assert {len(scene["shots"]) for scene in by_group.pop("two_shot")} == {2}
    if "camera_path" in by_group:
        kinds = [scene["camera"]["kind"] for scene in by_group["camera_path"]]
        assert {*kinds} == {"together", "sequence", "back"}
        assert even(kinds)
    if "plain" in each.name and "image" not in each.name:
        assert even(scene["event"] for scene in by_group["in_range"])
    assert {len(scene["shots"]) for group in by_group.values() for scene in group} == {1}
    for scene in by_group["held_out"]:
        looks = [(body["shape"], body["color"]) for body in scene["objects"]]
        assert any(shape in vocabulary.HELD_OUT[color] for shape, color in looks)


def test_scenes_are_those_of_the_form(each):
    for case in each.cases:
        assert (case.scene["slice"], case.scene["version"]) == each.form[-2:]
        assert sum(shot["num_frames"] for shot in case.scene["shots"]) == each.form.num_frames
        assert all(0 <= k < each.form.num_frames for run in case.given for k in run)


@pytest.mark.parametrize("group", ["in_range", "held_out", "out_of_range", "episodes"])
def test_the_world_still_draws_the_suite(each, group):
    if group not in drawing_up.plan_of(each.name)[0]:
        return
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
    trained = "slice tiny of the world 1.3.0, .* trained on full of 1.3.0"
    with pytest.raises(ValueError, match=trained):
        cases.check_model(suite, {"data": data}, fake().metadata)
    both = data | {"source": "world,mine", "mine": {"source": "world", "slice": "tiny"}}
    cases.check_model(suite, {"data": both}, fake().metadata)


@pytest.mark.parametrize("limit", [0, 225])
def test_a_limit_beyond_the_suite_is_refused(suite, limit):
    with pytest.raises(ValueError, match=f"limit={limit} must be from 1 to 224"):
        cases.first_cases(suite, limit)


@pytest.mark.parametrize(("version", "chosen"), [("1.3.0", "v1"), ("2.0.0", "v2")])
def test_a_model_of_a_later_world_takes_older_suites_but_not_the_other_way_round(
    fake, version, chosen
):
    config = {"data": {"source": "world", "world": {"slice": "tiny", "version": version}}}
    metadata = fake().metadata
    assert cases.test_suite_of(config, metadata) == f"world_{chosen}_test"
    cases.check_model(cases.read_suite("world_v1_dev"), config, metadata)
    newer = cases.read_suite("world_v2_dev")
    if version == "2.0.0":
        cases.check_model(newer, config, metadata)
        return
    with pytest.raises(
        ValueError, match="of the world 2.0.0, the run was trained on tiny of 1.3.0"
    ):
        cases.check_model(newer, config, metadata)


def test_a_form_that_the_judges_do_not_know_is_refused_first(suite, fake):
    other = suite._replace(form=suite.form._replace(num_frames=21))
    with pytest.raises(ValueError, match="no thresholds for clips of tiny 1.3.0, 21x64x64"):
        cases.check_model(other, fake().config, fake().metadata)
