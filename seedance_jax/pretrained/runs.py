"""Runs, opened once and passed on, and the autoencoders that they hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from seedance_jax.data import sources
from seedance_jax.models.vae import VAE
from seedance_jax.training import checkpoint, places, run_directory
from seedance_jax.training.places import Place, place
from seedance_jax.training.run_directory import MAKES

# The weights that come with the package: a release of `configs/pretrain.py:released`.
RELEASED = Path(__file__).parents[1] / "weights" / "tiny"
# What a run of an objective may make, by the field `makes` of its config; the first by default.
OBJECTIVES = {"vae": ("autoencoder",), "flow_matching": ("generator", "refiner", "motion")}
# Fields of metadata.json that those who open such a run read.
GENERATOR = ("latent_channels", "autoencoder", "vae_run", "buckets", "fps", "text_length")
NEEDED = {
    "autoencoder": ("mean", "std"),
    **dict.fromkeys(OBJECTIVES["flow_matching"], GENERATOR),
    "adapters": (*GENERATOR, "lora_scale", "base"),
}


class Run(NamedTuple):
    """A run directory that was opened.

    Attributes:
      path: where it is.
      config: its config.json.
      metadata: its metadata.json, {} as long as it has none.
      step: of the checkpoint that it stands for (`run_directory.final_step`), None without any.
      makes: what it makes, one of MAKES.
    """

    path: Place
    config: dict[str, Any]
    metadata: dict[str, Any]
    step: int | None
    makes: str


def open_run(
    workdir: str | Place,
    makes: str | tuple[str, ...] | None = None,
    flag: str = "--workdir",
    finished: bool = True,
) -> Run:
    """Opens a run.

    Args:
      makes: what it must make, of MAKES, or several of which it must make one; None is anything.
      flag: the flag or field that names the run.
      finished: whether its metadata must be those of its newest checkpoint.

    Raises:
      FileNotFoundError: there is no such run, or it is not finished.
      ValueError: it makes something else, or is of an older layout.
    """
    places.check_place(flag, workdir)
    if not workdir or not place(workdir).is_dir():
        raise FileNotFoundError(f"{flag}: run directory {str(workdir)!r} does not exist")
    path, config = place(workdir), run_directory.read_json(workdir, "config.json")
    there = (path / "metadata.json").exists()
    metadata = run_directory.read_json(workdir, "metadata.json") if there else {}
    try:
        says = "makes" in metadata
        found = run_directory.check_makes(metadata["makes"]) if says else what_it_makes(config)
    except ValueError as error:
        raise ValueError(f"{flag}: {workdir} is not a run that can be opened: {error}") from None
    run = Run(path, config, metadata, run_directory.final_step(workdir), found)
    _check_makes(run, (makes,) if isinstance(makes, str) else makes, flag)
    if finished:
        _check_finished(run)
    return run


def what_it_makes(config: Mapping[str, Any]) -> str:
    """What a run of a config makes, of MAKES.

    Metadata says it, too, once there are some; those of older runs and releases do not.

    Raises ValueError if its objective is not known, or does not make what the config says.
    """
    return "adapters" if "lora" in config else what_it_trains(config)


def what_it_trains(config: Mapping[str, Any]) -> str:
    """`what_it_makes` of a config but for its adapters: what these are added to."""
    objective = config.get("stage")
    if objective not in OBJECTIVES:
        raise ValueError(f"its config has stage={objective!r}; known: {sorted(OBJECTIVES)}")
    legal = OBJECTIVES[objective]
    makes = config.get("makes", legal[0])
    if makes not in legal:
        raise ValueError(f"its config has makes={makes!r}; stage={objective!r} makes {legal}")
    return makes


def _check_makes(run, wanted, flag):
    if wanted is None or run.makes in wanted:
        return
    names = " or ".join(MAKES[name] for name in wanted)
    message = f"{run.path} makes {MAKES.get(run.makes, run.makes)}; {flag} wants {names}"
    if run.makes == "adapters" and "generator" in wanted:
        message += (
            ": `merge` adds them to the run that they were trained on, and `sample` takes them "
            f"beside it, as --lora={run.path}"
        )
    raise ValueError(message)


def _check_finished(run):
    metadata = run.metadata or run_directory.read_json(run.path, "metadata.json")
    step = metadata.get("step")
    if step != run.step:
        raise FileNotFoundError(
            f"{run.path} is not a finished run: it was at step {step}, its checkpoint is at "
            f"{run.step}"
        )
    if missing := [name for name in NEEDED.get(run.makes, ()) if name not in metadata]:
        raise ValueError(
            f"{run.path} is a run of an older layout, without {', '.join(missing)} in "
            "metadata.json: remove that file and start the same training again, which then only "
            "writes a new one"
        )


def load_autoencoder(run: Run) -> tuple[VAE, dict[str, Any]]:
    """Returns (VAE, weights) of a finished run that makes an autoencoder.

    weights = {"params", "mean" [C], "std" [C]}: the latents that everything downstream works with
    are (encoder mean - mean) / std. Discriminators stay behind.
    """
    weights = {"params": checkpoint.load(run.path, parts=("encoder", "decoder"))}
    statistics = {name: np.array(run.metadata[name], np.float32) for name in ("mean", "std")}
    weights |= jax.device_put(statistics)
    return VAE(**as_tuples(run.config["vae"])), weights


def autoencoder_of(run: Run, vae_run: str | Place = "") -> tuple[Run, VAE, dict[str, Any]]:
    """(its run, VAE, weights) of the autoencoder that a generator was trained with.

    By default it is where it was at training; that of a release, in the release.

    Raises:
      FileNotFoundError: there is no finished run.
      ValueError: it makes other latents.
    """
    vae_run = vae_run or places.join(run.path, run.metadata["vae_run"])
    opened = open_run(vae_run, "autoencoder", "vae_run")
    model, weights = load_autoencoder(opened)
    found, wanted = latent_fingerprint(weights), run.metadata["autoencoder"]
    if found != wanted:
        raise ValueError(
            f"{run.path} was trained with autoencoder {wanted}, but {vae_run} is {found}"
        )
    return opened._replace(path=places.absolute(opened.path)), model, weights


def as_tuples(value: Any) -> Any:
    """A value read from JSON with tuples for lists, so that modules made of it can be hashed."""
    if isinstance(value, dict):
        return {name: as_tuples(part) for name, part in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def latent_fingerprint(weights: Mapping[str, Any]) -> str:
    """Hash of what makes latents what they are: the encoder and the statistics, not the decoder."""
    parts = {name: weights[name] for name in ("mean", "std")}
    return run_directory.fingerprint({"encoder": weights["params"]["encoder"], **parts})


def read_data(run: Run, data_dir: str = "") -> dict[str, Any]:
    """The section `data` of a run's config; its data set is there, in `data_dir` if it has moved.

    Raises:
      ValueError: it is not; the message has the command that builds it.
    """
    data = run.config["data"] | ({"data_dir": data_dir} if data_dir else {})
    sources.check_built(data, run.makes, run.config.get("size", "SIZE"))
    return sources.sources_of(data)[0].data
