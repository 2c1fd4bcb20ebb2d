"""The table: rows are run in turns, by processes of this checkout and of another one."""

import inspect
import io
import json
import subprocess

import pytest

from seedance_jax.performance.timed import subjects, table, turns


def test_all_rows_are_of_subjects_and_may_be_told_apart():
    rows = table.all_rows()
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        inspect.signature(subjects.SUBJECTS[row.subject]).bind("ours", **row.settings)
        assert json.loads(json.dumps(row.settings)) == row.settings


def test_rows_are_chosen_by_name():
    rows = table.choose(table.all_rows(), "^DiT forward,")
    assert [row.settings["tokens"] for row in rows] == list(table.LENGTHS)
    with pytest.raises(ValueError, match="rows=nothing"):
        table.choose(rows, "nothing")


def test_runs_go_back_and_forth():
    calls = []
    runners = {name: lambda name=name: calls.append(name) or 1.0 for name in "ab"}
    assert turns.rounds(runners, 3) == {"a": [1.0] * 3, "b": [1.0] * 3}
    assert "".join(calls) == "abbaab"


def test_rounds_end_at_the_limit_but_not_before_there_are_some():
    assert turns.rounds({"a": lambda: 1.0}, 9, limit=0) == {"a": [1.0] * turns.LEAST}
    assert turns.rounds({"a": lambda: 1.0}, 1, limit=0) == {"a": [1.0]}


@pytest.mark.parametrize(
    ("subject", "config", "batch"),
    [
        ("train", "pretrain:smoke", 8),
        ("sample", "pretrain:smoke", 1),
        ("train_autoencoder", "vae:smoke", 8),
    ],
)
def test_a_step_runs_again_and_again(subject, config, batch):
    run = subjects.SUBJECTS[subject]("ours", config, {"seed": 1}, (17, 64, 64), batch)
    assert [run(), run()] == [None, None]


def test_the_autoencoder_runs():
    for what in ("encode", "decode"):
        (chunk,) = subjects.autoencoder("ours", what, (1, 16, 16), 2, 2, 1)()
        assert chunk.shape == {"encode": (1, 1, 1, 1, 48), "decode": (1, 1, 16, 16, 3)}[what]


@pytest.mark.parametrize("job", ["world", "encode", "judge"])
def test_a_job_makes_something_of_every_clip(job):
    run = subjects.SUBJECTS[job]("ours", (17, 64, 64), "tiny", 4)
    assert [len(run()), len(run())] == [4, 4]


def test_a_row_of_clips_tells_how_many_a_second():
    (row,) = table.job_rows({"world": 16}, {"tiny": (17, 64, 64)})
    assert table.report(row, {"ours": [2.0, 4.0, 8.0]})["clips/s"] == {"ours": 4.0}


def test_a_process_answers_every_line(monkeypatch):
    made = []

    def subject(who, size):
        return lambda: made.append(size)

    monkeypatch.setitem(subjects.SUBJECTS, "dit", subject)
    asked = [{}, {"prepare": "dit", "who": "ours", "size": 3}, {"run": 1}, {"prepare": "no"}]
    answers = io.StringIO()
    subjects.serve(map(json.dumps, asked), answers)
    hello, prepared, ran, failed = map(json.loads, answers.getvalue().splitlines())
    assert hello["checkout"] == str(table.HERE)
    assert made == [3, 3]
    assert set(prepared) == set(ran) == {"seconds"}
    assert "KeyError: 'no'" in failed["error"]


def test_the_command_compares_with_a_checkout_and_with_a_file(run_command, capsys, tmp_path):
    flags = "--what=dit --tokens=1024 --pass=forward --dit_width=64 --layers=2 --nopeer".split()
    file = tmp_path / "new" / "reports.json"
    run_command("benchmark", *flags, "--repeats=2", f"--against={table.HERE}", f"--json={file}")
    found = json.loads(file.read_text())
    assert found["row"] == "DiT forward, 1,024 tokens"
    said = (
        "DiT forward, 1,024 tokens: ours {} s; before {} s; before / ours {} ({} to {}, at 67%)\n"
    )
    medians = [found["seconds"][who]["median"] for who in ("ours", "before")]
    ratio = found["speed-up"]["before / ours"]
    numbers = *medians, *(ratio[name] for name in ("ratio", "low", "high"))
    assert capsys.readouterr().out == said.format(*numbers)
    assert {who: len(one["runs"]) for who, one in found["seconds"].items()} == {
        "ours": 2,
        "before": 2,
    }
    assert found["speed-up"]["before / ours"]["low"] > 0
    assert len(found["versions"]["commits"]) == 2
    assert set(found["forward GFLOP"]) == {"ours"}

    run_command("benchmark", *flags, "--repeats=1", f"--against={file}")
    assert "; earlier / now, ours " in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"cannot be compared.*\n.*text_tokens: 64 -> 8"):
        run_command("benchmark", *flags, "--text_tokens=8", f"--against={file}")


@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    found, start = [], subprocess.Popen

    def note(*args, **kwargs):
        found.append(start(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(turns.subprocess, "Popen", note)
    return found


def test_what_cannot_be_compared_is_said_before_anything_runs(monkeypatch):
    rows = table.all_rows()
    with pytest.raises(ValueError, match=r"rows=\( is no regular expression"):
        table.choose(rows, "(")
    with pytest.raises(ValueError, match="against=nowhere is neither a file"):
        next(table.measure(rows, 1, 1, against="nowhere"))
    monkeypatch.setattr(table.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"diffusers is not installed: .*parity.*--nopeer"):
        next(table.measure(rows, 1, 1))


def test_a_folder_without_the_package_is_refused(tmp_path, started):
    with pytest.raises(ValueError, match="is no checkout of this repository"):
        turns.Process(tmp_path)
    assert [process.poll() for process in started] == [0]


def test_no_process_outlives_an_error_of_its_start(monkeypatch, started):
    monkeypatch.setattr(turns.Process, "ask", lambda self: {}["device"])
    with pytest.raises(KeyError):
        turns.Process(table.HERE)
    assert [process.poll() for process in started] == [0]


def test_a_process_that_was_killed_is_named(started):
    with turns.Process(table.HERE) as process:
        started[0].kill()
        started[0].wait()
        with pytest.raises(RuntimeError, match=f"the process of {process.checkout} ended: -9"):
            process.run()
