"""Suites of the world 2.0.0, of clips and of pictures, from the true clips to the page."""

import json

import pytest

from seedance_jax.evaluation.suite import cases, command


@pytest.mark.parametrize("name", ["world_v2_dev", "world_v2_image_dev"])
def test_true_clips_of_a_suite_are_judged_and_shown(name, fake, tmp_path):
    own = cases.read_suite(name)
    model = fake(own.clip, suite=own)
    model.config["data"]["world"]["version"] = "2.0.0"
    report = command.run(model, own, tmp_path, limit=16, batch_size=8)
    assert report["clips"] == 16
    assert report["passed"][0] >= 0.75
    assert report["reference"]["chance"]["passed"][0] < 0.5
    assert json.loads((tmp_path / "report.json").read_text()) == report
    for file in ("report.html", "sheet.png"):
        assert (tmp_path / file).stat().st_size > 1000
