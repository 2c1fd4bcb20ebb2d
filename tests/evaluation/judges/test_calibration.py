import dataclasses
import json

import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.evaluation.judges import calibration, forms, trials, true_clips, verdict
from seedance_jax.evaluation.judges.forms import Form

FORM = Form(17, 64, 64, 12, "tiny", "1.3.0")
BOUNDS = {"gravity": [0.0, 2.0], "dynamics": {"any": [1.0, 9.0], "drop": [2.0, 8.0]}}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A file of thresholds of one form."""
    monkeypatch.setattr(forms, "THRESHOLDS", tmp_path / "thresholds.json")
    monkeypatch.setattr(forms, "REPORTS", tmp_path / "reports.json")
    forms.THRESHOLDS.write_text(json.dumps({str(FORM): {"clips": 9, "bounds": BOUNDS}}))
    forms.REPORTS.write_text("{}")
    return forms.THRESHOLDS


def test_thresholds_of_a_form_are_written_alone(stored):
    other = FORM._replace(fps=24.0)
    forms.write_thresholds(other, clips=3, bounds={}, report={"true": {}})
    assert forms.find_bounds(FORM) == BOUNDS
    assert json.loads(forms.REPORTS.read_text()) == {str(other): {"true": {}}}
    assert forms.find_bounds(other._replace(fps=24)) == {}


@pytest.mark.parametrize(
    "change",
    [{"num_frames": 25}, {"height": 128}, {"fps": 8}, {"slice": "plain"}, {"version": "2.0.0"}],
)
def test_another_form_is_refused_with_the_command_that_measures_it(stored, change):
    other = FORM._replace(**change)
    with pytest.raises(ValueError, match="no thresholds") as caught:
        forms.find_bounds(other)
    [(name, value)] = change.items()
    assert f"--{name}={value}" in str(caught.value)
    assert str(FORM) in str(caught.value)


def test_a_clip_of_another_form_is_not_judged(records):
    scene = expected_scene(records[0])
    with pytest.raises(
        ValueError, match="no thresholds for clips of tiny 1.3.0, 17x64x64 at 13 fps"
    ):
        verdict.judge_clip(records[0]["frames"], 13, scene)


def test_every_form_of_the_package_makes_clips():
    for name, part in forms.read_thresholds().items():
        place, size = name.split(", ")
        own, version = place.split()
        sides, fps = size.removesuffix(" fps").split(" at ")
        spec = WorldSpec(*map(int, sides.split("x")), int(fps), own, version=version)
        assert str(Form(*dataclasses.astuple(spec)[:6])) == name
        assert bool(part["bounds"]["dynamics"]) != spec.is_still


def test_a_report_counts_true_and_wrong_clips():
    bounds = forms.find_bounds(FORM)
    found = trials.report(FORM, bounds, 10, 1, (0.5, 1.0))
    assert found["true"]["clips"] == 10
    assert found["true"]["passed"] >= 8
    for name in ("blur", "wrong_pan", "freeze"):
        part = found["corruptions"][name]
        assert part["clips"] == 1
        assert part["passed"] == 0
        assert list(part["passing"]) == ["0", "0.5", "1"]
    assert "| true | 10 | " in trials.table(found)
    assert f"| clips | {FORM} |" in trials.overview({str(FORM): found})


def test_half_of_the_clips_fail_between_two_severities():
    assert trials.halfway({0.0: 1.0, 0.5: 1.0, 1.0: 0.0}) == pytest.approx(0.75)
    assert trials.halfway({0.0: 0.9, 0.2: 0.4, 1.0: 0.0}) == pytest.approx(0.16)
    assert trials.halfway({0.0: 0.9, 1.0: 0.6}) is None
    assert trials.halfway({0.0: 0.4, 1.0: 0.0}) == 0.0


@pytest.mark.parametrize("severities", [(), (0.5,), (1.0, 0.5), (0.0, 1.0), (0.5, 1.5, 1.0)])
def test_severities_rise_to_one(severities):
    with pytest.raises(ValueError, match="sever"):
        trials.check_severities(severities)


def test_bounds_leave_room_about_true_values():
    values = np.linspace(0.0, 1.0, 101)
    assert calibration.bound(values, (0.01, 0.99, 0.1, 0.2)) == pytest.approx([-0.09, 1.19])
    assert calibration.bound(values, (None, 1.0, 0.0, 0.5))[0] < -100


def test_bounds_by_event_are_of_its_own_clips():
    values = [("drop", 1.0), ("push", 5.0), ("drop", 2.0)]
    edges = calibration.by_event(values, lambda own: [min(own), max(own)])
    assert edges == {"any": [1.0, 5.0], "drop": [1.0, 2.0], "push": [5.0, 5.0]}


def test_any_gate_may_have_bounds_by_event():
    bounds = {"gravity": [0, 1], "jitter": {"any": [0, 9], "push": [0, 3]}, "dynamics": {}}
    told = {"gravity": [0, 1], "dynamics": None}
    assert verdict.of_event(bounds, "push") == told | {"jitter": [0, 3]}
    assert verdict.of_event(bounds, "roll") == told | {"jitter": [0, 9]}


def test_what_pushes_may_shake_more_at_a_low_rate_alone():
    """There a start within a frame looks like trembling; other events keep their own bounds."""
    slow, full = (forms.find_bounds(form)["jitter"] for form in (true_clips.LOW, true_clips.PLAIN))
    assert isinstance(full, list)
    assert slow["push"][1] > 1.2 * full[1] > 1.2 * slow["roll"][1]


def test_clips_that_set_thresholds_are_none_of_those_of_reports():
    assert calibration.CALIBRATION + 100_000 < trials.FIRST


@pytest.mark.parametrize("write", [False, True])
def test_the_command_writes_on_demand(run_command, tmp_path, capsys, monkeypatch, write):
    for name in ("THRESHOLDS", "REPORTS"):
        (tmp_path / name).write_text(getattr(forms, name).read_text())
        monkeypatch.setattr(forms, name, tmp_path / name)
    before = forms.read_thresholds()
    form = ["--version=1.3.0", f"--output={tmp_path}"] + ["--write"] * write
    few = ["--calibration=0", "--report=10", "--corrupted=1", "--severities=1"]
    run_command("calibrate", *form, *few)
    assert "| true | 10 |" in capsys.readouterr().out
    [(name, part)] = json.loads((tmp_path / "calibration.json").read_text()).items()
    assert name == str(FORM)
    assert part["bounds"] == forms.find_bounds(FORM)
    assert part["clips"] == 200
    assert forms.read_thresholds() == before
    run_command("calibrate", "--show")
    assert (str(FORM) in capsys.readouterr().out) == write


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--output=DIRECTORY is missing"),
        (["--output=x", "--calibration=5"], "--calibration=5: is 0, or 10 clips or more"),
        (["--output=x", "--severities=1,0.5"], r"severities=\[1.0, 0.5\] do not rise"),
        (["--output=x", "--severities=2"], "severity=2.0 is not from 0"),
        (["--output=x", "--severities=a"], "--severities=a: not numbers"),
        (["--output=x", "--calibration=0", "--num_frames=21"], "no thresholds .* 21x64x64"),
        (["--output=x", "--slice=tinny"], "slice='tinny' is not one of"),
        (["--output=x", "--height=100"], "height=100 is not a multiple of 16"),
    ],
)
def test_forms_and_numbers_that_cannot_be_are_refused(
    run_command, flags, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        run_command("calibrate", *flags)
