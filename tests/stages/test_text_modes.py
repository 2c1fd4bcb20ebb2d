"""A generator on the text tokens of a finished language model: its loss, its run, its clips."""

import dataclasses

import flax.linen as nn
import jax
import language_models
import numpy as np
import pytest
import random_autoencoder
from flax import traverse_util

from configs import pretrain
from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.data.builders.folder import FolderSpec
from seedance_jax.data.video import encode_mp4
from seedance_jax.pretrained import text_encoder
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.stages import flow_matching, generator_inputs
from seedance_jax.training import checkpoint, run_directory


@pytest.fixture(scope="module")
def config(tmp_path_factory, random_params):
    """The smoke config on a folder of footage, on a mesh of eight, with a language model's path."""
    root = tmp_path_factory.mktemp("root")
    for name in ("films", "vae", "language"):
        (root / name).mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    (root / "films/a.mp4").write_bytes(encode_mp4(noise, 12))
    (root / "films/a.txt").write_text("noise of a film \u732b")
    random_autoencoder.save(root / "vae", random_params)
    language_models.write_directory(root / "language")

    config = pretrain.get_config("smoke").unlock()
    spec = FolderSpec(str(root / "films"), 5, 12.0, 32, validation_fraction=0.0)
    config.data.update({"source": "folder", "data_dir": str(root / "data"), "latents": False})
    config.data.update({"folder": dataclasses.asdict(spec), "text_length": 20, "num_processes": 1})
    config.data.buckets = ((5, 32, 32, 8, 1.0),)
    config.model.update({"width": 24, "depth": 1, "heads": 2, "window": (2, 2)})
    config.text.update({"path": str(root / "language"), "dtype": "float32"})
    config.mesh.update({"fsdp": 4, "tensor": 2})
    config.vae_run, config.num_steps, config.caption_dropout = str(root / "vae"), 1, 0.5
    sources.build(config.data.to_dict())
    return config


def stage_of(config, mode):
    config = config.copy_and_resolve_references()
    config.text.mode = mode
    return flow_matching.make_stage(config), config


def loss_of(stage, params):
    """The loss of the first batch."""
    batches = stage.batches(0)
    loss = jax.jit(stage.loss_fn)
    value = loss(params, next(batches), jax.random.key(2), dict(stage.frozen))[0]
    batches.close()
    return float(value)


def save_run(workdir, config, stage, params):
    checkpoint.save_weights(workdir, params)
    run_directory.write_json(workdir, "config.json", run_directory.as_json(config.to_dict()))
    metadata = stage.finish(params) | {"step": 0}
    run_directory.write_json(workdir, "metadata.json", run_directory.as_json(metadata))


def test_frozen_and_precomputed_text_give_the_same_loss_and_a_run_that_samples(
    config, tmp_path, random_params
):
    data = config.data.to_dict()
    with pytest.raises(ValueError, match="no text tokens of these clips by language model"):
        stage_of(config, "precomputed")
    text = text_encoder.DEFAULTS | config.text.to_dict() | {"mode": "precomputed"}
    encoder = text_encoder.open_encoder(text, sharding.make_mesh(**config.mesh))
    assert encoder.params["blocks"]["mlp"]["gate"]["kernel"].sharding.spec[1:] == ("fsdp", "tensor")
    with pytest.raises(ValueError, match="text_length=19 is too short"):
        text_encoder.encode_all(data | {"text_length": 19}, encoder)
    text_encoder.encode_all(data, encoder)
    with pytest.raises(ValueError, match="data.text_length must be 20 or more"):
        text_encoder.open_tokens(data | {"text_length": 19}, encoder)
    other = text_encoder.open_encoder(text | {"layers": (0,)})
    with pytest.raises(ValueError, match=r"there is \w+ with layers=\[-1\]"):
        text_encoder.open_tokens(data, other)

    frozen, _ = stage_of(config, "frozen")
    precomputed, settings = stage_of(config, "precomputed")
    assert set(frozen.frozen) == {"vae", "text"}
    assert set(precomputed.frozen) == {"vae"}
    assert frozen.identity == precomputed.identity
    params = random_params(frozen.init)
    assert set(params) == {"video"}
    np.testing.assert_allclose(loss_of(precomputed, params), loss_of(frozen, params), rtol=1e-3)

    save_run(tmp_path, settings, precomputed, params)
    pipeline = Pipeline.from_run(tmp_path)
    clip = pipeline("a film", num_inference_steps=1).frames
    assert clip.shape == (1, 5, 32, 32, 3)
    with pytest.raises(ValueError, match="20 tokens, .* at most 19"):
        pipeline("x" * 20, num_inference_steps=1)
    language_models.write_directory(type(tmp_path)(config.text.path), scale=0.5)
    with pytest.raises(ValueError, match="was trained with .*, but .*language is"):
        Pipeline.from_run(tmp_path)


def joint(config, **changes):
    """The config of a text model that is trained, with other values of the model."""
    config = config.copy_and_resolve_references()
    config.text.update({"mode": "joint", "path": ""})
    config.model.update(changes)
    return config


def rows_of(config, seed):
    """The numbers of the rows of the first three batches of a stage of that seed."""
    config = joint(config)
    config.seed = seed
    batches = generator_inputs.open_inputs(config).batches(0)
    rows = np.stack([next(batches)["index"] for _ in range(3)])
    batches.close()
    return rows


def test_batches_go_by_the_seed_of_the_config_and_a_process_reads_its_part(config, monkeypatch):
    whole = rows_of(config, seed=0)
    np.testing.assert_array_equal(rows_of(config, seed=0), whole)
    assert np.any(rows_of(config, seed=1) != whole)
    monkeypatch.setattr(sharding, "batch_part", lambda mesh: (1, 2))
    np.testing.assert_array_equal(rows_of(config, seed=0), whole[:, 4:])


def test_sources_of_two_frame_rates_need_a_model_that_knows(config):
    config = joint(config)
    config.data.second = config.data.folder.to_dict() | {"source": "folder", "fps": 24.0}
    config.data.source = "folder,second"
    with pytest.raises(ValueError, match="mixes frame rates"):
        generator_inputs.open_inputs(config)
    config.model.conditions = ("fps",)
    with pytest.raises(Exception, match="second|no data|build") as caught:  # it was never built
        generator_inputs.open_inputs(config)
    assert "mixes" not in str(caught.value)


def test_a_run_of_generators_may_start_one_with_other_conditions(config):
    plain, told = (
        flow_matching.make_stage(joint(config, conditions=names)) for names in ((), ("fps",))
    )
    assert plain.makes == told.makes == "generator"
    key = jax.random.key(0)
    fresh, old = (
        traverse_util.flatten_dict(nn.unbox(jax.eval_shape(stage.init, key)))
        for stage in (told, plain)
    )
    assert {path[:2] for path in fresh.keys() - old.keys()} == set(told.may_lack)
    assert not plain.may_lack
