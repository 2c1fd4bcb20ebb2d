"""Generators: the module of a run's config, with the language model that it reads captions by."""

from collections.abc import Mapping
from typing import Any

from seedance_jax import sharding
from seedance_jax.data import tokenizer
from seedance_jax.models.generator import Generator
from seedance_jax.pretrained import text_encoder
from seedance_jax.pretrained.runs import Run
from seedance_jax.training import run_directory


def build_generator(
    text: Mapping[str, Any], model: Mapping[str, Any], latent_channels: int
) -> Generator:
    """The module that `config.text` and `config.model` describe: what a training run trains.

    It has a text model if that is trained too (text.mode="joint").
    """
    text, dit = text_encoder.DEFAULTS | text, {"latent_channels": latent_channels, **model}
    fields = text_encoder.model_fields(text) if text["mode"] == "joint" else None
    return Generator(fields, dit, text_encoder.SPACE_ID, text["max_words"])


def with_encoder(
    generator: Generator, params: Mapping[str, Any], encoder: text_encoder.Encoder
) -> tuple[Generator, dict[str, Any]]:
    """A Generator and its params that reads captions by a finished language model."""
    model = encoder.model
    fields = {name: getattr(model, name) for name in model.__dataclass_fields__}
    fields = {name: value for name, value in fields.items() if name not in ("parent", "name")}
    whole = generator.clone(text_model=fields, max_words=encoder.max_words, finished=True)
    return whole, {"text": encoder.params, **params}


def complete(run: Run, params: Mapping[str, Any]) -> tuple[Generator, Mapping[str, Any], Run]:
    """(Generator, params, run) of trained weights, with the language model that they read with.

    The generator reads captions, whatever the mode of its text was in training, and the section
    `text` of the run's config is whole.

    Raises:
      ValueError: the language model it was trained with is not in text.path any more.
    """
    text = text_encoder.DEFAULTS | run.config["text"]
    model = build_generator(text, run.config["model"], run.metadata["latent_channels"])
    run = run._replace(config=run.config | {"text": text})
    if text["mode"] == "joint":
        return model, params, run
    text["path"] = run.metadata["text_path"]
    encoder = text_encoder.open_encoder(text, sharding.spread("fsdp"))
    if (wanted := run.metadata["text"]) != encoder.identity:
        raise ValueError(
            f"the generator was trained with {wanted}, but {text['path']} is {encoder.identity}"
        )
    return (*with_encoder(model, params, encoder), run)


def open_tokenizer(text: Mapping[str, Any]) -> tokenizer.Tokenizer:
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
