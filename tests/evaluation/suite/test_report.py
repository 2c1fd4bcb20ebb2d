"""What the report says, and that its page needs nothing else."""

import json
import re

import pytest

from seedance_jax.evaluation.metrics.intervals import wilson
from seedance_jax.evaluation.suite import axes, command, page, pictures, report


@pytest.fixture(scope="module")
def folder(bright, fake, quick, tmp_path_factory):
    """Results of two clips of each group, of which every other one passes."""
    where = tmp_path_factory.mktemp("report")
    with quick():
        command.run(fake(), bright, where, 14, batch_size=7)
    return where


@pytest.fixture
def found(folder):
    """The report of it."""
    return json.loads((folder / "report.json").read_text())


@pytest.fixture
def rows(folder):
    """The rows of it."""
    return [json.loads(line) for line in (folder / "results.jsonl").open()]


def test_every_gate_has_an_axis_that_people_vote_on():
    assert {axes.axis(name) for name in axes.HEADINGS} == set(axes.AXES)


def test_shares_have_wilsons_intervals(found):
    assert found["passed"] == list(wilson(7, 14))
    assert (found["clips"], found["of"]) == (14, 224)
    assert {name: part["clips"] for name, part in found["groups"].items()} == dict.fromkeys(
        found["groups"], 2
    )
    assert found["groups"]["held_out"]["passed"] == list(wilson(1, 2))


def test_what_was_not_asked_does_not_count(found):
    assert found["gates"]["permanence"]["clips"] == 0
    assert found["gates"]["permanence"]["passed"] is None
    assert found["axes"]["preservation"]["clips"] == 6
    assert found["groups"]["held_out"]["axes"]["preservation"] is None


def test_true_clips_stand_beside_them_as_they_are_and_through_the_autoencoder(found, folder):
    true, coded = found["reference"]["true"], found["reference"]["autoencoder"]
    assert true["passed"] == list(wilson(7, 14)) == coded["passed"]
    assert true["axes"]["motion_quality"] == true["passed"]
    assert true["gates"]["permanence"] is None
    first = json.loads((folder / "results.jsonl").open().readline())["reference"]
    assert (first["true"]["gravity"], first["autoencoder"]["gravity"]) == (True, False)


def test_a_clip_passes_an_axis_if_all_its_gates_are_open():
    gates = {"flicker": True, "sharpness": False, "gravity": None, "cuts": True}
    assert axes.gates_by(gates, axes.axis) == {"aesthetic_quality": False, "prompt_following": True}
    assert axes.gates_by(gates, axes.heading) == {"aesthetic quality": False, "camera": True}


def test_what_could_not_be_measured_has_not_passed():
    finding = {"value": None, "valid": False}
    verdicts = [{"gates": {"gravity": False}, "findings": {"gravity": finding}}]
    found = report.describe_gate(verdicts, "gravity")
    assert (found["clips"], found["passed"][0], found["measured"]) == (1, 0.0, 0.0)


def test_the_report_is_on_disk_and_in_a_line(suite, found, rows):
    assert report.summarize(suite, dict(enumerate(rows))) == found
    line = report.one_line(found)
    assert line.startswith(
        "world_v1_dev: 0.50 [0.27, 0.73] of the first 14 of 224 clips pass; prompt_following 0.50"
    )
    assert line.endswith("; true clips 0.50, through its autoencoder 0.50, by chance 0.50")
    assert "\n" not in line


def test_the_page_needs_no_other_file(folder):
    text = (folder / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "http" not in text
    assert "url(" not in text
    assert text.count("data:image/webp;base64,") == 12  # 4 each of the best, worst and others


def test_best_worst_and_others_are_different_clips(rows):
    found = pictures.choose(rows, 4, seed=0)
    numbers = [row["number"] for part in found.values() for row in part]
    assert len(numbers) == len(set(numbers)) == 12
    assert all(row["verdict"]["passed"] for row in found["best"])
    assert not any(row["verdict"]["passed"] for row in found["worst"])
    one = pictures.choose(rows[:1], 4, seed=0)
    assert [len(part) for part in one.values()] == [1, 0, 0]


def test_a_prompt_is_text_in_the_page(rows):
    shown = page.figure("", rows[0] | {"prompt": "<script>alert(1)</script>"})
    assert "<script" not in shown
