"""What the judges say of the true clips of a suite, and of those as an autoencoder returns them.

The second is the best that any generator of its latents can be expected to do.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seedance_jax.data.builders.processes import ordered_map
from seedance_jax.evaluation.judges import verdict
from seedance_jax.evaluation.judges.forms import find_bounds
from seedance_jax.evaluation.metrics.batches import batches
from seedance_jax.evaluation.metrics.intervals import in_words
from seedance_jax.evaluation.reconstruction import autoencoder_method
from seedance_jax.evaluation.suite import cases, scoring
from seedance_jax.evaluation.suite.cases import Suite
from seedance_jax.evaluation.suite.report import shares
from seedance_jax.pretrained import codec, runs
from seedance_jax.pretrained.runs import Run
from seedance_jax.training import cluster, places, run_directory


def report(run: Run, suite: Suite, limit: int | None, batch_size: int) -> dict[str, Any]:
    """`judge`, by as many processes as there are CPUs, kept as suite_<name>.json in the run.

    Raises an error before, if judges have no thresholds or the run cannot be written.
    """
    find_bounds(suite.form)

    def make():
        places.check_writable(run.path, "the run")
        each = functools.partial(ordered_map, num_processes=os.cpu_count() or 1)
        found = judge(run, suite, limit, batch_size, each)
        run_directory.write_json(run.path, f"suite_{suite.name}.json", found)
        return found

    return cluster.of_main(make)


def judge(
    run: Run,
    suite: Suite,
    limit: int | None = None,
    batch_size: int = 16,
    each: Callable = map,
) -> dict[str, Any]:
    """What the judges say of an autoencoder: {suite, checksum, weights, judges, clips, ...}.

    Args:
      limit: of the first cases only; several of one clip count once.
      each: function (function, items) -> results in order; `map`, or one with processes.

    Returns with them `true` and `autoencoder`, each {passed, axes, gates} with intervals, and
    `kept`: the share that passes of those true clips that do.
    """
    chosen = {(case.split, case.index): case for case in cases.first_cases(suite, limit)}
    scenes = [case.scene for case in chosen.values()]
    true = np.stack([suite.clip(case) for case in chosen.values()])
    model, weights = runs.load_autoencoder(run)
    returned = reconstruct(autoencoder_method(model, weights), true, batch_size)
    pairs = zip([*true, *returned], scenes * 2, strict=True)
    found = list(each(functools.partial(gates, float(suite.form.fps)), pairs))
    before, after = found[: len(true)], found[len(true) :]
    kept = [own for own, first in zip(after, before, strict=True) if False not in first.values()]
    return {
        "suite": suite.name,
        "checksum": suite.checksum,
        "weights": runs.latent_fingerprint(weights),
        "judges": scoring.judges(),
        "clips": len(true),
        "true": shares(before),
        "autoencoder": shares(after),
        "kept": shares(kept)["passed"],
    }


def reconstruct(code: Callable, clips: np.ndarray, batch_size: int) -> np.ndarray:
    """Clips uint8 [N,T,H,W,3] as a function of [B,T,H,W,3] in [-1, 1] gives them back."""
    coded = [
        codec.to_bytes(code(codec.from_bytes(clips[rows])))
        for rows in batches(len(clips), min(batch_size, len(clips)))
    ]
    return np.concatenate(coded)[: len(clips)]


def gates(fps: float, pair: tuple[np.ndarray, Mapping[str, Any]]) -> dict[str, bool | None]:
    """The gates of (frames uint8 [T,H,W,3], scene)."""
    return verdict.judge_clip(pair[0], fps, pair[1]).gates


def one_line(found: Mapping[str, Any]) -> str:
    """What `judge` found, in a line."""
    true, coded = (in_words(found[name]["passed"], ".2f") for name in ("true", "autoencoder"))
    kept = f"; {in_words(found['kept'], '.2f')} of those that pass before" if found["kept"] else ""
    return (
        f"{found['suite']}: {coded} of {found['clips']} true clips pass through the autoencoder, "
        f"{true} without it{kept}"
    )
