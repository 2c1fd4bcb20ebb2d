"""Training of the generator by flow matching on latents: every pretraining and tuning stage."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp

from seedance_jax import sharding
from seedance_jax.data import schema, sources
from seedance_jax.diffusion import flow, tasks, times
from seedance_jax.models.generator import example_inputs
from seedance_jax.models.text import caption_starts
from seedance_jax.pretrained import codec, latents, runs, text_encoder
from seedance_jax.stages.lora import adapt
from seedance_jax.training.loop import Stage
from seedance_jax.training.optimizer import make_optimizer


def make_stage(config):
    """Builds the stage of `configs/pretrain.py`."""
    vae, autoencoder = runs.load_autoencoder(
        runs.open_run(config.vae_run, "autoencoder", "vae_run")
    )
    schema.check_compression(*vae.compression)
    fingerprint = runs.latent_fingerprint(autoencoder)
    data = config.data.to_dict()
    buckets = sources.make_buckets(data["buckets"])
    tasks.check_weights(config.tasks)
    encoder, text_options, read_text = open_text(config)
    dataset = sources.open_training(
        data,
        seed=config.seed,
        part=sharding.batch_part(sharding.make_mesh(**config.mesh)),
        latents=latents.open_all(data, buckets, fingerprint) if data["latents"] else None,
        **text_options,
    )
    if "texts" not in text_options:
        limit = config.text.max_words if encoder is None else encoder.max_words
        text_encoder.check_rows(sources.open_split(data, "train"), limit)
    width = None if encoder is None else encoder.width
    init, loss_fn = objective(config, vae, width, read_text)
    metadata = {
        "latent_channels": vae.latent_channels,
        "compression": vae.compression,
        "autoencoder": fingerprint,
        "vae_run": str(Path(config.vae_run).resolve()),
        "buckets": [bucket.shape for bucket in buckets],
        "fps": sources.clip_fps(data),
        "text_length": data["text_length"],
    }
    frozen, identity = {"vae": autoencoder}, {"autoencoder": fingerprint}
    if encoder is not None:
        metadata |= {"text": encoder.identity, "text_path": str(Path(config.text.path).resolve())}
        identity["text"] = encoder.identity
        frozen |= {} if encoder.params is None else {"text": encoder.params}
    stage = Stage(
        init=init,
        loss_fn=loss_fn,
        batches=functools.partial(sources.iterate, data, dataset),
        optimizer=make_optimizer(num_steps=config.num_steps, **config.optimizer),
        frozen=frozen,
        identity=identity,
        finish=lambda params: metadata,
        makes="generator",
        generator_params=lambda params, frozen: params,
    )
    return adapt(stage, config) if "lora" in config else stage


def objective(config, vae, text_width, read_text):
    """(init, loss_fn) of a Stage, from the config and the shapes of what is given.

    Args:
      vae: the autoencoder, which a batch of videos (and not of latents) is encoded by.
      text_width: of the text tokens that a finished language model makes; None if it is trained.
      read_text: see `open_text`.
    """
    model = runs.build_generator(config.text.to_dict(), config.model.to_dict(), vae.latent_channels)
    task_weights, condition_dropout = dict(config.tasks), config.condition_dropout
    noising = {"caption_dropout": config.caption_dropout, "frame_times": config.frame_times}

    def init(key):
        example = example_inputs(vae.latent_channels, config.data.text_length, text_width)
        return model.init(key, *example)["params"]

    def loss_fn(params, batch, key, frozen):
        mask_key, key = jax.random.split(key)
        sizes = batch["frame_shot"].shape
        given, images = tasks.sample_conditions(mask_key, *sizes, task_weights, condition_dropout)
        if "latents" in batch:
            held = images[:, :, None, None, None] > 0
            x0 = jnp.where(held, batch["stills"], batch["latents"])
            x0 = (x0 - frozen["vae"]["mean"]) / frozen["vae"]["std"]
        else:
            video = tasks.hold_images(batch["video"], images)
            x0 = codec.encode(vae, frozen["vae"], codec.from_bytes(video))
        clip = (x0, read_text(batch, frozen), batch["frame_shot"])
        return flow_loss(model, params, clip, given, key, **noising)

    return init, loss_fn


def open_text(config):
    """Where text comes from: (encoder or None, options of `sources.open_training`, read_text).

    read_text(batch, frozen) -> what the generator takes; see `pretrained/text_encoder.py`.
    """
    text, data = text_encoder.DEFAULTS | config.text.to_dict(), config.data.to_dict()
    text_encoder.check_mode(text)
    mode = text["mode"]
    if mode == "joint":
        return None, {"tokenizer": runs.open_tokenizer(text)}, batch_text("text")
    if mode == "precomputed":
        encoder = text_encoder.open_encoder(text)
        options = {
            "texts": text_encoder.open_tokens(data, encoder),
            "text_length": encoder.positions(data["text_length"]),
        }
        return encoder, options, batch_text("text_tokens")
    encoder = text_encoder.open_encoder(text, sharding.make_mesh(**config.mesh))
    ids = batch_text("text")

    def encode(batch, frozen):
        return text_encoder.encode(
            encoder.model, encoder.max_words, frozen["text"], *ids(batch, frozen)
        )

    return encoder, {"tokenizer": encoder.tokenizer}, encode


def batch_text(name):
    """A `read_text` that takes ids or tokens, with their mask and shot, from the batch."""
    return lambda batch, frozen: tuple(batch[key] for key in (name, "text_mask", "text_shot"))


def flow_loss(model, params, clip, given, key, *, caption_dropout, frame_times):
    """Mean squared velocity error over the frames that are not given, whose share is its weight.

    Args:
      clip: (x0, text, frame_shot): normalised latents [B, T, H, W, C], the (ids or tokens, mask,
        shot) that the model takes, and the shot of each latent frame [B, T].
      given: float [B, T], 1 on latent frames that the model is given.
      caption_dropout: share of samples that see empty captions (their start tokens alone).
      frame_times: share of samples in which every latent frame has a time of its own.
    """
    x0, (text, mask, shot), frame_shot = clip
    keys = jax.random.split(key, 3)
    batch_size, frames = given.shape
    shift = times.resolution_shift(frames * x0.shape[2] * x0.shape[3])
    t = times.sample_frame_times(keys[0], batch_size, frames, shift, frame_times)
    noise = jax.random.normal(keys[1], x0.shape)
    dropped = jax.random.bernoulli(keys[2], caption_dropout, (batch_size, 1))
    mask = jnp.where(dropped, caption_starts(mask, shot), mask)
    xt, t = tasks.show_given(flow.interpolate(x0, noise, t), t, x0, given)
    text = (text, mask, shot)
    velocity = model.apply({"params": params}, xt, t, text, (frame_shot, x0, given))
    error = velocity - flow.velocity_target(x0, noise)
    loss = flow.masked_mean_square(error, given)
    return loss, {f"loss_{frames}": loss, "weight": (1.0 - given).mean()}
