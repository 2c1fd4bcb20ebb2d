"""PSNR, SSIM and LPIPS of clips against their references.

The value of a clip is the mean over its frames (PSNR: over all its pixels), that of a set the mean
over its clips.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from seedance_jax.evaluation import fidelity
from seedance_jax.evaluation.metrics import intervals
from seedance_jax.evaluation.metrics.batches import batches
from seedance_jax.models.perception import lpips
from seedance_jax.models.public.torch_file import open_tensors
from seedance_jax.pretrained.codec import from_bytes

BATCH = 8  # frames of LPIPS at a time


def open_lpips(vgg: str | Path, heads: str | Path) -> Callable:
    """LPIPS with public parameters: a function (x, y) [B, H, W, 3] in [-1, 1] -> [B].

    Args:
      vgg, heads: files, see `models.perception.lpips`.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: tensors that do not fit.
    """
    params = jax.device_put(lpips.from_torch(open_tensors(vgg), open_tensors(heads)))
    apply = jax.jit(lambda params, x, y: lpips.LPIPS().apply({"params": params}, x, y))
    return functools.partial(apply, params)


def summarize(
    truth: np.ndarray, made: np.ndarray, distance: Callable | None = None
) -> dict[str, intervals.Estimate]:
    """{"psnr" (dB), "ssim", "lpips": Estimate} of clips uint8 [B, T, H, W, 3].

    Higher PSNR and SSIM and lower LPIPS are better. Equal clips count as `fidelity.MOST` dB.

    Args:
      distance: of `open_lpips`; None leaves LPIPS out.
    """
    scores = {"psnr": psnr, "ssim": ssim}
    if distance is not None:
        scores["lpips"] = functools.partial(mean_distance, distance)
    return {
        name: intervals.mean([score(*pair) for pair in zip(truth, made, strict=True)])
        for name, score in scores.items()
    }


def check_size(shape: tuple[int, ...]) -> None:
    """Raises ValueError unless clips [..., H, W, 3] are large enough for all metrics."""
    if min(shape[-3:-1]) < lpips.MINIMUM:
        size = f"{shape[-3]}x{shape[-2]}"
        raise ValueError(f"clips of {size} pixels: pairs need sides of {lpips.MINIMUM} or more")


def psnr(truth: np.ndarray, made: np.ndarray) -> float:
    """Peak signal-to-noise ratio of a clip in dB, at most `fidelity.MOST`."""
    return min(fidelity.psnr(truth, made), fidelity.MOST)


def ssim(truth: np.ndarray, made: np.ndarray) -> float:
    """Mean structural similarity of the frames of a clip."""
    pairs = zip(from_bytes(truth), from_bytes(made), strict=True)
    return float(np.mean([fidelity.ssim(*pair) for pair in pairs]))


def mean_distance(distance: Callable, truth: np.ndarray, made: np.ndarray) -> float:
    """Mean of distance(x, y) over the frames of a clip."""
    pair = from_bytes(truth), from_bytes(made)
    found = [np.asarray(distance(*(x[rows] for x in pair))) for rows in batches(len(truth), BATCH)]
    return float(np.concatenate(found)[: len(truth)].mean())
