"""Training with all conditions at once, on the world and on films, and sampling what it made."""

import contextlib
import dataclasses
import io
import shutil

import jax
import numpy as np
import pytest
import random_autoencoder
from clips import clip_record

from configs import pretrain
from seedance_jax.data import schema, sources
from seedance_jax.data.builders.folder import FolderSpec
from seedance_jax.models import conditioning
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.stages import job
from seedance_jax.training import checkpoint, run_directory

pytest.importorskip("mujoco", reason="the world is an extra")
NAMES = ("fps", *schema.TRUTH)


@pytest.fixture(scope="module")
def config(tmp_path_factory, random_params):
    """The smoke config on clips of the world and on films, with conditions and motion captions."""
    root = tmp_path_factory.mktemp("root")
    for name in ("films", "vae"):
        (root / name).mkdir()
    (root / "films/a.mp4").write_bytes(clip_record(0)["video"])
    (root / "films/a.txt").write_text("a square")
    random_autoencoder.save(root / "vae", random_params)
    config = pretrain.get_config("smoke").unlock()
    config.data.update({"source": "world:1,folder:1", "data_dir": str(root / "data")})
    world = {"height": 32, "width": 32, "train": 4}
    splits = dict.fromkeys(("validation", "held_out_combinations", "out_of_range"), 0)
    config.data.world.update(world | splits)
    spec = FolderSpec(str(root / "films"), 5, 12.0, 32, validation_fraction=0.0)
    config.data.folder = dataclasses.asdict(spec)
    config.data.update({"latents": False, "num_processes": 1})
    config.data.buckets = ((5, 32, 32, 8, 1.0),)
    config.model.update({"width": 24, "depth": 1, "heads": 2, "window": (2, 2)})
    config.text.update({"width": 16, "depth": 1, "heads": 2})
    config.model.conditions, config.motion_captions = NAMES, 0.5
    config.vae_run, config.num_steps, config.checkpoint_every = str(root / "vae"), 3, 1
    config.keep_checkpoints = 3
    sources.build(config.data.to_dict())
    return config


def kernels(params):
    return {name: params["video"][conditioning.adapter_name(name)]["kernel"] for name in NAMES}


@pytest.fixture(scope="module")
def told(config, tmp_path_factory):
    """(directory of a finished run, config, what was printed), which began with one without."""
    root = tmp_path_factory.mktemp("runs")
    plain = config.copy_and_resolve_references()
    plain.model.conditions, plain.num_steps = (), 1
    job.train(plain, root / "plain")
    config.init_from, printed = str(root / "plain"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert job.train(config, root / "told").message.endswith("trained, 3 steps")
    return root / "told", config, printed.getvalue()


def test_a_run_without_conditions_is_gone_on_with_by_one_that_has_them(told):
    _, _, printed = told
    assert all(f"does not know the condition {name}: its weights" in printed for name in NAMES)


def test_every_adapter_is_trained(told):
    for name, kernel in kernels(checkpoint.load(told[0])).items():
        assert np.isfinite(kernel).all(), name
        assert np.any(kernel), name


def test_a_run_that_was_stopped_goes_on_exactly(told, tmp_path):
    (run, config, _), again = told, tmp_path / "again"
    shutil.copytree(run, again)
    for step in (2, 3):
        shutil.rmtree(again / f"checkpoints/{step}")
    (again / "metadata.json").unlink()
    assert run_directory.latest_step(again) == 1
    job.train(config, again)
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(again), checkpoint.load(run))


def test_clips_of_the_run_may_be_told_of_everything_or_of_nothing(told):
    pipeline = Pipeline.from_run(told[0])
    camera = np.broadcast_to(np.eye(3, 4), (2, 3, 4))
    states = np.zeros((2, schema.STATE_SLOTS, 5))
    states[:, 0] = [0.5, 0.5, 2.0, 0.2, 1.0]
    settings = {"num_inference_steps": 1, "output_type": "latent"}
    plain = pipeline("a ball", **settings).frames
    assert np.isfinite(plain).all()
    for told in ({"gravity": 1.6}, {"camera": camera}, {"states": states}):
        assert np.abs(pipeline("a ball", **settings, **told).frames - plain).max() > 0
