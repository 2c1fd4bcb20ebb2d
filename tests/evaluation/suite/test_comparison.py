"""Two runs are compared clip by clip, or not at all."""

import json
import shutil

import numpy as np
import pytest

from seedance_jax.evaluation.suite import command, comparison, results, scoring


@pytest.fixture(scope="module")
def scored(bright, fake, quick, number, tmp_path_factory):
    """Folder of a run "a" whose even clips pass, and "b" whose clips all pass."""
    where = tmp_path_factory.mktemp("runs")
    better = fake(lambda case: number(case) // 2 * 2, "better")
    with quick():
        scoring.score(fake(), bright, where / "a", 7, batch_size=7)
        scoring.score(better, bright, where / "b", 7, batch_size=7)
    return where


@pytest.fixture
def two(scored, tmp_path):
    """Copies of both."""
    shutil.copytree(scored, tmp_path, dirs_exist_ok=True)
    return tmp_path / "a", tmp_path / "b"


def test_pairs_are_counted(two, tmp_path):
    found = command.compare(*two, tmp_path / "out")
    row = found["rows"]["all gates"]
    assert (row["wins"], row["ties"], row["losses"], row["clips"]) == (0, 4, 3, 7)
    assert row["p"] == pytest.approx(0.25)
    assert row["difference"][0] == pytest.approx(-3 / 7)
    assert found["rows"]["preservation"]["clips"] == 3
    assert "permanence" not in found["rows"]
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "Second wins" in page
    assert "First wins" not in page
    assert "http" not in page


def test_turned_round_it_says_the_opposite(two):
    one, other = (comparison.compare(*pair)[0]["rows"] for pair in (two, two[::-1]))
    for name, row in one.items():
        back = other[name]
        assert (row["wins"], row["losses"], row["p"]) == (back["losses"], back["wins"], back["p"])
        share, low, high = row["difference"]
        np.testing.assert_allclose((-share, -high, -low), back["difference"], atol=1e-12)


def test_newcombes_interval():
    """The first example of his paper's table of paired data, method 10."""
    assert comparison.difference(36, 12, 2, 0) == pytest.approx((0.2, 0.0569, 0.3404), abs=1e-4)
    share, low, high = comparison.difference(20, 0, 0, 20)
    assert share == 0
    assert low == -high
    assert comparison.difference(0, 7, 0, 0)[1] < 1


def test_only_clips_that_both_have_are_compared(two):
    path = two[1] / results.FILE
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    report, pairs = comparison.compare(*two)
    assert len(pairs) == report["clips"] == 5
    assert [report[name]["clips"] for name in ("first", "second")] == [7, 5]
    assert "5 clips that both have, of 7 and 5: all gates" in comparison.one_line(report)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"suite": "world_v1_dev"',
            '"suite": "world_v2"',
            "suite='world_v1_dev', .* suite='world_v2'",
        ),
        ('"checksum": "8990', '"checksum": "0000', "checksum='8990.*checksum='0000"),
        ('"settings": {"seed": 0', '"settings": {"seed": 5', "has seed=0, .* has seed=5"),
        ('"judges": "', '"judges": "x', "judges='.*judges='x"),
    ],
)
def test_what_does_not_belong_together_is_refused(two, old, new, message):
    path = two[1] / results.FILE
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        comparison.compare(*two)


def test_other_given_frames_are_refused(two):
    path = two[1] / results.FILE
    rows = [json.loads(line) for line in path.open()]
    rows[4]["given"] = "0123"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match="clip 4 of .*given=.*given='0123': they cannot"):
        comparison.compare(*two)


def test_folders_without_results_are_refused(two, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no results.jsonl"):
        comparison.compare(two[0], tmp_path / "nowhere")
    with pytest.raises(ValueError, match="cannot be compared with itself"):
        comparison.compare(two[0], tmp_path / "x" / ".." / "a")


def test_a_missing_clip_is_named(two, tmp_path):
    (two[0] / "clips" / "0001.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"0001.mp4, of clip 1, is missing"):
        command.compare(*two, tmp_path / "out")


def test_the_command_compares(two, run_command, tmp_path, capsys):
    run_command("evaluate", "--compare", *map(str, two), f"--output={tmp_path}/out")
    told = capsys.readouterr().out
    assert "7 clips: all gates 0.57 and 1.00, difference -0.43" in told
    assert "; motion_quality 0.57 and 1.00" in told
    assert (tmp_path / "out" / "comparison.html").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--compare", "a"], r"two directories of results, got \['a'\]"),
        (
            ["--compare", "a", "b", "--suite=world_v1_dev"],
            "--compare and --suite do not go together",
        ),
        (
            ["--workdir=a", "--suite=world_v1_dev", "--split=x"],
            "--split=x does nothing without a run that makes",
        ),
        (["--suite=world_v1_dev"], "give an --output"),
        (["--suite=world_v1_dev", "--limit=500", "--output=b"], "limit=500 must be from 1 to 224"),
        (["--suite=world_v1_dev", "--log=a", "--output=b"], "world_v1_dev is none"),
        (["--workdir=a", "b"], "'b' belongs to no flag"),
        ([], "--workdir is missing"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(run_command, flags, message):
    with pytest.raises(ValueError, match=message):
        run_command("evaluate", *flags)
