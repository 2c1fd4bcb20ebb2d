"""Finished runs as models: the module its config describes and the weights of its checkpoint."""

import math
from pathlib import Path

import jax.numpy as jnp

from seedance_jax import sharding
from seedance_jax.data import sources, tokenizer
from seedance_jax.models import lora
from seedance_jax.models.generator import Generator
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import text_encoder
from seedance_jax.training import checkpoint, run_directory

# The weights that come with the package: a release of `configs/pretrain.py:released`.
RELEASED = Path(__file__).parents[1] / "weights" / "tiny"


def build_generator(text, model, latent_channels):
    """The module that `config.text` and `config.model` describe: what a training run trains.

    It has a text model if that is trained too (text.mode="joint").
    """
    text, dit = text_encoder.DEFAULTS | text, {"latent_channels": latent_channels, **model}
    fields = text_encoder.model_fields(text) if text["mode"] == "joint" else None
    return Generator(fields, dit, text_encoder.SPACE_ID, text["max_words"])


def with_encoder(generator, params, encoder):
    """A Generator and its params that reads captions by a finished language model."""
    model = encoder.model
    fields = {name: getattr(model, name) for name in model.__dataclass_fields__}
    fields = {name: value for name, value in fields.items() if name not in ("parent", "name")}
    whole = generator.clone(text_model=fields, max_words=encoder.max_words, finished=True)
    return whole, {"text": encoder.params, **params}


def load_autoencoder(workdir):
    """Returns (VAE, weights) of a finished run of the `vae` stage.

    weights = {"params", "mean" [C], "std" [C]}: the latents that everything downstream works with
    are (encoder mean - mean) / std. Critics stay behind.

    Raises:
      FileNotFoundError: `workdir` is not a finished run.
      ValueError: it is a run of another stage.
    """
    config = read_stage(workdir, "vae")
    metadata = read_metadata(workdir)
    weights = {"params": checkpoint.load(workdir, parts=("encoder", "decoder"))}
    weights |= {name: jnp.array(metadata[name], jnp.float32) for name in ("mean", "std")}
    return VAE(**as_tuples(config["vae"])), weights


def autoencoder_of(workdir, metadata, vae_run=""):
    """(where it is, VAE, weights) of the autoencoder that a generator was trained with.

    By default it is where it was at training; that of a release, in the release.

    Raises:
      FileNotFoundError: there is no finished run.
      ValueError: it makes other latents.
    """
    vae_run = (Path(vae_run) if vae_run else Path(workdir) / metadata["vae_run"]).resolve()
    model, weights = load_autoencoder(vae_run)
    found, wanted = latent_fingerprint(weights), metadata["autoencoder"]
    if found != wanted:
        raise ValueError(
            f"{workdir} was trained with autoencoder {wanted}, but {vae_run} is {found}"
        )
    return vae_run, model, weights


def as_tuples(value):
    """A value read from JSON with tuples for lists, so that modules made of it can be hashed."""
    if isinstance(value, dict):
        return {name: as_tuples(part) for name, part in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def latent_fingerprint(weights):
    """Hash of what makes latents what they are: the encoder and the statistics, not the decoder."""
    parts = {name: weights[name] for name in ("mean", "std")}
    return run_directory.fingerprint({"encoder": weights["params"]["encoder"], **parts})


def load_generator(workdir):
    """Returns (Generator, params, config, metadata) of a run of the `flow_matching` stage.

    The generator reads captions, whatever the mode of its text was in training.

    Raises:
      ValueError: the language model it was trained with is not in text.path any more.
    """
    config = read_stage(workdir, "flow_matching")
    if "lora" in config:
        raise ValueError(
            f"{workdir} holds adapters only: give the run they belong to as --workdir, this as "
            f"--lora={workdir}"
        )
    metadata = read_metadata(workdir)
    generator, params, config = complete(config, checkpoint.load(workdir), metadata)
    return generator, params, config, metadata


def complete(config, params, metadata):
    """(Generator, params, config) of trained weights, with the language model that they read with.

    Raises:
      ValueError: it is not the one of the training.
    """
    text = text_encoder.DEFAULTS | config["text"]
    model = build_generator(text, config["model"], metadata["latent_channels"])
    if text["mode"] == "joint":
        return model, params, config | {"text": text}
    text["path"] = metadata["text_path"]
    encoder = text_encoder.open_encoder(text, sharding.make_mesh(fsdp=-1))
    if (wanted := metadata["text"]) != encoder.identity:
        raise ValueError(
            f"the generator was trained with {wanted}, but {text['path']} is {encoder.identity}"
        )
    return (*with_encoder(model, params, encoder), config | {"text": text})


def check_scale(scale):
    """Raises ValueError unless adapters can be added `scale` times."""
    if not math.isfinite(scale):
        raise ValueError(f"lora_scale={scale}: must be a finite number")


def add_lora(params, metadata, workdir, scale=1.0):
    """The weights with `scale` times the adapters of a finished run of `configs/lora.py` added.

    Args:
      params, metadata: of the generator.

    Raises:
      ValueError: the run has no adapters, they were trained on another generator, or the scale is
        not finite.
    """
    check_scale(scale)
    config = read_stage(workdir, "flow_matching")
    if "lora" not in config:
        raise ValueError(f"{workdir} is not a run of adapters (configs/lora.py)")
    own = read_metadata(workdir)
    for name in ("autoencoder", "text"):
        if own.get(name) != metadata.get(name):
            raise ValueError(
                f"{workdir} was trained with {name} {own.get(name)}, the generator with "
                f"{metadata.get(name)}"
            )
    found = run_directory.fingerprint(trained_part(params, metadata))
    if own.get("base") != found:
        raise ValueError(
            f"{workdir} was trained on the weights {own.get('base')}, those of "
            f"{config['lora'].get('base_run')} then; the generator has {found}"
        )
    return lora.merge(params, checkpoint.load(workdir), scale * own["lora_scale"])


def trained_part(params, metadata):
    """The weights of a generator without the finished language model that it may read with."""
    return {name: params[name] for name in params if name != "text" or "text" not in metadata}


def merge_lora(workdir, lora_run, scale, output):
    """Makes the run `output` of the generator `workdir` and adapters; see `add_lora`."""
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty; use another --output")
    config, metadata = read_stage(workdir, "flow_matching"), read_metadata(workdir)
    params = add_lora(checkpoint.load(workdir), metadata, lora_run, scale)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint.save_weights(output, params)
    origin = {"merged": {"workdir": str(workdir), "lora": str(lora_run), "lora_scale": scale}}
    origin["vae_run"] = str((Path(workdir) / metadata["vae_run"]).resolve())
    run_directory.write_json(output, "config.json", config)
    run_directory.write_json(output, "metadata.json", metadata | origin | {"step": 0})


def open_tokenizer(text):
    """The tokenizer that the section `text` of a run's config names."""
    text = text_encoder.DEFAULTS | text
    if text["mode"] == "joint":
        return tokenizer.open_tokenizer(text["tokenizer"])
    config = run_directory.read_json(text["path"], "config.json")
    return (
        open_tokenizer(config["text"])
        if "stage" in config
        else tokenizer.open_tokenizer(text["path"])
    )


def read_data(workdir, stage, data_dir=""):
    """The section `data` of a run's config; its data set is there, in `data_dir` if it has moved.

    Raises:
      ValueError: it is not; the message has the command that builds it.
    """
    config = read_stage(workdir, stage)
    config["data"] |= {"data_dir": data_dir} if data_dir else {}
    sources.check_built(config)
    return config["data"]


def read_metadata(workdir):
    """metadata.json of a run; FileNotFoundError unless it was written by the newest checkpoint."""
    metadata = run_directory.read_json(workdir, "metadata.json")
    step, newest = metadata.get("step"), run_directory.latest_step(workdir)
    if step != newest:
        raise FileNotFoundError(
            f"{workdir} is not a finished run: it was at step {step}, its checkpoint is at {newest}"
        )
    return metadata


def read_stage(workdir, stage):
    """The config of a run; ValueError if it is a run of another stage."""
    if not workdir or not Path(workdir).is_dir():
        raise FileNotFoundError(f"run directory {str(workdir)!r} does not exist")
    config = run_directory.read_json(workdir, "config.json")
    if config["stage"] != stage:
        raise ValueError(f"{workdir} is a run of stage {config['stage']!r}, not of {stage!r}")
    return config
