"""Low-rank adapters of a finished run, added to the generator that they were trained on."""

import math
from collections.abc import Mapping
from typing import Any

from seedance_jax.models import lora
from seedance_jax.pretrained import lineage, merging
from seedance_jax.pretrained.runs import Run
from seedance_jax.training import checkpoint, run_directory
from seedance_jax.training.finiteness import check_finite
from seedance_jax.training.places import Place


def check_scale(scale: float) -> None:
    """Raises ValueError unless adapters can be added `scale` times."""
    if not math.isfinite(scale):
        raise ValueError(f"lora_scale={scale}: must be a finite number")


def add_lora(
    params: Mapping[str, Any], metadata: Mapping[str, Any], adapters: Run, scale: float = 1.0
) -> dict[str, Any]:
    """The weights with `scale` times the adapters of a finished run of `configs/lora.py` added.

    Args:
      params, metadata: of the generator.
      scale: see `check_scale`.

    Raises:
      ValueError: the adapters were trained on another generator, or the sum is not finite.
    """
    own = adapters.metadata
    for name in run_directory.SHARED:
        if own.get(name) != metadata.get(name):
            raise ValueError(
                f"{adapters.path} was trained with {name} {own.get(name)}, the generator with "
                f"{metadata.get(name)}"
            )
    found = run_directory.fingerprint(trained_part(params, metadata))
    if own["base"] != found:
        raise ValueError(
            f"{adapters.path} was trained on the weights {own['base']}, those of "
            f"{adapters.config['lora'].get('base_run')} then; the generator has {found}"
        )
    merged = lora.merge(params, checkpoint.load(adapters.path), scale * own["lora_scale"])
    check_finite(merged, f"the generator with {scale:g} times {adapters.path}")
    return merged


def trained_part(params: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a generator without the finished language model that it may read with."""
    return {name: params[name] for name in params if name != "text" or "text" not in metadata}


def merge_lora(run: Run, adapters: Run, scale: float, output: Place) -> None:
    """Makes the run `output` of the generator `run` and adapters; see `add_lora`.

    Raises ValueError, too, if `output` is in use, or the scale is not finite.
    """
    check_scale(scale)
    run_directory.check_new("--output", output)
    params = add_lora(checkpoint.load(run.path), run.metadata, adapters, scale)
    origin = {"workdir": str(run.path), "lora": str(adapters.path), "lora_scale": scale}
    parents = {"merged": [lineage.parent(run), lineage.parent(adapters)]}
    merging.write_merged(run, output, params, {"merged": origin}, parents)
