"""Counts, intervals and agreement, against numbers known by hand or from the literature."""

import numpy as np
import pytest

from seedance_jax.evaluation import tally


def row(pair, voter, answer, swapped=False, axis="motion_quality"):
    folders = ("b", "a") if swapped else ("a", "b")
    files = [{"path": f"{folder}/{pair}.mp4", "sha256": folder} for folder in folders]
    told = {"pair": pair, "voter": voter, "files": files, "answers": {axis: answer}}
    return {"kind": "vote", "id": f"{pair} {voter}", **told}


def test_wins_are_of_the_folder_wherever_it_was_shown():
    rows = [
        row("0", "ann", "first"),
        row("1", "ann", "second", swapped=True),
        row("2", "ann", "second"),
        row("3", "ann", "tie", swapped=True),
        row("4", "ann", "cannot_tell"),
    ]
    report = tally.summarise(rows)
    assert list(report) == ["a over b"]
    found = report["a over b"]["axes"]["motion_quality"]
    assert [found[name] for name in ("wins", "ties", "losses", "cannot_tell")] == [2, 1, 1, 1]
    assert found["gsb"][0] == (2 - 1) / 4
    assert found["win_rate"][0] == pytest.approx(2 / 3)
    assert found["first_rate"][0] == pytest.approx(1 / 3)
    assert found["agreement"] is None
    assert tally.summarise(rows[::-1]) == report
    rows.append({"kind": "undo", "vote": "0 ann"})
    assert tally.summarise(rows)["a over b"]["axes"]["motion_quality"]["wins"] == 1


def test_agreement_is_krippendorffs_alpha():
    """The example of Krippendorff, Computing Krippendorff's alpha-reliability (2011), part C."""
    voters = ("123321412...", "1233224125.3", ".33323422 51.".replace(" ", ""), "12332441251.")
    units = [[int(value) for value in unit if value != "."] for unit in zip(*voters, strict=True)]
    assert tally.agreement(units) == pytest.approx(0.849, abs=5e-4)
    assert tally.agreement([[1, 1], [0, 0], [-1, -1, -1]]) == 1
    assert tally.agreement([[1, -1], [-1, 1]]) < 0
    random = np.random.default_rng(0).integers(-1, 2, (3000, 2))
    assert abs(tally.agreement(list(random))) < 0.05
    assert tally.agreement([[1], [0]]) is None
    assert tally.agreement([[1, 1], [1, 1]]) is None


def test_the_table_has_a_line_for_each_axis():
    rows = [row(str(i), voter, "first") for i in range(3) for voter in ("ann", "bob")]
    rows += [row("9", "ann", "cannot_tell", axis="preservation")]
    text = tally.format_summary(tally.summarise(rows))
    assert "a over b: 2 voters, 4 pairs, 7 votes" in text
    assert "1.00 [0.61, 1.00]" in text
    assert text.splitlines()[-1].split() == ["preservation", "0", "0", "0", "1", "-", "-", "-", "-"]
    assert tally.format_summary({}) == "no votes"
