"""The file of reviews, and the table that filters read of it."""

import json

import numpy as np
import pytest
from clips import clip_record, write_clips

from seedance_jax.data.builders import storage
from seedance_jax.data.curation import reviews, scores, selection

OF = {"clips": "a", "content": "c", "split": "train"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reviews.jsonl"


def decide(file, reviewer, row, decision="keep", label="", of=OF):
    return reviews.decide(
        file, reviewer, of, row, clip=f"clip/{row}", decision=decision, label=label
    )


def test_the_last_decision_that_stands_counts_whoever_made_it(path):
    with reviews.open_file(path) as file:
        decide(file, "ann", 0)
        decide(file, "bob", 0, "drop")
        decide(file, "ann", 2, label="  a  fall ")
        decide(file, "ann", 1, "drop", of=OF | {"split": "validation"})
        found = reviews.columns(reviews.latest(file.rows, OF), 4)
        np.testing.assert_array_equal(found["kept"], np.float32([0, np.nan, 1, np.nan]))
        assert found["label"].tolist() == ["", "", "a fall", ""]
        assert reviews.take_back(file, "bob", OF)["row"] == 0
        assert reviews.take_back(file, "bob", OF) is None
        decide(file, "bob", 3)
        assert reviews.take_back(file, "ann", OF)["row"] == 2  # not that of another data set
    found = reviews.columns(reviews.latest(reviews.read_rows(path), OF), 4)
    np.testing.assert_array_equal(found["kept"], np.float32([1, np.nan, np.nan, 1]))
    assert len(reviews.read_rows(path)) == 7  # nothing is ever removed


def test_the_name_of_a_table_tells_what_was_decided_and_not_by_whom_or_when(tmp_path):
    names = []
    for number, steps in enumerate(
        ([("ann", 0), ("ann", 1, "drop")], [("bob", 1, "drop"), ("bob", 0)], [("bob", 1), ("b", 0)])
    ):
        with reviews.open_file(tmp_path / str(number)) as file:
            for step in steps:
                decide(file, *step)
            names.append(reviews.fingerprint(file.rows))
    assert names[0] == names[1] != names[2]


def test_a_torn_row_does_not_count_and_is_cut_off(path):
    with reviews.open_file(path) as file:
        decide(file, "ann", 0)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    assert len(reviews.read_rows(path)) == 1
    with reviews.open_file(path) as file:
        decide(file, "ann", 1)
    assert path.read_bytes().startswith(whole)
    assert [row["row"] for row in reviews.read_rows(path)] == [0, 1]


def test_a_file_in_use_is_refused(path):
    with reviews.open_file(path):
        with pytest.raises(OSError, match="reviews.jsonl is in use by another page of reviews"):
            with reviews.open_file(path):
                pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "seedance_jax.votes/1"}, "line 1 has schema='seedance_jax.votes/1', not"),
        ({"kind": "vote"}, "kind='vote' is not one of"),
        ({"decision": "maybe"}, "decision='maybe' is not one of"),
        ({"row": ...}, "line 1 has no row"),
    ],
)
def test_rows_of_something_else_are_refused(path, change, message):
    with reviews.open_file(path) as file:
        row = decide(file, "ann", 0) | change
    row = {name: value for name, value in row.items() if value is not ...}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=message):
        reviews.read_rows(path)


@pytest.mark.parametrize("label", ["x" * 41, "a\x00b", 3, None])
def test_what_is_no_label_is_refused(path, label):
    with reviews.open_file(path) as file:
        with pytest.raises(ValueError, match="must be text of at most 40 letters"):
            decide(file, "ann", 0, label=label)
        assert not file.rows


def test_a_filter_reads_the_table_that_the_config_names_and_no_later_decision(path, tmp_path):
    directory = tmp_path / "clips" / "a"
    write_clips(directory, [clip_record(number) for number in range(4)])
    of = storage.describe_clips(directory, "train")
    with reviews.open_file(path) as file:
        decide(file, "ann", 0, "drop", of=of)
        decide(file, "ann", 1, label="fall", of=of)
        decide(file, "ann", 2, label="roll", of=of)
    [place], name = reviews.build([directory], "train", path, tmp_path)
    data = {"data_dir": str(tmp_path), "reviews": name}

    def kept(text, **changes):
        return selection.select(data | {"filter": text} | changes, directory, "train").kept.tolist()

    assert kept("kept == 1") == [False, True, True, False]
    assert kept("not kept == 0") == [False, True, True, True]
    assert kept("label in ('fall', 'roll') and label != 'roll'") == [False, True, False, False]
    with reviews.open_file(path) as file:
        decide(file, "bob", 3, label="spin", of=of)
    assert kept("kept == 1") == [False, True, True, False]
    with pytest.raises(ValueError, match="label is never 'spin'; legal: fall, roll"):
        kept("label == 'spin'")
    [later], other = reviews.build([directory], "train", path, tmp_path)
    assert (later != place, other != name) == (True, True)
    assert kept("label == 'spin'", reviews=other) == [False, False, False, True]
    with pytest.raises(ValueError, match=r"data.reviews is not set, .* `score --reviews=FILE`"):
        kept("kept == 1", reviews="")
    with pytest.raises(ValueError, match=r"(?s)some of another reviews.*score .* --reviews=FILE"):
        kept("kept == 1", reviews="0" * 16)
    assert scores.open_table(directory, "train", "review", tmp_path, name)[0].keys() == {
        "kept",
        "label",
    }


def test_reviews_of_other_clips_make_no_table(path, tmp_path):
    directory = tmp_path / "clips" / "a"
    write_clips(directory, [clip_record(0)])
    with reviews.open_file(path) as file:
        decide(file, "ann", 0)
    with pytest.raises(ValueError, match="has no decision on a clip of .*a, train"):
        reviews.build([directory], "train", path, tmp_path)


def test_reviews_of_one_of_several_data_sets_make_tables_for_all(path, tmp_path):
    directories = [tmp_path / "clips" / name for name in "ab"]
    for number, directory in enumerate(directories):
        write_clips(directory, [clip_record(number), clip_record(number + 2)])
    with reviews.open_file(path) as file:
        decide(file, "ann", 1, of=storage.describe_clips(directories[1], "train"))
    _, name = reviews.build(directories, "train", path, tmp_path)
    data = {"data_dir": str(tmp_path), "reviews": name, "filter": "not kept == 1"}
    kept = [selection.select(data, directory, "train").kept for directory in directories]
    np.testing.assert_array_equal(kept, [[True, True], [True, False]])
