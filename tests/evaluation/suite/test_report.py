"""What the report says, and that its page needs nothing else."""

import json
import re

import pytest

from seedance_jax.evaluation.suite import axes, command, pictures, report
from seedance_jax.evaluation.voting.summary import wilson


@pytest.fixture
def run(fake, quick, tmp_path):
    """Function (folder, pipeline, limit) -> report."""

    def run(folder="a", pipeline=None, limit=14):
        return command.run(pipeline or fake(), "world_v1", tmp_path / folder, limit, batch_size=7)

    return run


def test_every_dimension_has_an_axis_that_people_vote_on():
    assert {axes.axis(name) for name in axes.HEADING} == set(axes.AXES)


def test_shares_have_wilsons_intervals(run):
    found = run()
    assert found["passed"] == list(wilson(7, 14))
    assert (found["clips"], found["of"]) == (14, 224)
    assert {name: part["clips"] for name, part in found["groups"].items()} == dict.fromkeys(
        found["groups"], 2
    )
    assert found["groups"]["held_out"]["passed"] == list(wilson(1, 2))


def test_what_was_not_asked_does_not_count(run):
    found = run()
    assert found["dimensions"]["permanence"]["asked"] == 0
    assert found["dimensions"]["permanence"]["passed"] is None
    assert found["axes"]["preservation"]["clips"] == 6
    assert found["groups"]["held_out"]["axes"]["preservation"] is None


def test_a_clip_passes_an_axis_if_all_its_gates_are_open():
    gates = {"flicker": True, "sharpness": False, "gravity": None, "cuts": True}
    assert axes.gates_by(gates, axes.axis) == {"aesthetic_quality": False, "prompt_following": True}
    assert axes.gates_by(gates, axes.heading) == {"aesthetic quality": False, "camera": True}


def test_what_could_not_be_measured_has_not_passed():
    finding = {"value": None, "valid": False}
    verdicts = [{"gates": {"gravity": False}, "findings": {"gravity": finding}}]
    found = report.describe_dimension(verdicts, "gravity")
    assert (found["asked"], found["passed"][0], found["measured"]) == (1, 0.0, 0.0)


def test_the_report_is_on_disk_and_in_a_line(run, tmp_path):
    found = run()
    assert json.loads((tmp_path / "a" / "report.json").read_text()) == found
    line = report.one_line(found)
    assert line.startswith("world_v1: 0.50 [0.27, 0.73] of 14 clips pass; prompt_following 0.50")
    assert "\n" not in line


def test_the_page_needs_no_other_file(run, tmp_path):
    run()
    page = (tmp_path / "a" / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "http" not in page
    assert "url(" not in page
    assert page.count("data:image/webp;base64,") == 12  # 4 each of the best, worst and others


def test_best_worst_and_others_are_different_clips(run, tmp_path):
    run()
    rows = [json.loads(line) for line in (tmp_path / "a" / "results.jsonl").open()]
    found = pictures.choose(rows, 4, seed=0)
    numbers = [row["number"] for part in found.values() for row in part]
    assert len(numbers) == len(set(numbers)) == 12
    assert all(row["verdict"]["passed"] for row in found["best"])
    assert not any(row["verdict"]["passed"] for row in found["worst"])
    one = pictures.choose(rows[:1], 4, seed=0)
    assert [len(part) for part in one.values()] == [1, 0, 0]


def test_a_prompt_is_text_in_the_page(run, fake, tmp_path, suite, monkeypatch):
    case = suite.cases[0]._replace(prompt="<script>alert(1)</script>")
    changed = suite._replace(cases=[case])
    monkeypatch.setattr(command.cases, "read_suite", lambda name: changed)
    run(pipeline=fake(suite=changed), limit=1)
    assert "<script" not in (tmp_path / "a" / "report.html").read_text()
