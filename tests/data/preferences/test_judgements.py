"""What people said of pairs and of single clips becomes comparisons; what is wrong is named."""

import collections
import math

import numpy as np
import pytest

from seedance_jax.data.buckets import Bucket
from seedance_jax.data.preferences import box, judgements, verdicts
from seedance_jax.data.preferences.comparisons import Comparisons
from seedance_jax.data.video import decode_mp4

BUCKET = Bucket(9, 32, 48, 1)
ALL = ("prompt_following", "motion_quality", "aesthetic_quality")
FIRST = {"prompt_following": "first", "motion_quality": "tie", "aesthetic_quality": "second"}
SECOND = {"prompt_following": "second", "motion_quality": "tie", "aesthetic_quality": "second"}


def opened(found, axes=ALL, bucket=BUCKET):
    return Comparisons("own", found, bucket, axes)


def write_votes(path, pair, *votes):
    with box.open_box(path, [pair]) as votes_box:
        for number, (answers, turned) in enumerate(votes):
            clips = pair.clips[::-1] if turned else pair.clips
            box.cast(votes_box, f"voter {number}", pair, clips, answers, 1.0)
    return str(path)


def shown(comparison):
    """{label: frames} of a comparison, so that its order does not matter."""
    one, other = comparison.clips
    return {comparison.label: one, 1 - comparison.label: other}


def test_votes_are_comparisons_of_the_clips_that_were_voted_on(found, tmp_path):
    path = write_votes(tmp_path / "votes.jsonl", found[0], (FIRST, False))
    comparisons = opened(judgements.vote_pairs(path, "keep"))
    by_axis = {comparison.dimension: comparison for comparison in comparisons}
    frames = [decode_mp4(clip.path)[0] for clip in found[0].clips]
    assert by_axis.keys() == set(ALL)
    assert np.array_equal(shown(by_axis["prompt_following"])[1.0], frames[0])
    assert np.array_equal(shown(by_axis["aesthetic_quality"])[1.0], frames[1])
    assert by_axis["motion_quality"].label == 0.5
    for comparison in comparisons:
        assert comparison.prompts == (found[0].prompt,) * 2
        assert (comparison.kind, comparison.source) == ("vote", "own")
        assert all(map(math.isnan, comparison.good))


@pytest.mark.parametrize(("rule", "labels"), [("keep", [0, 0, 1]), ("majority", [0]), ("drop", [])])
def test_contradictory_votes_are_counted_and_the_rule_decides(found, tmp_path, rule, labels):
    # The order in which clips were shown does not matter: the first and the last vote agree.
    votes = (SECOND, False), (FIRST, False), (FIRST, True)
    path = write_votes(tmp_path / "votes.jsonl", found[0], *votes)
    made = judgements.vote_pairs(path, rule)
    comparisons = opened(made)
    ordered = sorted(str(clip.path) for clip in found[0].clips)
    first = ordered[0] == str(found[0].clips[0].path)
    told = [c.label for c in comparisons if c.dimension == "prompt_following"]
    assert sorted(told) == sorted(labels if first else [1 - label for label in labels])
    counted = collections.Counter(c.dimension for c in comparisons)
    assert counted["motion_quality"] == 3
    [note] = made.notes
    assert f"{path}: 2 of 3 judged pairs are contradictory" in note


def test_as_many_of_each_opinion_are_a_tie(found, tmp_path):
    path = write_votes(tmp_path / "votes.jsonl", found[0], (FIRST, False), (SECOND, False))
    made = opened(judgements.vote_pairs(path, "majority"), ("prompt_following",))
    assert [comparison.label for comparison in made] == [0.5]
    with pytest.raises(ValueError, match=r"contradictions='mean' is not one of \['keep'"):
        judgements.vote_pairs(path, "mean")


def test_votes_of_another_dimension_are_named(found, tmp_path):
    path = write_votes(tmp_path / "votes.jsonl", found[0], (FIRST, False))
    with pytest.raises(ValueError, match=r"votes.jsonl\) has no pairs of \['preservation'\]"):
        opened(judgements.vote_pairs(path, "keep"), ("preservation",))


def table(folder, *lines, columns="path_A,path_B,prompt,VQ,MQ,TA"):
    path = folder / "table.csv"
    path.write_text("\n".join([columns, *lines]) + "\n")
    return str(path)


def test_a_table_of_labels_is_read(folders):
    root = folders[0].parent
    line = 'secret_beta/0000.mp4,secret_alpha/0000.mp4,"A red ball, large.",A,same,'
    path = table(root, line, "secret_alpha/0001.mp4,secret_beta/0001.mp4,A cube.,,,B")
    comparisons = opened(judgements.label_pairs(path, "drop"))
    labels = {(c.dimension, c.prompts[0]): c for c in comparisons}
    beta = [decode_mp4(folders[1] / f"000{n}.mp4")[0] for n in range(2)]
    assert labels.keys() == {
        ("aesthetic_quality", "A red ball, large."),
        ("motion_quality", "A red ball, large."),
        ("prompt_following", "A cube."),
    }
    quality = labels["aesthetic_quality", "A red ball, large."]
    assert np.array_equal(shown(quality)[1.0], beta[0])
    assert np.array_equal(shown(labels["prompt_following", "A cube."])[1.0], beta[1])
    assert labels["motion_quality", "A red ball, large."].label == 0.5


@pytest.mark.parametrize(
    ("lines", "columns", "message"),
    [
        (["a.mp4,b.mp4,p,C,A,B"], "", r"table.csv, line 2: VQ='C' is not one of \['A', 'B'"),
        (["a.mp4,b.mp4,p,A"], "path_A,path_B,prompt,sound", r"no column of a dimension.*legal: \["),
        (["a.mp4,,p,A,A,A"], "", "line 2: no path_B"),
        (["a.mp4,b.mp4,p,A,A,A", "c.mp4,d.mp4"], "", "line 3: fewer cells than columns"),
        (["a.mp4,b.mp4,p,A,A,A"], "", r"(?s)2 clips cannot be compared:.*a.mp4: no such file.*b"),
    ],
)
def test_wrong_lines_of_a_table_are_named(tmp_path, lines, columns, message):
    path = table(tmp_path, *lines, columns=columns or "path_A,path_B,prompt,VQ,MQ,TA")
    with pytest.raises(ValueError, match=message):
        judgements.label_pairs(path, "keep")


def test_clips_of_two_sizes_and_damaged_ones_are_named(write, tmp_path):
    for name, frames in (("a", 9), ("b", 13)):
        write(tmp_path / name, 1.0, 1, num_frames=frames)
    path = table(tmp_path, "a/0000.mp4,b/0000.mp4,p,A,A,A")
    with pytest.raises(
        ValueError, match=r"1 pairs are of clips of two sizes:\n.*\(9 frames of 32x48\).*\(13 fr"
    ):
        judgements.label_pairs(path, "keep")
    whole = (tmp_path / "a" / "0000.mp4").read_bytes()
    (tmp_path / "b" / "0000.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="1 clips cannot be compared:\n.*b/0000.mp4: "):
        judgements.label_pairs(path, "keep")


def test_clips_that_do_not_fit_the_bucket_are_counted(write, tmp_path):
    for name, frames in (("a", 9), ("b", 9), ("c", 13), ("d", 13)):
        write(tmp_path / name, 1.0 + len(name), 1, num_frames=frames)
    lines = ("a/0000.mp4,b/0000.mp4,p,A,,", "c/0000.mp4,d/0000.mp4,p,A,,")
    made = judgements.label_pairs(table(tmp_path, *lines), "keep")
    comparisons = opened(made, bucket=Bucket(13, 32, 48, 1))
    assert len(comparisons) == 1
    assert "1 of 2 pairs are of clips that do not fit" in comparisons.notes[0]
    assert comparisons[0].clips.shape == (2, 13, 32, 48, 3)
    with pytest.raises(ValueError, match="all 2 pairs are of clips that do not fit"):
        opened(made, bucket=Bucket(17, 32, 48, 1))


@pytest.fixture
def verdict_table(folders):
    rows = [(folder, n, folder == folders[0] or n == 2) for folder in folders for n in range(3)]
    lines = [
        f"{folder.name}/000{n}.mp4,prompt {folder.name} {n},{good:d}" for folder, n, good in rows
    ]
    return table(folders[0].parent, *lines, columns="path,prompt,motion_quality")


def test_what_passes_beats_what_fails_across_prompts(verdict_table):
    made = verdicts.pass_fail_pairs(verdict_table, per_clip=2, seed=3)
    comparisons = opened(made)
    wins, ties = [], []
    for comparison in comparisons:
        (wins if comparison.label == 1.0 else ties).append(comparison)
        assert comparison.dimension == "motion_quality"
    assert len(wins) == 4  # two that fail, each with two that pass
    for comparison in wins:
        assert comparison.good == (1.0, 0.0)
        assert "alpha" in comparison.prompts[0] or comparison.prompts[0].endswith("2")
        assert comparison.prompts[1] in ("prompt secret_beta 0", "prompt secret_beta 1")
    assert ties
    for comparison in ties:
        assert (comparison.label, comparison.good) == (0.5, (1.0, 1.0))
        assert not np.array_equal(*comparison.clips)
    again = verdicts.pass_fail_pairs(verdict_table, per_clip=2, seed=3)
    assert np.array_equal(again.pairs, made.pairs, equal_nan=False)
    others = [verdicts.pass_fail_pairs(verdict_table, 1, seed).pairs for seed in range(8)]
    assert any(not np.array_equal(others[0], other) for other in others)


def test_clips_of_other_sizes_are_not_compared(verdict_table, write, tmp_path):
    for name, frames in (("a", 9), ("b", 9), ("c", 13)):
        write(tmp_path / name, 1.0, 1, num_frames=frames)
    lines = ("a/0000.mp4,p,1", "b/0000.mp4,q,0", "c/0000.mp4,r,0")
    path = table(tmp_path, *lines, columns="path,prompt,MQ")
    made = verdicts.pass_fail_pairs(path)
    assert len(made.pairs) == 1
    assert "1 of 3 clips have no other of their size" in made.notes[0]
    path = table(tmp_path, *lines[1:], columns="path,prompt,MQ")
    with pytest.raises(ValueError, match="2 verdicts, and no two clips of one size to compare"):
        verdicts.pass_fail_pairs(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.mp4,p,yes"], r"MQ='yes' is not one of \['1', '0'\]"),
        (["a.mp4,p,1", "a.mp4,p,0"], "line 3: .*a.mp4 passes and fails at motion_quality"),
        (["a.mp4,p,1"], "a.mp4: no such file"),
    ],
)
def test_wrong_verdicts_are_named(tmp_path, lines, message):
    path = table(tmp_path, *lines, columns="path,prompt,MQ")
    with pytest.raises(ValueError, match=message):
        verdicts.pass_fail_pairs(path)
