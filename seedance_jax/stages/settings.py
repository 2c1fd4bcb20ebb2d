"""What the values of a config may be, as far as that is known before data or devices are seen."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from seedance_jax.data.curation import filters, selection
from seedance_jax.models import products
from seedance_jax.models.dit import DiT
from seedance_jax.pretrained import runs
from seedance_jax.training import run_directory

# The least value of a setting, wherever a config has it.
LEAST = {
    "seed": 0,
    "num_steps": 1,
    "log_every": 1,
    "checkpoint_every": 1,
    "keep_checkpoints": 1,
    "keep_every": 0,  # off
    "max_skipped": 1,
    "accumulate": 1,
    "reference_tokens": 1,
    "data.clips_per_row": 1,
    "data.num_threads": 0,
    "data.num_workers": 0,
    "vae.latent_channels": 1,
    "text.width": 1,
    "text.depth": 1,
    "text.heads": 1,
    "optimizer.warmup_steps": 0,
    "discriminator_optimizer.warmup_steps": 0,
    "loss.frames": 1,
    "lora.rank": 1,
}
SHARES = ("ema_decay", "caption_dropout", "motion_captions", "condition_dropout", "frame_times")
TYPES = ("float32", "bfloat16", "float16")


def check_values(config: ConfigDict) -> None:
    """Raises ValueError, naming field and value, unless the settings of a stage are legal."""
    flat = run_directory.flatten(config.to_dict())
    weights = {name: 0 for name in flat if name.startswith("loss.")}
    for name, least in (weights | LEAST).items():
        if not flat.get(name, least) >= least:
            raise ValueError(f"{name}={flat[name]}: must be at least {least}")
    for name in SHARES:
        if not 0 <= flat.get(name, 0) < 1:
            raise ValueError(f"{name}={flat[name]}: must be at least 0 and below 1")
    for name, value in flat.items():
        legal = (*TYPES, "auto") if name in may_be_auto(config) else TYPES
        if name.endswith((".dtype", ".gradients")) and value not in legal:
            raise ValueError(f"{name}={value!r}; legal types: {list(legal)}")
    if config.get("motion_captions"):
        check_motion_captions(config)
    if "model" in config:
        check_model(config.model.to_dict())
    selection.parse(config.data.to_dict())
    if config.get("category"):
        check_category(config)
    if flat.get("vae_run") == "":
        raise ValueError("vae_run is not set: --config.vae_run=RUN")


def check_category(config: ConfigDict) -> None:
    """Raises ValueError unless the filter of a specialist chooses the clips of its category."""
    name, text = config.category, config.data.filter
    if not text.strip() or name not in filters.conditions(text):
        raise ValueError(
            f"category={name!r}, but data.filter={text!r} does not choose by it: add 'and {name}', "
            "or take the config without a category"
        )


def check_motion_captions(config: ConfigDict) -> None:
    """Raises ValueError unless a config with motion-only captions can use them."""
    share, mode = config.motion_captions, config.text.get("mode")
    if not config.tasks.get("image_to_video"):
        raise ValueError(f"motion_captions={share} is of the task image_to_video, which has none")
    if mode == "precomputed":
        raise ValueError(
            f"motion_captions={share}: the text tokens that are precomputed are those of the full "
            "captions alone; use --config.text.mode=frozen"
        )


def may_be_auto(config: ConfigDict) -> tuple[str, ...]:
    """The types that may be "auto": of networks that the run trains, if they are transformers."""
    joint = config.get("text", {}).get("mode") == "joint"
    return ("model.dtype", "text.dtype") if joint else ("model.dtype",)


def settle_types(config: ConfigDict, found: Mapping[str, Any] | None) -> None:
    """Replaces "auto", and says by what: by the type of `found`, the config of the run that goes
    on, or by that of this machine (`products.resolve_dtype`)."""
    earlier = run_directory.flatten(found or {})
    for name in may_be_auto(config):
        section, _, field = name.partition(".")
        if config.get(section, {}).get(field) == "auto":
            config[section][field] = earlier.get(name) or products.resolve_dtype("auto")
            print(f"{name}: auto is {config[section][field]}" + ", as before" * (name in earlier))


def check_model(fields: Mapping[str, Any]) -> None:
    """Raises ValueError unless there is a DiT of these fields."""
    try:
        DiT(**{"latent_channels": 1, **fields})
    except ValueError as error:  # which begins with the name of the field
        raise ValueError(f"model.{error}") from None


def check_source(config: ConfigDict) -> None:
    """Raises an error unless the config may start from the run `init_from`.

    Raises:
      FileNotFoundError: there is no such run, or it is not finished.
      ValueError: it makes something else than a run of the config does, or than `init_makes` of
        the config: a refiner may start from a generator.
    """
    wanted = config.get("init_makes", runs.what_it_makes(config))
    run_directory.check_makes(wanted, "init_makes")
    runs.open_run(config.init_from, wanted, "init_from")
