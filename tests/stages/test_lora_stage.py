import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from seedance_jax.models import lora
from seedance_jax.models.generator import example_inputs
from seedance_jax.pretrained import adapters as added
from seedance_jax.pretrained import generators, lineage, runs
from seedance_jax.stages.lora import adapt
from seedance_jax.training import checkpoint, run_directory
from seedance_jax.training.loop import Stage

TEXT = {"mode": "joint", "width": 16, "depth": 1, "heads": 2, "max_words": 4}
DIT = {"width": 24, "depth": 2, "heads": 2, "window": (2, 2)}
MODEL = generators.build_generator(TEXT, DIT, 4)
INPUTS = example_inputs(4, 8)
SECTIONS = {"stage": "flow_matching", "text": TEXT, "model": DIT}
METADATA = {"step": 0, "latent_channels": 4, "autoencoder": "a1", "vae_run": "../vae"}
METADATA |= {"buckets": [], "fps": 12.0, "text_length": 8}
LORA = {"rank": 2, "alpha": 4.0, "targets": ("query", "video_out")}


def squared(params, batch, key, frozen):
    return (MODEL.apply({"params": params}, *batch) ** 2).mean(), {}


STAGE = Stage(
    init=lambda key: MODEL.init(key, *INPUTS)["params"],
    loss_fn=squared,
    batches=lambda step: iter([INPUTS]),
    optimizer=optax.sgd(0.1),
    identity={"autoencoder": "a1"},
    makes="generator",
    generator_params=lambda params, frozen: params,
)


def save_run(workdir, params, told=METADATA, **sections):
    workdir.mkdir()
    checkpoint.save_weights(workdir, params)
    run_directory.write_json(workdir, "config.json", run_directory.as_json(SECTIONS | sections))
    run_directory.write_json(workdir, "metadata.json", told)
    return str(workdir)


def save_adapters(workdir, adapted, adapters):
    return save_run(workdir, adapters, METADATA | adapted.finish(adapters), lora=LORA)


def config(base_run, **changes):
    mesh = {"data": 8, "fsdp": 1, "sequence": 1, "tensor": 1}
    return ConfigDict(SECTIONS | {"mesh": mesh, "lora": {"base_run": base_run, **LORA} | changes})


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(STAGE.init)


@pytest.fixture(scope="module")
def base_run(tmp_path_factory, params):
    return save_run(tmp_path_factory.mktemp("runs") / "base", params)


@pytest.fixture(scope="module")
def adapted(base_run):
    return adapt(STAGE, config(base_run))


def merge(run, lora_run, output):
    """What `seedance_jax merge` does."""
    run = runs.open_run(run, "generator")
    added.merge_lora(run, runs.open_run(lora_run, "adapters", "--lora"), 1.0, output)


def moved(tree):
    return jax.tree.map(lambda leaf: leaf + 0.1, tree)


def test_training_starts_at_the_base_and_moves_the_adapters_alone(adapted, params):
    adapters = adapted.init(jax.random.key(1))
    frozen = {**adapted.frozen, "ema": adapters}
    jax.tree.map(np.testing.assert_array_equal, frozen["base"], params)
    loss = jax.jit(jax.value_and_grad(lambda a: adapted.loss_fn(a, INPUTS, None, frozen)[0]))
    expected, _ = squared(params, INPUTS, None, {})
    value, grads = loss(adapters)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert jax.tree.structure(grads) == jax.tree.structure(adapters)
    size = sum(leaf.size for leaf in jax.tree.leaves(adapters))
    assert size < sum(leaf.size for leaf in jax.tree.leaves(params)) / 5


def test_the_strength_of_adapters_is_alpha_over_rank(base_run, params):
    """Section 4.1 of arXiv:2106.09685: so alpha = rank adds their product as it is."""
    rank = LORA["rank"]
    whole, half = (adapt(STAGE, config(base_run, alpha=alpha)) for alpha in (rank * 1.0, rank / 2))
    adapters = moved(whole.init(jax.random.key(1)))
    wanted = [lora.merge(params, adapters, scale) for scale in (1.0, 0.5)]
    found = [stage.generator_params(adapters, stage.frozen) for stage in (whole, half)]
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert [stage.finish(adapters)["lora_scale"] for stage in (whole, half)] == [1.0, 0.5]
    assert whole.makes == "adapters"


def test_the_ema_that_a_loss_sees_has_the_adapters_added(base_run, params):
    loss_fn = lambda params, batch, key, frozen: (params, frozen["ema"])  # noqa: E731
    stage = adapt(dataclasses.replace(STAGE, loss_fn=loss_fn), config(base_run))
    adapters = stage.init(jax.random.key(1))
    frozen = {**stage.frozen, "ema": moved(adapters)}
    now, ema = stage.loss_fn(adapters, INPUTS, None, frozen)
    jax.tree.map(np.testing.assert_array_equal, now, params)
    wanted = stage.generator_params(moved(adapters), frozen)
    jax.tree.map(np.testing.assert_array_equal, ema, wanted)


def test_a_stage_that_would_take_adapters_for_its_params_is_refused(base_run):
    rollout = lambda state, batch, key, frozen: batch  # noqa: E731
    for changes in ({"rollout": rollout}, {"slow_copies": {"old": 0.5}}):
        with pytest.raises(ValueError, match=f"lora: a stage with {next(iter(changes))} trains no"):
            adapt(dataclasses.replace(STAGE, **changes), config(base_run))


def test_the_base_lies_over_the_mesh(base_run, params):
    over = config(base_run)
    over.mesh = {"data": 1, "fsdp": 8, "sequence": 1, "tensor": 1}
    base = adapt(STAGE, over).frozen["base"]
    jax.tree.map(np.testing.assert_array_equal, base, params)
    assert all(len(leaf.devices()) == 8 for leaf in jax.tree.leaves(base))
    kernel = base["video"]["pairs"]["pair0"]["spatial"]["video_qkv"]["query"]["kernel"]
    assert 8 * kernel.addressable_shards[0].data.size == kernel.size


def test_another_base_is_another_identity(adapted, params, tmp_path):
    other = adapt(STAGE, config(save_run(tmp_path / "other", moved(params))))
    assert other.identity != adapted.identity


def test_sampling_and_merging_use_what_was_trained(adapted, base_run, params, tmp_path):
    adapters = moved(adapted.init(jax.random.key(1)))
    lora_run = save_adapters(tmp_path / "lora", adapted, adapters)
    frozen = {**adapted.frozen, "ema": adapters}
    trained, _ = adapted.loss_fn(adapters, INPUTS, None, frozen)
    applied = added.add_lora(params, METADATA, runs.open_run(lora_run))
    judged = adapted.generator_params(adapters, adapted.frozen)
    jax.tree.map(np.testing.assert_array_equal, judged, applied)
    np.testing.assert_allclose(squared(applied, INPUTS, None, {})[0], trained, rtol=1e-5)
    merge(base_run, lora_run, tmp_path / "merged")
    metadata = run_directory.read_json(tmp_path / "merged", "metadata.json")
    assert metadata["weights"] == lineage.weights_hash(checkpoint.load(tmp_path / "merged"))
    named = [one["run"] for one in metadata["parents"]["merged"]]
    assert named == [str(base_run), str(lora_run)]
    assert "init_from" not in metadata["parents"]
    merged = checkpoint.load(tmp_path / "merged")
    metadata = runs.open_run(tmp_path / "merged", "generator").metadata
    assert metadata["makes"] == "generator"
    jax.tree.map(np.testing.assert_array_equal, merged, applied)
    assert metadata["merged"]["lora"] == lora_run
    assert metadata["vae_run"] == str(Path(base_run).resolve().parent / "vae")
    with pytest.raises(ValueError, match="is not empty"):
        merge(base_run, lora_run, tmp_path / "merged")
    with pytest.raises(ValueError, match="was trained on the weights .*; the generator has"):
        merge(tmp_path / "merged", lora_run, tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_adapters_that_are_not_finite_or_make_the_sum_so_are_refused(adapted, params, tmp_path):
    adapters = moved(adapted.init(jax.random.key(1)))
    bad = jax.tree.map(lambda leaf: leaf.at[...].set(np.nan), adapters)
    run = runs.open_run(save_adapters(tmp_path / "bad", adapted, bad))
    with pytest.raises(ValueError, match=f"{tmp_path}/bad: [0-9]+ of [0-9]+ arrays .*not finite"):
        added.add_lora(params, METADATA, run)
    run = runs.open_run(save_adapters(tmp_path / "lora", adapted, adapters))
    with pytest.raises(ValueError, match=f"the generator with 1e.39 times {tmp_path}/lora: "):
        added.add_lora(params, METADATA, run, 1e39)


def test_runs_of_the_wrong_kind_are_refused(adapted, base_run, params, tmp_path):
    with pytest.raises(ValueError, match="base makes a generator; --lora wants adapters$"):
        merge(base_run, base_run, tmp_path / "merged")
    lora_run = save_adapters(tmp_path / "lora", adapted, adapted.init(jax.random.key(1)))
    with pytest.raises(
        ValueError, match=f"makes adapters; --workdir wants a generator.*--lora={lora_run}$"
    ):
        merge(lora_run, lora_run, tmp_path / "merged")
    with pytest.raises(ValueError, match="with autoencoder a1, the generator with b2"):
        added.add_lora(params, METADATA | {"autoencoder": "b2"}, runs.open_run(lora_run))
    with pytest.raises(ValueError, match="was trained on the weights .*; the generator has"):
        added.add_lora(moved(params), METADATA, runs.open_run(lora_run))


def test_a_language_model_that_is_not_trained_is_no_part_of_the_base(params):
    told = METADATA | {"text": {"language": "l1"}}
    assert set(added.trained_part(params, told)) == {"video"}
    assert set(added.trained_part(params, METADATA)) == {"text", "video"}


def test_settings_are_checked_before_training(base_run, tmp_path, params):
    with pytest.raises(ValueError, match="--config.lora.base_run=RUN"):
        adapt(STAGE, config(""))
    with pytest.raises(ValueError, match=r"lora targets \['quary'\]"):
        adapt(STAGE, config(base_run, targets=("quary",)))
    with pytest.raises(ValueError, match="was trained with autoencoder a1, not b2"):
        adapt(dataclasses.replace(STAGE, identity={"autoencoder": "b2"}), config(base_run))
    adapt(dataclasses.replace(STAGE, identity=STAGE.identity | {"filter": {}}), config(base_run))
    deeper = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), params)
    other = save_run(tmp_path / "deep", deeper, model={**DIT, "depth": 4})
    with pytest.raises(ValueError, match="model.depth: 4 -> 2"):
        adapt(STAGE, config(other))


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"model": {**DIT, "window": (1, 1)}}, r"model.window: \[1, 1\] -> \[2, 2\]"),
        ({"model": {**DIT, "attention": "full"}}, "model.attention: 'full' -> None"),
        ({"text": {**TEXT, "max_words": 5}}, "text.max_words: 5 -> 4"),
        ({"text": {**TEXT, "layers": (0,)}}, r"text.layers: \[0\] -> \[-1\]"),
    ],
)
def test_a_base_of_the_same_shapes_that_computes_otherwise_is_refused(
    params, tmp_path, sections, line
):
    other = save_run(tmp_path / "other", params, **sections)
    with pytest.raises(ValueError, match=f"is another model than the config's:\n  {line}$"):
        adapt(STAGE, config(other))


def test_a_base_whose_config_lacks_conditions_has_none(base_run):
    own = config(base_run)
    own.model.conditions = ()
    adapt(STAGE, own)
    own.model.conditions = ("fps",)
    with pytest.raises(
        ValueError, match=r"another model .*\n  model.conditions: \[\] -> \['fps'\]$"
    ):
        adapt(STAGE, own)


def test_a_base_that_is_run_in_another_way_is_the_same_model(params, tmp_path):
    ways = {"model": {**DIT, "remat": "full", "dtype": "bfloat16"}, "text": {**TEXT, "path": "a"}}
    adapt(STAGE, config(save_run(tmp_path / "other", params, **ways)))
