"""What every stage of a generator has in common: its model, and what it is trained on."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data import schema, sources
from seedance_jax.data.examples import Wanted
from seedance_jax.data.tokenizer import BYTES, Tokenizer
from seedance_jax.diffusion import tasks
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.generator import Generator, example_inputs
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import codec, generators, latents, runs, text_encoder
from seedance_jax.training import cluster, places

MOTION = 2**31 - 1  # folded into the key of a batch: beyond the keys of all of its samples
# (condition with what a batch has of text, frozen) -> the condition as the model takes it
ReadText = Callable[[Condition, Mapping[str, Any]], Condition]
# (key, batch, frozen) -> (normalised latents [B, T, H, W, C], Condition)
Read = Callable[[jax.Array, Mapping[str, Any], Mapping[str, Any]], tuple[jax.Array, Condition]]


class GeneratorInputs(NamedTuple):
    """What `stages` hand on to a Stage.

    Attributes:
      model, init: the Generator that is trained, and key -> its params.
      read: see `make_read`.
      batches, frozen, identity: of a Stage.
      metadata: what whoever opens the run needs to know.
    """

    model: Generator
    init: Callable[[jax.Array], Any]
    read: Read
    batches: Callable[[int], Iterator]
    frozen: dict[str, Any]
    identity: dict[str, Any]
    metadata: dict[str, Any]


class TextInput(NamedTuple):
    """Where text tokens come from, by `config.text.mode`.

    Attributes:
      encoder: a finished language model; None if one is trained with the generator.
      read: makes the text of a batch what the model takes.
      length: ids of a batch, or precomputed tokens.
      tokenizer: of the captions.
    """

    encoder: text_encoder.Encoder | None
    read: ReadText
    length: int
    tokenizer: Tokenizer = BYTES

    @property
    def width(self) -> int | None:
        """E of the text tokens that the model is given; None if it makes them."""
        return None if self.encoder is None else self.encoder.width


def open_inputs(config: ConfigDict) -> GeneratorInputs:
    """Opens the autoencoder, the text model and the data that a config of a generator names."""
    vae, autoencoder, fingerprint = cluster.of_main(lambda: open_autoencoder(config.vae_run))
    schema.check_compression(*vae.compression)
    data = config.data.to_dict()
    tasks.check_weights(config.tasks)
    if "fps" not in config.model.get("conditions", ()):
        sources.check_frame_rates(data)
    text = open_text(config)
    dataset = sources.open_training(
        data,
        seed=config.seed,
        part=sharding.batch_part(sharding.make_mesh(**config.mesh)),
        text_length=text.length,
        wanted=wanted_of(config, text.tokenizer),
        share=cluster.of_main,
        side_tables=functools.partial(open_side_tables, config, text.encoder, fingerprint),
    )
    metadata = {
        "latent_channels": vae.latent_channels,
        "compression": vae.compression,
        "autoencoder": fingerprint,
        "vae_run": str(places.absolute(config.vae_run)),
        "buckets": [bucket.shape for bucket in sources.make_buckets(data["buckets"])],
        "fps": sources.clip_fps(data),
        "text_length": data["text_length"],
    }
    frozen, identity = {"vae": autoencoder}, {"autoencoder": fingerprint}
    identity |= cluster.of_main(lambda: sources.filter_identity(data))
    if text.encoder is not None:
        identity["text"] = text.encoder.identity
        metadata |= {"text": text.encoder.identity}
        metadata |= {"text_path": str(places.absolute(config.text.path))}
        frozen |= {} if text.encoder.params is None else {"text": text.encoder.params}
    model, init = make_model(config, vae.latent_channels, text.width)
    read = make_read(config, vae, text.read)
    batches = functools.partial(sources.iterate, data, dataset)
    return GeneratorInputs(model, init, read, batches, frozen, identity, metadata)


def open_autoencoder(vae_run: str) -> tuple[VAE, dict[str, Any], str]:
    """(VAE, weights, `runs.latent_fingerprint`) of a finished run."""
    vae, weights = runs.load_autoencoder(runs.open_run(vae_run, "autoencoder", "vae_run"))
    return vae, weights, runs.latent_fingerprint(weights)


def wanted_of(config: ConfigDict, tokenizer: Tokenizer) -> Wanted:
    """What the batches of a config have besides captions, which `tokenizer` reads."""
    known = config.model.get("conditions", ())
    truth = tuple(name for name in schema.TRUTH if name in known)
    return Wanted(tokenizer, truth, config.motion_captions > 0)


def make_model(
    config: ConfigDict, latent_channels: int, text_width: int | None
) -> tuple[Generator, Callable[[jax.Array], Any]]:
    """The Generator of a config, and key -> its params, boxed with logical axis names.

    text_width: of the text tokens that a finished language model makes; None if it is trained.
    """
    model = generators.build_generator(
        config.text.to_dict(), config.model.to_dict(), latent_channels
    )

    def init(key):
        example = example_inputs(latent_channels, config.data.text_length, text_width)
        return model.init(key, *example)["params"]

    return model, init


def make_read(config: ConfigDict, vae: Any, read_text: ReadText) -> Read:
    """Makes clips and conditions of a batch; which frames are given is drawn from its key."""

    def read(key, batch, frozen):
        mask, images = draw_given(config, key, batch)
        x0 = read_latents(vae, batch, images, frozen["vae"])
        condition = choose_captions(config, key, batch, mask)
        condition = read_text(condition, frozen)
        return x0, condition._replace(given=x0, given_mask=mask)

    return read


def draw_given(
    config: ConfigDict, key: jax.Array, batch: Mapping[str, Any]
) -> tuple[jax.Array, jax.Array]:
    """(mask [B, T] of the given frames of a batch, those of them that are images), by its tasks."""
    sizes, tasks_of = batch["frame_shot"].shape, dict(config.tasks)
    return tasks.sample_conditions(key, *sizes, tasks_of, config.condition_dropout)


def example_mask(config: ConfigDict, batch: Mapping[str, Any], step: int) -> np.ndarray:
    """Mask [B, T] of the given frames of the batch of a step, to be shown.

    Raises ValueError for illegal weights of the tasks.
    """
    tasks.check_weights(config.tasks)
    key = jax.random.fold_in(jax.random.key(config.seed), step)
    return np.asarray(draw_given(config, key, batch)[0])


def read_condition(batch: Mapping[str, Any]) -> Condition:
    """The fields of a condition that a batch has."""
    return Condition(**{name: batch[name] for name in Condition._fields if name in batch})


def choose_captions(
    config: ConfigDict, key: jax.Array, batch: Mapping[str, Any], mask: jax.Array
) -> Condition:
    """The condition of a batch, in a share of image to video with the motion-only captions.

    mask: [B, T], 1 on given frames. Of other tasks, and of clips without one, the caption stays.
    """
    condition = read_condition(batch)
    if "motion_text" not in batch:
        return condition
    told, given = batch["motion_text_mask"], mask > 0
    key = jax.random.fold_in(key, MOTION)
    chosen = jax.random.bernoulli(key, config.motion_captions, given.shape[:1])
    chosen &= given[:, 0] & ~given[:, 1:].any(1) & told.any(1)
    choose = functools.partial(jnp.where, chosen[:, None])
    return condition._replace(
        text=choose(batch["motion_text"], condition.text),
        text_mask=choose(told, condition.text_mask),
        text_shot=choose(0, condition.text_shot),
    )


def read_latents(
    vae: Any, batch: Mapping[str, Any], images: jax.Array, weights: Mapping[str, Any]
) -> jax.Array:
    """Normalised latents [B, T, H, W, C] of a batch of latents or of videos.

    Args:
      images: [B, T], 1 on latent frames that are given as an image: these stand still.
      weights: of the autoencoder, see `runs.load_autoencoder`.
    """
    if "latents" not in batch:
        video = tasks.hold_images(batch["video"], images)
        return codec.encode(vae, weights, codec.from_bytes(video))
    held = images[:, :, None, None, None] > 0
    x0 = jnp.where(held, batch["stills"], batch["latents"])
    return (x0 - weights["mean"]) / weights["std"]


def open_side_tables(
    config: ConfigDict,
    encoder: text_encoder.Encoder | None,
    fingerprint: str,
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """The precomputed rows of one source of data that a config reads, see `loader.make_dataset`.

    Raises:
      ValueError: there are none; or captions of more words than the model reads.
    """
    tables = {}
    if data["latents"]:
        buckets = sources.make_buckets(data["buckets"])
        tables["latents"] = latents.open_all(data, buckets, fingerprint)
    if config.text.get("mode") == "precomputed":
        return tables | {"texts": text_encoder.open_tokens(data, encoder)}
    limit = config.text.max_words if encoder is None else encoder.max_words
    motion = config.motion_captions > 0
    text_encoder.check_rows(sources.open_chosen(data), limit, motion)
    return tables


def open_text(config: ConfigDict) -> TextInput:
    """The source of text that `config.text` names; see `pretrained/text_encoder.py`."""
    text, length = text_encoder.DEFAULTS | config.text.to_dict(), config.data.text_length
    text_encoder.check_mode(text)
    return TEXT_MODES[text["mode"]](text, length, config)


def as_batched(condition: Condition, frozen: Mapping[str, Any]) -> Condition:
    """The text of a batch as it is: ids for a model that is trained, or precomputed tokens."""
    del frozen
    return condition


def _joint(text, length, config):
    del config
    tokenizer = cluster.of_main(lambda: generators.open_tokenizer(text))
    return TextInput(None, as_batched, length, tokenizer)


def _precomputed(text, length, config):
    del config
    encoder = cluster.of_main(lambda: text_encoder.open_encoder(text))
    return TextInput(encoder, as_batched, encoder.positions(length))


def _frozen(text, length, config):
    encoder = cluster.of_main(lambda: text_encoder.open_encoder(text))
    encoder = text_encoder.with_params(encoder, text, sharding.make_mesh(**config.mesh))

    def read(condition, frozen):
        ids = condition.text, condition.text_mask, condition.text_shot
        encoded = text_encoder.encode(encoder.model, encoder.max_words, frozen["text"], *ids)
        names = ("text", "text_mask", "text_shot")
        return condition._replace(**dict(zip(names, encoded, strict=True)))

    return TextInput(encoder, read, length, encoder.tokenizer)


TEXT_MODES = {"joint": _joint, "precomputed": _precomputed, "frozen": _frozen}
