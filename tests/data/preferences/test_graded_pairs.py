"""Pairs of scenes of the world: the label is what was done to the clips."""

import json
import math
import shutil

import numpy as np
import pytest

from seedance_jax.data.buckets import Bucket
from seedance_jax.data.builders import graded_clips
from seedance_jax.data.preferences import dimensions, graded_pairs, mixtures
from seedance_jax.data.preferences.answers import AXES
from seedance_jax.data.preferences.comparisons import TIE, Comparisons, exchanged
from seedance_jax.data.world import vocabulary

BUCKET = Bucket(13, 32, 32, 1)


def opened(found, axes=tuple(AXES), bucket=BUCKET):
    return Comparisons("own", found, bucket, axes)


def rows_of(scenes, pair):
    return [scenes.rows[int(number)] for number in pair["clips"]]


def test_every_corruption_has_an_axis_and_those_of_tests_are_known():
    corruptions = pytest.importorskip("seedance_jax.data.world.corruptions")
    assert set(dimensions.CORRUPTIONS) == set(corruptions.CORRUPTIONS)
    assert set(dimensions.TRAINING) == set(corruptions.TRAINING)
    edits = pytest.importorskip("seedance_jax.data.world.language.edits")
    assert tuple(edits.CHANGES) == vocabulary.EDITED
    for axis, kinds in dimensions.UNCHANGED.items():
        assert not set(kinds) & set(dimensions.WORSE[axis])
        assert not set(kinds) & set(vocabulary.ACCEPTANCE)


def test_the_less_severe_clip_of_the_same_corruption_is_better(scenes):
    found = graded_pairs.severity_pairs(scenes)
    seen = set()
    for number, pair in enumerate(found.pairs):
        one, other = rows_of(scenes, pair)
        comparison = opened(found)[number]
        kind, axis = comparison.kind, comparison.dimension
        assert one["id"].split("/")[:2] == other["id"].split("/")[:2]
        assert other["corruption"] == kind
        assert one["corruption"] in ("", kind)
        assert other["severity"] > one["severity"]
        assert comparison.prompts == (one["caption"],) * 2
        worse = kind in dimensions.WORSE[axis]
        assert worse != (kind in dimensions.UNCHANGED[axis])
        assert comparison.label == (1.0 if worse else TIE)
        assert comparison.severity == pytest.approx(other["severity"] - one["severity"])
        good = [
            1.0 if not one["severity"] else math.nan,
            0.0 if other["severity"] == 1 else math.nan,
        ]
        assert np.array_equal(comparison.good, good if worse else [1, 1], equal_nan=True)
        seen.add((axis, comparison.label))
    assert {(axis, 1.0) for axis in AXES} <= seen
    assert TIE in {label for _, label in seen}


def test_clips_are_those_of_the_rows_and_differ(scenes):
    found = graded_pairs.severity_pairs(scenes, kinds=("noise",)) if has(scenes, "noise") else None
    found = found or graded_pairs.severity_pairs(scenes)
    comparisons = opened(found)
    for comparison in (comparisons[number] for number in range(0, len(comparisons), 5)):
        assert comparison.clips.shape == (2, 13, 32, 32, 3)
        assert comparison.clips.dtype == np.uint8
        assert not np.array_equal(*comparison.clips)


def has(scenes, kind):
    return kind in graded_pairs.corruptions_of(scenes.scenes)


def test_every_pair_of_levels_is_there_once(scenes):
    found = graded_pairs.severity_pairs(scenes, ties=False)
    expected = sum(
        len(levels) * (len(levels) - 1) // 2
        for scene in scenes.scenes
        for kind, levels in graded_pairs.levels_of(scene).items()
        for kinds in dimensions.WORSE.values()
        if kind in kinds
    )
    assert len(found.pairs) == len(np.unique(found.pairs)) == expected


def test_kinds_are_chosen_and_those_that_no_scene_has_are_named(scenes):
    kind = graded_pairs.corruptions_of(scenes.scenes)[0]
    comparisons = opened(graded_pairs.severity_pairs(scenes, (kind,)))
    assert {kind} == {name for _, name in comparisons.counts()}
    assert sum(comparisons.counts().values()) == len(comparisons)
    with pytest.raises(ValueError, match=r"corruptions \['stuck_fragments'\] are in no scene"):
        graded_pairs.severity_pairs(scenes, ("stuck_fragments",))
    with pytest.raises(ValueError, match="corruption='melt' is not one of"):
        graded_pairs.severity_pairs(scenes, ("melt",))


def test_scenes_to_train_on_must_not_have_what_rewards_are_tried_on(data, tmp_path):
    built = graded_clips.pairs_directory(data["data_dir"], mixtures.pair_spec(data, {}))
    copy = tmp_path / built.name
    shutil.copytree(built, copy)
    told = json.loads((copy / "scenes.json").read_text())
    told["train"][0]["variants"][1][0] = "stagnate"
    (copy / "scenes.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="'stagnate' is kept from all training data"):
        graded_pairs.open_scenes(copy, "train")
    assert graded_pairs.open_scenes(copy, "validation").scenes


def test_wrong_captions_lose_on_the_same_clip(scenes):
    found = graded_pairs.edit_pairs(scenes)
    comparisons = opened(found)
    edits = [edit for scene in scenes.scenes for edit in scene["edits"]]
    assert len(comparisons) == len(edits) > 0
    for comparison, edit in zip(comparisons, edits, strict=True):
        assert np.array_equal(*comparison.clips)
        assert comparison.prompts == (edit["true"], edit["caption"])
        assert edit["true"] != edit["caption"]
        assert (comparison.label, comparison.good) == (1.0, (1.0, 0.0))
        assert comparison.dimension == "prompt_following"
        assert comparison.kind == f"edit_{edit['attribute']}"
        assert comparison.severity == (0.5 if edit["hard"] else 1.0)
    some = opened(graded_pairs.edit_pairs(scenes, ("camera",)))
    assert {kind for _, kind in some.counts()} == {"edit_camera"}
    assert len(some) < len(comparisons)
    with pytest.raises(ValueError, match=r"attribute 'size' is not one of \['color'"):
        graded_pairs.edit_pairs(scenes, ("size",))


def test_another_dimension_is_named_with_the_legal_ones(scenes):
    found = graded_pairs.edit_pairs(scenes)
    with pytest.raises(
        ValueError, match=r"own has no pairs of \['motion_quality'\].*\['prompt_following'\]; the d"
    ):
        opened(found, ("motion_quality",))


def test_a_bucket_shows_a_whole_scene_or_none_of_it(scenes):
    found = graded_pairs.severity_pairs(scenes)
    for bucket in (Bucket(5, 32, 32, 1), Bucket(17, 32, 32, 1), Bucket(13, 48, 32, 1)):
        with pytest.raises(ValueError, match="do not fit Bucket"):
            opened(found, bucket=bucket)
    assert opened(found, bucket=Bucket(5, 16, 16, 1, stride=3))[0].clips.shape == (2, 5, 16, 16, 3)


def test_exchanging_twice_is_nothing_and_once_turns_all(scenes):
    comparison = opened(graded_pairs.edit_pairs(scenes))[0]
    other = exchanged(comparison)
    assert other.label == 0.0
    assert other.good == (0.0, 1.0)
    assert other.prompts == comparison.prompts[::-1]
    assert np.array_equal(exchanged(other).clips, comparison.clips)
    assert exchanged(other)._replace(clips=None) == comparison._replace(clips=None)
