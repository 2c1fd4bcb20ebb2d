"""A stage as the training of adapters on weights that stay as they are."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from seedance_jax import sharding
from seedance_jax.models import lora
from seedance_jax.pretrained import runs
from seedance_jax.training import checkpoint, cluster, run_directory
from seedance_jax.training.loop import Stage


def adapt(stage: Stage, config: Any) -> Stage:
    """The stage that trains `config.lora` in the place of the stage's own params.

    Raises:
      ValueError: no base run, or one of another model; the message names the fields that differ.
        Or a stage with a rollout or slow copies: these would find adapters for its own params.
    """
    settings = config.lora
    if stage.rollout or stage.slow_copies:
        names = [name for name in ("rollout", "slow_copies") if getattr(stage, name)]
        raise ValueError(f"lora: a stage with {' and '.join(names)} trains no adapters")
    if not settings.base_run:
        raise ValueError("lora needs the run that it adapts: --config.lora.base_run=RUN")
    boxed = jax.eval_shape(stage.init, jax.random.key(0))
    run = cluster.of_main(lambda: runs.open_run(settings.base_run, stage.makes, "lora.base_run"))
    base = load_base(run, boxed, config, stage.identity)
    fingerprint, scale = run_directory.fingerprint(base), settings.alpha / settings.rank

    def init(key):
        return lora.init_adapters(key, boxed, settings.rank, settings.targets)

    def merge(params, frozen):
        return lora.merge(frozen["base"], params, scale)

    def generator_params(params, frozen):
        return stage.generator_params(merge(params, frozen), frozen)

    def loss_fn(params, batch, key, frozen):
        frozen = {**frozen, "ema": merge(frozen["ema"], frozen)}
        return stage.loss_fn(merge(params, frozen), batch, key, frozen)

    def finish(params):
        del params  # what a generator tells of itself does not depend on its weights
        return stage.finish(base) | {"lora_scale": scale, "base": fingerprint}

    jax.eval_shape(init, jax.random.key(0))  # names targets that there are not
    return dataclasses.replace(
        stage,
        init=init,
        loss_fn=loss_fn,
        finish=finish,
        frozen={**stage.frozen, "base": base},
        identity={**stage.identity, "base": fingerprint},
        generator_params=generator_params if stage.generator_params else None,
        makes="adapters",
    )


def model_of(config: Any) -> dict[str, dict]:
    """The fields of a config (as JSON) that decide what its weights compute, and at what times."""
    config = run_directory.complete(config)
    names = [name for name in ("text", "model", "reference_tokens") if name in config]
    return {name: run_directory.of_weights(config[name]) for name in names}


def load_base(run: runs.Run, boxed: Any, config: Any, identity: Mapping[str, Any]) -> Any:
    """The weights of a finished run of the same parts, laid out over the mesh of the config."""
    shapes = nn.unbox(boxed)
    for name, value in run_directory.as_json(dict(identity)).items():
        if name in run_directory.SHARED and run.metadata.get(name) != value:
            raise ValueError(
                f"{run.path} was trained with {name} {run.metadata.get(name)}, not {value}"
            )
    wanted = run_directory.as_json(config.to_dict())
    if lines := run_directory.differences(model_of(run.config), model_of(wanted)):
        raise ValueError(f"{run.path} is another model than the config's:{lines}")
    cluster.of_main(lambda: checkpoint.check_fits(wanted, run.path, shapes))
    layout = sharding.layout(boxed, sharding.make_mesh(**config.mesh))
    placed = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        layout,
    )
    return checkpoint.load(run.path, like=placed)
