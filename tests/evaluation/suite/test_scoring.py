"""Results come one by one, and a run goes on where it stopped."""

import json

import pytest

from seedance_jax.data.video import decode_mp4
from seedance_jax.evaluation.suite import results, scoring
from seedance_jax.evaluation.voting import pairs


@pytest.fixture
def score(suite, fake, quick, tmp_path):
    """Function (folder, limit, pipeline, **settings) -> rows."""

    def run(folder="a", limit=5, pipeline=None, **settings):
        where = tmp_path / folder
        with quick():
            return scoring.score(pipeline or fake(), suite, where, limit, batch_size=2, **settings)

    return run


def test_every_clip_has_a_row_and_a_file(score, suite, tmp_path):
    rows = score()
    assert list(rows) == [0, 1, 2, 3, 4]
    assert [row["verdict"]["passed"] for row in rows.values()] == [True, False] * 2 + [True]
    for number, row in rows.items():
        case = suite.cases[number]
        assert (row["prompt"], row["seed"], row["group"]) == (case.prompt, number, case.group)
        assert row["checksum"] == suite.checksum
        frames, fps = decode_mp4(tmp_path / "a" / row["clip"])
        assert (frames.shape, fps) == ((17, 64, 64, 3), 12)


def test_given_frames_are_hashed_and_their_preservation_is_judged(score):
    rows = score()
    assert [bool(row["given"]) for row in rows.values()] == [False] * 4 + [True]
    gates = [row["verdict"]["gates"]["given_frames"] for row in rows.values()]
    assert gates == [None] * 4 + [True]


def test_batches_have_one_size_and_their_own_seeds(score, fake):
    pipeline = fake()
    score(pipeline=pipeline, seed=1000)
    assert [(len(prompts), seed) for prompts, _, seed in pipeline.batches] == [
        (2, 1000),
        (2, 1002),
        (2, 1004),
    ]


@pytest.mark.parametrize("done", [0, 1, 2, 3, 5])
def test_a_killed_run_goes_on_to_equal_results(score, fake, tmp_path, done):
    score("whole")
    whole = (tmp_path / "whole" / results.FILE).read_text()
    score("cut")
    lines = whole.splitlines(keepends=True)
    rest = '{"suite": "wor' if done < 5 else ""
    (tmp_path / "cut" / results.FILE).write_text("".join(lines[:done]) + rest)
    pipeline = fake()
    score("cut", pipeline=pipeline)
    assert (tmp_path / "cut" / results.FILE).read_text() == whole
    made = {0: [0, 2, 4], 1: [0, 2, 4], 2: [2, 4], 3: [2, 4], 5: []}
    assert [seed for _, _, seed in pipeline.batches] == made[done]


def test_a_small_suite_grows(score, fake):
    score(limit=2)
    pipeline = fake()
    assert list(score(limit=4, pipeline=pipeline)) == [0, 1, 2, 3]
    assert len(pipeline.batches) == 1


def test_results_of_others_are_refused(score, fake, tmp_path):
    score(limit=2)
    with pytest.raises(ValueError, match="has weights='other', .* has weights='fake'"):
        score(pipeline=fake(name="other"))
    with pytest.raises(ValueError, match="has settings=.*'num_inference_steps': 4.*: 30"):
        score(num_inference_steps=4)
    path = tmp_path / "a" / results.FILE
    path.write_text(path.read_text().replace('"checksum": "289c', '"checksum": "0000'))
    with pytest.raises(ValueError, match="has checksum='289c.* has checksum='0000"):
        score()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no row\n", "results.jsonl line 3 cannot be read"),
        ('{"a": 1}\n', "line 3 is no result of a suite: it lacks .*'weights'"),
        ("[]\n", "line 3 is no result of a suite"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(score, tmp_path, line, message):
    score(limit=2)
    with open(tmp_path / "a" / results.FILE, "a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=message):
        score()


def test_a_row_twice_is_refused(score, tmp_path):
    score(limit=2)
    path = tmp_path / "a" / results.FILE
    path.write_text(path.read_text() * 2)
    with pytest.raises(ValueError, match="line 3: clip 0 stands there twice"):
        score()


def test_people_can_vote_on_the_clips_of_two_runs(score, fake, number, tmp_path):
    score("a")
    score("b", pipeline=fake(lambda case: 255 - number(case), "other"))
    found, _ = pairs.pair_folders([tmp_path / "a" / "clips", tmp_path / "b" / "clips"])
    assert len(found) == 5
    assert [len(pair.given) for pair in found] == [0, 0, 0, 0, 1]


def test_two_runs_do_not_write_to_one_file(score, tmp_path):
    score(limit=2)
    with results.open_rows(tmp_path / "a"), pytest.raises(ValueError, match="another run is writ"):
        score()


def test_a_sidecar_tells_how_a_clip_is_made_again(score, tmp_path):
    score(limit=1)
    told = json.loads((tmp_path / "a" / "clips" / "0000.json").read_text())
    assert (told["seed"], told["fps"], told["file"]) == (0, 12, "0000.mp4")
