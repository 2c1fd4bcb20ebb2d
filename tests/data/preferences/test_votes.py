"""Rows are written whole or not at all, and become preferences."""

import json
import os
import shutil

import pytest

from seedance_jax.data.preferences import answers, box, pairs, votes

ANSWERS = {"prompt_following": "first", "motion_quality": "tie", "aesthetic_quality": "second"}


def vote(votes_box, pair, voter="ann", **answers):
    answers = {**ANSWERS, **answers}
    return box.cast(votes_box, voter, pair, pair.clips, answers, 1.5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "votes" / "file.jsonl"


def test_a_row_tells_all(found, folders, path):
    with box.open_box(path, found) as opened:
        vote(opened, found[0], preservation="cannot_tell")
    (row,) = votes.read_rows(path)
    assert row["prompt"] == found[0].prompt
    assert (row["seed"], row["voter"], row["seconds"]) == (0, "ann", 1.5)
    assert (row["num_frames"], row["height"], row["width"], row["fps"]) == (9, 32, 48, 12)
    assert row["time"].endswith("+00:00")
    assert row["schema"] == votes.SCHEMA
    for file, folder in zip(row["files"], folders, strict=True):
        assert (path.parent / file["path"]).resolve() == (folder / "0000.mp4").resolve()
    assert (path.parent / row["given"][0]["path"]).resolve() == folders[0].parent / "first.png"


def test_votes_become_preferences(found, path):
    with box.open_box(path, found) as opened:
        vote(opened, found[0], preservation="cannot_tell")
        vote(opened, found[1], "bob", aesthetic_quality="cannot_tell")
    one, other = (clip.path for clip in found[0].clips)
    told = [
        (p.axis, p.winner.resolve(), p.loser.resolve(), p.tie, p.voter)
        for p in votes.read_votes(path, ties=True)
    ]
    first = tuple(clip.path for clip in found[1].clips)
    assert told == [
        ("prompt_following", one, other, False, "ann"),
        ("motion_quality", one, other, True, "ann"),
        ("aesthetic_quality", other, one, False, "ann"),
        ("prompt_following", *first, False, "bob"),
        ("motion_quality", *first, True, "bob"),
    ]
    assert [p.tie for p in votes.read_votes(path)] == [False] * 3
    assert [p.voter for p in votes.read_votes(path, unopposed=True)] == ["bob"]
    assert votes.read_votes(path)[0].given["image"].is_file()
    assert votes.read_votes(path)[-1].given == {}


def test_what_is_taken_back_does_not_count(found, path):
    with box.open_box(path, found) as opened:
        row = vote(opened, found[0], preservation="tie")
        vote(opened, found[0], "bob", preservation="tie")
        box.take_back(opened, "ann", row["id"])
        assert not votes.votes_of(opened.rows, "ann")
    assert {p.voter for p in votes.read_votes(path)} == {"bob"}
    assert len(votes.read_rows(path)) == 3


def test_a_torn_row_does_not_count_and_is_cut_off(found, path):
    with box.open_box(path, found) as opened:
        vote(opened, found[1])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    assert len(votes.read_rows(path)) == 1
    with box.open_box(path, found) as opened:
        assert len(opened.rows) == 1
        vote(opened, found[2])
    assert path.read_bytes().startswith(whole)
    assert [row["prompt"] for row in votes.read_rows(path)] == [p.prompt for p in found[1:]]


def test_a_full_disk_leaves_no_part_of_a_row(found, path, monkeypatch):
    write = os.write
    with box.open_box(path, found) as opened:
        vote(opened, found[1])
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda at, data: write(at, data[: len(data) // 2]))
            with pytest.raises(OSError, match="no room for a vote"):
                vote(opened, found[2])
        assert path.read_bytes() == before
        assert len(opened.rows) == 1


def test_rows_are_on_disk_before_they_count(found, path, monkeypatch):
    synced = []
    with box.open_box(path, found) as opened:
        monkeypatch.setattr(os, "fsync", lambda at: synced.append(path.read_bytes()))
        vote(opened, found[1])
    assert synced == [path.read_bytes()]
    assert synced[0].endswith(b"}\n")


def test_a_file_in_use_is_refused(found, path):
    with box.open_box(path, found):
        with pytest.raises(OSError, match="file.jsonl is in use by another voting page"):
            with box.open_box(path, found):
                pass
    with box.open_box(path, found):
        pass


def test_votes_on_other_clips_are_refused(found, write, tmp_path, path):
    made = [write(tmp_path / name, speed, 3) for name, speed in (("a", 1), ("b", 4))]
    others, _ = pairs.pair_folders(made)
    with box.open_box(path, others) as opened:
        row = vote(opened, others[1])
    with pytest.raises(ValueError, match="which are not clips of these folders.*another --votes"):
        with box.open_box(path, found):
            pass
    with box.open_box(path, others) as opened:  # and it is free again
        box.take_back(opened, "ann", row["id"])
    with box.open_box(path, found):  # nothing stands
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "seedance_jax.votes/0"}, "line 1 has schema='seedance_jax.votes/0', not"),
        ({"kind": "poll"}, "kind='poll' is not one of"),
        ({"answers": {"motion_quality": "left"}}, "motion_quality='left' is not one of"),
        ({"answers": None}, "answers=None"),
        ({"answers": {"sound": "tie"}}, "answers={'sound'"),
        ({"files": [1, 2]}, r"files=\[1, 2\] are not two"),
    ],
)
def test_rows_of_another_schema_are_refused(found, path, change, message):
    with box.open_box(path, found) as opened:
        row = vote(opened, found[1])
    path.write_text(json.dumps(row | change) + "\n")
    for read in (votes.read_rows, lambda path: box.open_box(path, found).__enter__()):
        with pytest.raises(ValueError, match=message):
            read(path)
    for line, told in (("[1]", "schema=None"), ("{", "not JSON")):
        path.write_text(line + "\n")
        with pytest.raises(ValueError, match=told):
            votes.read_rows(path)
    del row["prompt"]
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match="line 1 has no prompt"):
        votes.read_rows(path)


def test_clips_that_changed_or_went_are_named(write, tmp_path):
    folders = [write(tmp_path / "run" / name, speed, 1) for name, speed in (("a", 1), ("b", 2))]
    made, _ = pairs.pair_folders(folders)
    with box.open_box(tmp_path / "run" / "votes.jsonl", made) as opened:
        vote(opened, made[0])
    moved = tmp_path / "moved"  # together they may move
    shutil.move(tmp_path / "run", moved)
    preferences = votes.read_votes(moved / "votes.jsonl")
    assert [p.winner.parent.name for p in preferences] == ["a", "b"]
    (moved / "a" / "0000.mp4").write_bytes(b"other")
    with pytest.raises(ValueError, match="a/0000.mp4 is not the clip that was voted on"):
        votes.read_votes(moved / "votes.jsonl")
    (moved / "a" / "0000.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="a/0000.mp4 was voted on and does not exist"):
        votes.read_votes(moved / "votes.jsonl")
    assert len(votes.read_votes(moved / "votes.jsonl", check_files=False)) == 2


def test_every_axis_needs_a_legal_answer():
    for given in ({}, {"motion_quality": "first"}, None, {**ANSWERS, "sound": "tie"}):
        with pytest.raises(ValueError, match="answers="):
            answers.check_answers(given, ANSWERS)
    with pytest.raises(ValueError, match=r"motion_quality=\['first'\] is not one of"):
        answers.check_answers(ANSWERS | {"motion_quality": ["first"]}, ANSWERS)
