"""Results come one by one, and a run goes on where it stopped."""

import ast
import json
from pathlib import Path

import pytest

import seedance_jax
from seedance_jax.data.preferences import answers, ballot, pairs
from seedance_jax.data.video import decode_mp4
from seedance_jax.evaluation.judges import forms, verdict
from seedance_jax.evaluation.suite import axes, command, report, results, scoring
from seedance_jax.sampling.nonfinite import SAID, NonFiniteClip
from seedance_jax.training import cluster, run_directory
from seedance_jax.training.finiteness import NonFiniteError


@pytest.fixture
def score(bright, fake, quick, tmp_path):
    """Function (folder, limit, pipeline, **settings) -> rows."""

    def run(folder="a", limit=5, pipeline=None, **settings):
        where = tmp_path / folder
        with quick():
            return scoring.score(pipeline or fake(), bright, where, limit, batch_size=2, **settings)

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


def test_a_clip_that_is_not_finite_ends_the_run_by_its_number_and_those_before_are_kept(
    score, fake, tmp_path
):
    pipeline = fake()

    class Bad:
        """Its clip of seed 3 is the second one of its batch."""

        def __getattr__(self, name):
            return getattr(pipeline, name)

        def __call__(self, **request):
            made = pipeline(**request)
            if request["seed"] + 1 == 3:
                said = [{**own, **dict.fromkeys(SAID, 1)} for own in made.settings]
                raise NonFiniteClip(made.frames[:1], "latents are not finite after 2 of 4", said)
            return made

    with pytest.raises(NonFiniteError, match="clip 3: the latents are not finite after 2 of 4"):
        score(pipeline=Bad())
    assert list(results.read_rows(tmp_path / "a")) == [0, 1, 2]
    assert not (tmp_path / "a" / "clips" / "0003.mp4").exists()
    assert list(score()) == [0, 1, 2, 3, 4]


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


@pytest.mark.parametrize("lost", ["missing", "torn"])
def test_a_clip_that_is_lost_is_made_again(score, fake, tmp_path, capsys, lost):
    whole, path = score(), tmp_path / "a" / "clips" / "0003.mp4"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"0003.mp4, of clip 3, cannot be read: "):
        results.read_clip(tmp_path / "a", whole[3])
    if lost == "missing":
        path.unlink()
    pipeline = fake()
    assert score(pipeline=pipeline) == whole
    assert [seed for _, _, seed in pipeline.batches] == [2]
    assert "0003.mp4, of clip 3, " in capsys.readouterr().out
    assert path.read_bytes() == content
    score(pipeline=pipeline)
    assert len(pipeline.batches) == 1


def test_a_report_is_of_the_clips_that_are_asked_for_and_says_what_else_is_there(
    bright, fake, quick, tmp_path, capsys
):
    with quick():
        small = command.run(fake(), bright, tmp_path / "small", 2, batch_size=2)
        command.run(fake(), bright, tmp_path / "large", 5, batch_size=2)
        assert not capsys.readouterr().out
        (tmp_path / "large" / "clips" / "0003.mp4").unlink()  # lost, and not asked for
        assert command.run(fake(), bright, tmp_path / "large", 2, batch_size=2) == small
    kept = run_directory.read_json(tmp_path / "large", "report.json")
    assert (kept["clips"], list(results.read_rows(tmp_path / "large"))) == (2, [0, 1, 2, 4])
    assert report.which(kept) == "the first 2 of 224 clips"
    _, *told = capsys.readouterr().out.splitlines()
    assert told == [
        "2 of 2 clips were judged already",
        "2 more clips of an earlier call are kept, but do not count this time",
    ]


def test_results_of_others_are_left_as_they_are(score, fake, tmp_path):
    score(limit=2)
    path = tmp_path / "a" / results.FILE
    before = path.read_text()
    (tmp_path / "a" / "clips" / "0001.mp4").unlink()
    with pytest.raises(ValueError, match="has weights='other'"):
        score(pipeline=fake(name="other"))
    assert path.read_text() == before


def test_process_0_alone_reads_and_writes(score, fake, tmp_path, monkeypatch):
    """The others sample the same batches, whatever lies on their own disk, or fail with it."""
    score(limit=2)
    monkeypatch.setattr(cluster, "is_main", lambda: False)
    monkeypatch.setattr(cluster, "broadcast", lambda found: {"value": [0, 1]})
    pipeline = fake()
    assert score("elsewhere", pipeline=pipeline) == {}
    assert [seed for _, _, seed in pipeline.batches] == [2, 4]
    assert not (tmp_path / "elsewhere").exists()
    monkeypatch.setattr(cluster, "broadcast", lambda found: {"error": "no room"})
    with pytest.raises(ValueError, match="in process 0: no room"):
        score("elsewhere")


def imported(path):
    """Files of the package that a file imports, by the names it imports them with."""
    root, found = Path(seedance_jax.__file__).parents[1], set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("seedance_jax"):
            where = root / node.module.replace(".", "/")
            files = [where / f"{alias.name}.py" for alias in node.names]
            files.append(where.with_suffix(".py"))
            found |= {file for file in files if file.is_file()}
    return found


def test_all_that_a_verdict_depends_on_is_hashed():
    hashed = {path for path in scoring.judging_files() if path.suffix == ".py"}
    words = {Path(ballot.__file__), Path(answers.__file__)}  # names of axes
    seen, ahead = set(), {Path(verdict.__file__), Path(axes.__file__)}
    while ahead:
        seen |= ahead
        ahead = set().union(*map(imported, ahead)) - seen
    assert seen - words == hashed
    assert forms.THRESHOLDS in scoring.judging_files()


def test_a_changed_judge_is_another_judge(tmp_path, monkeypatch):
    before, changed = scoring.judges(), tmp_path / "fidelity.py"
    assert scoring.judges() == before
    changed.write_text("MOST = 1.0")
    monkeypatch.setattr(scoring.fidelity, "__file__", str(changed))
    assert scoring.judges() != before


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
    path.write_text(path.read_text().replace('"checksum": "8990', '"checksum": "0000'))
    with pytest.raises(ValueError, match="has checksum='8990.* has checksum='0000"):
        score()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no row\n", "results.jsonl line 3 is not JSON"),
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
    another = pytest.raises(ValueError, match="another run is writing to .*a/results.jsonl")
    with results.lock(tmp_path / "a"), another:
        score()
    assert len(score()) == 5


def test_a_sidecar_tells_how_a_clip_is_made_again(score, tmp_path):
    score(limit=1)
    told = json.loads((tmp_path / "a" / "clips" / "0000.json").read_text())
    assert (told["seed"], told["fps"], told["file"]) == (0, 12, "0000.mp4")
