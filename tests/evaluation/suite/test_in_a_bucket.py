"""Suites that are run, releases that are made and clips that are measured in a bucket."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from clips import moving_square

from configs import pretrain
from seedance_jax.data import video
from seedance_jax.evaluation import clips
from seedance_jax.evaluation.suite import command, results
from seedance_jax.evaluation.suite.hook import SuiteHook
from seedance_jax.evaluation.suite.patience import PatientHook
from seedance_jax.training import places, uploads
from seedance_jax.training.lock import Lock


def test_results_of_a_bucket_are_kept_and_added_to(bucket, bright, fake, quick, tmp_path):
    folder = places.place(bucket) / "suite"
    with quick():
        first = fake()
        command.run(first, bright, folder, 2, 1)
        second = fake()
        found = command.run(second, bright, folder, 3, 1)
        assert found == command.run(fake(), bright, tmp_path, 3, 1)
    assert (len(first.batches), len(second.batches)) == (2, 1)
    kept = places.names(folder)
    with (
        contextlib.closing(Lock(folder, 0.2)),
        pytest.raises(ValueError, match="is in use by proc"),
    ):
        command.run(fake(), bright, folder, 3, 1)
    assert {"report.json", "report.html", "sheet.png", "clips/0002.mp4"} < set(kept)
    rows = (folder / results.FILE).read_text().splitlines()
    assert [json.loads(row)["number"] for row in rows] == [0, 1, 2]
    with pytest.raises(ValueError, match=f"--compare={folder}: only local paths and mounted"):
        command.compare(folder, tmp_path, tmp_path / "comparison")


class Pins:
    """A saver that keeps the names it was given: {name: step}."""

    def __init__(self):
        self.given = {}

    def pin(self, step, name):
        self.given[name] = step


def test_a_suite_ends_the_training_of_a_run_in_a_bucket(bucket, bright, fake, quick, monkeypatch):
    stage = SimpleNamespace(finish=dict, generator_params=lambda ema, _: ema, frozen={})
    settings = {"name": "world_v1_dev", "every": 10, "limit": 1, "mesh": None}
    suite = SuiteHook(bucket, pretrain.get_config("smoke").to_dict(), stage, **settings)
    monkeypatch.setattr(suite, "_suite", bright)
    pipeline = fake()
    pipeline.with_params = lambda params: fake(name="weights")
    monkeypatch.setattr(suite, "_open", lambda *_: pipeline)
    pins = Pins()
    hook = PatientHook(suite, pins, places.place(bucket), patience=1)
    with quick():
        assert hook(10, SimpleNamespace(ema=1.0), {}) is None
        stopped = hook(20, SimpleNamespace(ema=1.0), {})
    assert pins.given == {"best": 10}
    assert stopped.reason.startswith("1 times no better by suite_world_v1_dev than at step 10")
    assert [*suite.reports()] == [10, 20]


def test_a_directory_that_is_assembled_is_in_the_bucket_when_all_went_well(bucket):
    target = places.place(bucket) / "release"
    with pytest.raises(FileNotFoundError), uploads.assembled(target, last="b") as draft:
        (draft / "no folder yet" / "a").write_text("1")
    assert not target.exists()
    with uploads.assembled(target, last="b") as draft:
        (draft / "part").mkdir(parents=True)
        for name in ("b", "c", "part/a"):
            (draft / name).write_text(name)
        draft.with_name("results").mkdir()
    assert sorted(places.names(target)) == ["b", "c", "part/a"]
    assert places.total_bytes(target) == 8
    assert not draft.exists()


def test_a_folder_of_clips_of_a_bucket_is_measured(bucket, tmp_path):
    for index in range(2):
        film = video.encode_mp4(moving_square(index, 9, height=32, width=32), 12)
        for folder in (tmp_path, places.place(bucket)):
            (folder / f"{index}.mp4").write_bytes(film)
    here, there = clips.read_clips(str(tmp_path)), clips.read_clips(bucket)
    np.testing.assert_array_equal(here.frames, there.frames)
    assert (there.files, there.fps, there.name) == (here.files, here.fps, bucket)
    with pytest.raises(FileNotFoundError, match=f"{bucket}/none is no folder of clips"):
        clips.read_folder(f"{bucket}/none")
