"""Training of the generator by flow matching on latents: every pretraining and tuning stage."""

from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from seedance_jax.diffusion import flow, tasks, times
from seedance_jax.models import conditioning
from seedance_jax.models.conditioning import Condition
from seedance_jax.pretrained import runs
from seedance_jax.stages import generator_inputs
from seedance_jax.stages.lora import adapt
from seedance_jax.training.loop import Stage
from seedance_jax.training.optimizer import make_optimizer


def make_stage(config: ConfigDict) -> Stage:
    """Builds the stage of `configs/pretrain.py`, or of a config of other `makes`."""
    inputs, makes = generator_inputs.open_inputs(config), runs.what_it_trains(config)
    stage = Stage(
        init=inputs.init,
        loss_fn=objective(config, inputs.model, inputs.read),
        batches=inputs.batches,
        optimizer=make_optimizer(num_steps=config.num_steps, **config.optimizer),
        frozen=inputs.frozen,
        identity=inputs.identity,
        finish=lambda params: inputs.metadata,
        makes=makes,
        generator_params=(lambda params, frozen: params) if makes == "generator" else None,
        may_lack=conditioning.adapter_paths(config.model.get("conditions", ())),
    )
    return adapt(stage, config) if "lora" in config else stage


def objective(config: ConfigDict, model: Any, read: generator_inputs.Read) -> Callable:
    """The loss_fn of a Stage.

    Args:
      model: a Generator.
      read: of `generator_inputs.make_read`.
    """
    shares = {"text": config.caption_dropout}
    shares |= {
        name: conditioning.ADAPTERS[name].dropout for name in config.model.get("conditions", ())
    }

    def loss_fn(params, batch, key, frozen):
        read_key, drop_key, key = jax.random.split(key, 3)
        x0, condition = read(read_key, batch, frozen)
        condition = conditioning.drop(drop_key, condition, shares)
        names = ("frame_times", "reference_tokens")
        options = {name: config[name] for name in names}
        return flow_loss(model, params, x0, condition, key, **options)

    return loss_fn


def flow_loss(
    model: Any,
    params: Any,
    x0: jax.Array,
    condition: Condition,
    key: jax.Array,
    *,
    frame_times: float,
    reference_tokens: int = times.REFERENCE_TOKENS,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean squared velocity error over the frames that are not given, whose share is its weight.

    Args:
      x0: normalised latents [B, T, H, W, C]; those of given frames are the condition's.
      condition: with what the model takes as text.
      frame_times: share of samples in which every latent frame has a time of its own.
      reference_tokens: see `times.resolution_shift`.
    """
    given, (batch_size, frames) = condition.given_mask, condition.given_mask.shape
    time_key, noise_key = jax.random.split(key)
    shift = times.resolution_shift(frames * x0.shape[2] * x0.shape[3], reference_tokens)
    t = times.sample_frame_times(time_key, batch_size, frames, shift, frame_times)
    noise = jax.random.normal(noise_key, x0.shape)
    xt, t = tasks.show_given(flow.interpolate(x0, noise, t), t, condition.given, given)
    velocity = model.apply({"params": params}, xt, t, condition)
    error = velocity - flow.velocity_target(x0, noise)
    loss = flow.masked_mean_square(error, given)
    return loss, {f"loss_{frames}": loss, "weight": (1.0 - given).mean()}
