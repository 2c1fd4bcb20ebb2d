import json

import pytest

from seedance_jax.data.world import WorldSpec
from seedance_jax.evaluation.judges import calibration, verdict

SPEC = WorldSpec(17, 64, 64, 12, "plain", version="1.3.0")


@pytest.mark.parametrize("install", [False, True])
def test_thresholds_of_a_slice_are_installed_on_demand_and_alone(tmp_path, monkeypatch, install):
    old = {"slices": {"tiny": {"gravity": [0, 2]}, "plain": {}}, "made_by": {"plain": {}}}
    thresholds = tmp_path / "thresholds.json"
    thresholds.write_text(json.dumps(old))
    monkeypatch.setattr(verdict, "THRESHOLDS", thresholds)
    monkeypatch.setattr(calibration, "calibrate", lambda spec, count: {"gravity": [0.0, count]})
    true = {"clips": 5, "passed": 4, "failed": {"gravity": 1}, "asked": {"gravity": 5}}
    judged = {"true": true, "corruptions": {}, "seconds_per_clip": 0.5}
    monkeypatch.setattr(calibration, "report", lambda spec, bounds, *counts: judged)
    results = calibration.write_calibration(SPEC, 12, (5, 1), tmp_path, install)
    assert json.loads((tmp_path / "calibration.json").read_text()) == results
    assert "| true | 5 | 0.800 |" in (tmp_path / "calibration.md").read_text()
    new = json.loads(thresholds.read_text())
    if not install:
        assert new == old
        return
    assert new["slices"] == old["slices"] | {"plain": {"gravity": [0.0, 12]}}
    assert new["made_by"]["plain"] == results["setting"]
