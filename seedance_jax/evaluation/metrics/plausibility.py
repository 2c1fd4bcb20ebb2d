"""LikePhys (arXiv:2510.11512): whether a generator prefers physically plausible clips.

Nothing is sampled. Two similar clips, one of which violates a law of physics, get the same noise;
the generator's loss on each bounds its likelihood. The preference is the share of pairs in which
the plausible clip has the lower loss: 0.5 is chance, 1 is perfect. LikePhys reports 1 - preference,
the plausibility preference error.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seedance_jax.diffusion import times
from seedance_jax.evaluation.metrics import intervals
from seedance_jax.evaluation.metrics.batches import batches

NUM_TIMES = 10


def compare(
    pipeline: Any,
    plausible: np.ndarray,
    implausible: np.ndarray,
    prompts: Sequence[str] | None,
    *,
    seed: int = 0,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Preference of a `sampling.pipeline.Pipeline` over pairs of clips.

    Args:
      plausible, implausible: uint8 [B, T, H, W, 3], the pairs.
      prompts: one for each pair; None is the empty prompt.
      seed: pair i has the noise of seed + i at every time.

    Returns:
      {"preferred": [bool for each pair, from losses averaged over NUM_TIMES times],
       "preference": Estimate of their share,
       "margin": Estimate of the mean of (implausible - plausible) / plausible loss,
       "times": [t], "preference_by_time": [share]}.

    Raises:
      ValueError: clips that do not match, or of a size that the model cannot encode.
    """
    grid = loss_times(pipeline, plausible.shape[1:4])
    losses = [
        losses_of(pipeline, clips, prompts, grid, seed, batch_size)
        for clips in (plausible, implausible)
    ]
    good, bad = (loss.mean(1) for loss in losses)
    return {
        "preferred": (good < bad).tolist(),
        "preference": intervals.share(int((good < bad).sum()), len(good)),
        "margin": intervals.mean((bad - good) / good),
        "times": [float(t) for t in grid],
        "preference_by_time": [float(share) for share in (losses[0] < losses[1]).mean(0)],
    }


def loss_times(pipeline: Any, size: tuple[int, int, int]) -> np.ndarray:
    """The midpoints of NUM_TIMES sampling steps of a clip of (T, H, W)."""
    middles = (np.arange(NUM_TIMES) + 0.5) / NUM_TIMES
    shift = pipeline.time_shift(pipeline.autoencoder.latent_shape(*size))
    return times.shift_times(middles, shift)


def losses_of(
    pipeline: Any,
    clips: np.ndarray,
    prompts: Sequence[str] | None,
    grid: np.ndarray,
    seed: int,
    batch_size: int,
) -> np.ndarray:
    """The losses of clips at all times, float32 [B, times]."""
    parts = []
    for numbers in batches(len(clips), batch_size):
        chosen = None if prompts is None else [prompts[number] for number in numbers]
        seeds = (seed + numbers).astype(np.uint32)
        parts.append(pipeline.denoising_loss(clips[numbers], chosen, grid, seeds))
    return np.concatenate(parts)[: len(clips)]
