"""A training with a filter: it sees kept rows, and goes on only with the same scores and labels."""

import pytest
from clips import clip_record, write_clips

from configs import vae as vae_config
from seedance_jax.data import sources
from seedance_jax.data.curation import scores
from seedance_jax.stages import job, vae
from seedance_jax.training import run_directory
from tests.stages.test_vae_inputs import NARROW


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A small training of the autoencoder on 8 clips that are scored, with a filter."""
    directory = tmp_path / "clips" / "a"
    write_clips(directory, [clip_record(i) for i in range(8)])
    scores.build(directory, "train", ["motion"], tmp_path)
    monkeypatch.setattr(sources, "locate", lambda data: directory)
    config = vae_config.get_config("smoke").unlock()
    config.vae.update(NARROW)
    config.update({"num_steps": 2, "checkpoint_every": 1})
    config.loss.adversarial = 0.0
    config.data.update({"data_dir": str(tmp_path), "num_threads": 0})
    config.data.buckets, config.data.filter = (
        ((5, 16, 16, 8, 1.0),),
        "not static and num_frames > 4",
    )
    config.data.labels.static = "motion < 0"
    return config


def go_on(config, workdir):
    """What a run that goes on checks before its first step."""
    job.prepare(config, workdir)
    run_directory.check_identity(workdir, vae.make_stage(config).identity)


def make_anew(root):
    """Another table in the place of the one there is, as of another OpenCV."""
    directory = root / "clips" / "a"
    columns, _ = scores.open_table(directory, "train", "motion", root)
    [place] = scores.build(directory, "train", ["motion"], root)
    (place / "spec.json").unlink()
    columns["motion"] += 1
    scores.write_table(place, scores.describe(directory, "train", "motion"), columns)


def test_a_run_goes_on_with_the_rows_it_began_with(config, tmp_path):
    workdir = tmp_path / "run"
    assert "trained, 2 steps" in job.train(config, workdir).message
    identity = run_directory.read_json(workdir, "identity.json")["filter"]["world"]
    assert identity["keeps"] == "not motion < 0 and num_frames > 4"
    assert identity["scores"].keys() == {"motion"}
    go_on(config, workdir)
    config.data.labels.blurry = "sharpness < 0.1"  # which it does not use
    go_on(config, workdir)
    make_anew(tmp_path)
    with pytest.raises(ValueError, match=r"filter\.world\.scores\.motion: '\w{16}' -> '\w{16}'"):
        go_on(config, workdir)
    config.data.labels.static = "motion < -1"
    with pytest.raises(ValueError, match="trained with other parts .*\n  filter.world.keeps: "):
        go_on(config, workdir)
    config.data.filter = "num_frames > 4"
    with pytest.raises(ValueError, match="data.filter: 'not static and num_frames > 4' -> 'num_f"):
        go_on(config, workdir)


def test_a_filter_that_is_no_filter_is_refused_before_anything_is_written(config, tmp_path):
    config.data.filter = "motoin > 3"
    with pytest.raises(ValueError, match="did you mean 'motion'"):
        job.train(config, tmp_path / "run")
    config.data.filter = "num_frames > 99"
    with pytest.raises(ValueError, match="data.filter keeps none of 8 rows of Bucket.*: 0}"):
        job.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
