"""Rendered clips of the tiny slice, and a browser."""

import os
import shutil

import pytest

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.evaluation.judges import verdict

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def chromium():
    """A headless browser; playwright's own ones lack H.264, so it is one of the system's."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def spec():
    return WorldSpec(slice="tiny", version="1.3.0")


@pytest.fixture(scope="session")
def records(spec):
    """24 validation records of 17 frames of 64x64, of one shot or two."""
    return [generate("validation", index, spec) for index in range(24)]


@pytest.fixture(scope="session")
def judged(records):
    """[(record, its scene, `Verdict`)]."""
    scenes = [expected_scene(record) for record in records]
    return [
        (record, scene, verdict.judge_clip(record["frames"], 12, scene))
        for record, scene in zip(records, scenes, strict=True)
    ]
