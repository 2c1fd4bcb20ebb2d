"""Tables of scores: what they hold, that they stay as they are, and whose they are."""

import json
import re

import numpy as np
import pytest
from clips import clip_record, cut_record, world_record, write_clips

from seedance_jax.data import schema, video
from seedance_jax.data.builders import storage, world_clips
from seedance_jax.data.curation import aesthetic, dropped, motion, scores, selection, told
from seedance_jax.data.world import WorldSpec, generate

NAMES = ("motion", "aesthetic")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(directory of four clips, one of them cut, their data_dir), scored."""
    root = tmp_path_factory.mktemp("scores")
    records = [clip_record(0), clip_record(1), cut_record(2, (5, 4)), clip_record(3)]
    write_clips(root / "clips" / "a", records)
    scores.build(root / "clips" / "a", "train", NAMES, root)
    return root / "clips" / "a", root


def test_the_columns_are_those_of_the_scorers_row_for_row(built):
    directory, root = built
    source = storage.open_split(directory, "train")
    for name in NAMES:
        columns, _ = scores.open_table(directory, "train", name, root)
        assert columns.keys() == set(schema.SCORES[name])
        for number in range(4):
            row = source[number]
            frames, _ = video.decode_mp4(row["video"])
            lengths = [shot.num_frames for shot in schema.read_shots(row)]
            wanted = (
                motion.score(frames, 12.0, lengths) if name == "motion" else aesthetic.score(frames)
            )
            for column, value in wanted.items():
                assert columns[column].dtype == np.float32
                np.testing.assert_allclose(columns[column][number], value, rtol=1e-5, atol=1e-7)


def test_columns_have_one_scorer_each_and_are_not_those_of_the_clips():
    names = [column for own in schema.SCORES.values() for column in own]
    assert len({*names, *schema.TABLE}) == len(names) + len(schema.TABLE)
    assert schema.SCORES.keys() == scores.SCORERS.keys()


def test_what_is_there_is_kept_and_processes_change_nothing(built, tmp_path, monkeypatch):
    directory, root = built
    scores.build(directory, "train", NAMES, tmp_path, num_processes=2)
    for name in NAMES:
        first, second = (scores.open_table(directory, "train", name, at) for at in (root, tmp_path))
        assert first[1] == second[1]
    monkeypatch.setattr(scores, "score_row", None)
    places = scores.build(directory, "train", NAMES, root)
    assert [place.parent for place in places] == [root / "scores"] * 2


def test_scores_of_other_clips_are_not_taken(built):
    directory, root = built
    other = write_clips(directory.with_name("b"), [clip_record(9)])
    assert len(other) == 1
    with pytest.raises(ValueError, match="no scores 'motion' of split 'train' of .*b in") as error:
        scores.open_table(directory.with_name("b"), "train", "motion", root)
    assert "there are some of another clips: 'a', not 'b'" in str(error.value)
    assert "python -m seedance_jax score --config=... --split=train" in str(error.value)


def test_scores_of_the_same_place_with_other_content_are_not_taken(built, tmp_path):
    directory = tmp_path / "clips" / "a"
    write_clips(directory, [clip_record(0)])
    scores.build(directory, "train", ["motion"], tmp_path)
    storage.write_json(directory / "spec.json", {"content": "another"})
    with pytest.raises(ValueError, match="some of another content"):
        scores.open_table(directory, "train", "motion", tmp_path)


def test_scores_of_another_version_are_not_taken(built, monkeypatch):
    directory, root = built
    newer = scores.SCORERS["motion"]._replace(version=99)
    monkeypatch.setitem(scores.SCORERS, "motion", newer)
    with pytest.raises(ValueError, match="some of another version: 1, not 99"):
        scores.open_table(directory, "train", "motion", root)


def test_a_table_that_was_changed_is_refused(built, tmp_path):
    directory, _ = built
    [place] = scores.build(directory, "train", ["motion"], tmp_path)
    columns, _ = scores.open_table(directory, "train", "motion", tmp_path)
    columns["motion"][2] += 1
    np.savez(place / "scores.npz", **columns)
    with pytest.raises(ValueError, match=re.escape(f"{place} was changed")):
        scores.open_table(directory, "train", "motion", tmp_path)


def test_what_cannot_score_is_refused(built, tmp_path):
    directory, _ = built
    with pytest.raises(ValueError, match="no scorer 'reward'; legal scorers: motion, aesthetic"):
        scores.build(directory, "train", ["reward"], tmp_path)
    with pytest.raises(ValueError, match=r"known_camera needs \['camera_intrinsics'"):
        scores.build(directory, "train", ["known_camera"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_scorer_of_your_own_takes_the_place_of_another(built, tmp_path, monkeypatch):
    directory, _ = built
    columns = schema.SCORES["aesthetic"]
    flat = scores.Scorer(2, lambda frames, row: dict.fromkeys(columns, len(frames)))
    monkeypatch.setitem(scores.SCORERS, "aesthetic", flat)
    scores.build(directory, "train", ["aesthetic"], tmp_path)
    found, _ = scores.open_table(directory, "train", "aesthetic", tmp_path)
    np.testing.assert_array_equal(found["aesthetic"], 9.0)


def test_large_clips_are_scored_at_a_smaller_size(monkeypatch):
    monkeypatch.setattr(scores, "MOST", 16)
    record = clip_record(0)
    frames, _ = video.decode_mp4(record["video"], None, (16, 24))
    assert scores.score_row(record, ["aesthetic"]) == aesthetic.score(frames)


def turning():
    """The record of a clip of the world whose camera turns."""
    for index in range(20):
        record = world_clips.clip_record(("train", index), WorldSpec(9, 64, 64, 8, "plain"))
        if np.ptp(record["camera_rotation"], axis=0).max() > 0.03:
            return record
    raise AssertionError("no camera turns")


def test_known_cameras_are_those_of_the_record_at_any_size(monkeypatch):
    record = turning()
    found = scores.score_row(record, ["known_camera"])
    assert found.keys() == set(schema.SCORES["known_camera"])
    assert found["known_camera"] > 0.02
    monkeypatch.setattr(scores, "MOST", 32)
    small = scores.score_row(record, ["known_camera"])
    np.testing.assert_allclose(small["known_camera"], found["known_camera"], rtol=0.01)


@pytest.fixture(scope="module")
def told_of(tmp_path_factory):
    """(directory, data_dir) of clips of the world, whose scenes are scored; videos are no films."""
    root = tmp_path_factory.mktemp("told")
    clips = [("drop", "static", 1), ("roll", "path", 2), ("drop", "pan left", 1)]
    records = [scene_record(number, *clip) for number, clip in enumerate(clips)]
    write_clips(root / "clips" / "a", records)
    scores.build(root / "clips" / "a", "train", ["scene"], root)
    return root / "clips" / "a", root


def scene_record(number, event, move, shots):
    """A record whose scene says this, with a screen among its objects."""
    scene = {"event": event, "camera": {"move": move}, "shots": shots * [{}], "floor": "grey"}
    scene |= {"objects": [{}, {"scenery": True}], "time_of_day": "night"}
    return world_record(number) | {"scene": json.dumps(scene), "video": b"no film"}


def test_what_a_scene_tells_is_stored_as_text_and_numbers_and_nothing_is_decoded(told_of):
    columns, _ = scores.open_table(*told_of[:1], "train", "scene", told_of[1])
    assert columns.keys() == set(schema.SCORES["scene"])
    assert columns["event"].tolist() == ["drop", "roll", "drop"]
    assert columns["camera_move"].tolist() == ["static", "path", "pan left"]
    assert {*columns["floor"], *columns["time_of_day"]} == {"grey", "night"}
    for name, wanted in (("shots", [1, 2, 1]), ("objects", [1, 1, 1])):
        assert columns[name].dtype == np.float32
        assert columns[name].tolist() == wanted


def test_a_filter_reads_text_and_a_table_whose_text_was_changed_is_refused(told_of):
    directory, root = told_of
    data = {"data_dir": str(root), "filter": "event == 'drop' and not still", "labels": {}}
    data["labels"]["still"] = "camera_move == 'static'"
    chosen = selection.select(data, directory, "train")
    assert chosen.kept.tolist() == [False, False, True]
    report = dropped.make_report(dropped.judge(data, directory, "train"))
    assert report["words"]["event"] == {"drop": 2, "roll": 1}
    assert "  event          drop 2, roll 1" in dropped.format_report(report)
    with pytest.raises(ValueError, match="event is never 'fall'; .*legal: drop, roll"):
        selection.parse(data | {"filter": "event == 'fall'"})
    [place] = scores.build(directory, "train", ["scene"], root)
    columns, _ = scores.open_table(directory, "train", "scene", root)
    columns["event"][1] = "drop"
    np.savez(place / "scores.npz", **columns)
    with pytest.raises(ValueError, match="was changed: its table is"):
        selection.select(data, directory, "train")


def test_films_have_no_scene_to_tell_of(built, tmp_path):
    with pytest.raises(ValueError, match=r"the scorer scene needs \['scene'\], which .* not have"):
        scores.build(built[0], "train", ["scene"], tmp_path)


def test_words_are_those_of_every_world():
    spec = WorldSpec(9, 64, 64, 8, "full")
    for index in range(6):
        found = told.score(generate("train", index, spec))
        for column, words in told.WORDS.items():
            assert found[column] in words
    assert {*told.WORDS} <= {*schema.TEXT_SCORES}
