"""How near a reconstruction is to its clip. Pixels in [-1, 1]; higher is better unless said."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from skimage.metrics import structural_similarity

BORDER = 8  # pixels of a frame's edge that count as its border; a quarter of smaller frames
PEAK = 2.0
MOST = 99.0  # dB that equal arrays count as, where decibels are compared or averaged
OWN = ("squares", "border", "center", "ssim", "flicker", "true_gradient", "gradient")


def measure(truth: np.ndarray, coded: np.ndarray) -> dict[str, Any]:
    """Sums over one clip that `summarize` turns into scores; truth, coded float [T, H, W, 3]."""
    squares = ((coded - truth) ** 2).mean(-1, dtype=np.float64)  # [T, H, W]
    border = np.ones(squares.shape[1:], bool)
    rows, columns = (min(BORDER, size // 4) for size in border.shape)
    border[rows:-rows, columns:-columns] = False
    return {
        "squares": squares.mean((1, 2)),
        "border": squares[:, border].mean(),
        "center": squares[:, ~border].mean(),
        "ssim": np.mean([ssim(*pair) for pair in zip(truth, coded, strict=True)]),
        "flicker": np.abs(np.diff(coded - truth, axis=0)).mean() if len(truth) > 1 else 0.0,
        "true_gradient": gradient(truth),
        "gradient": gradient(coded),
    }


def decibels(mean_square: float, peak: float) -> float:
    """Peak signal-to-noise ratio in dB; infinite where there is no error."""
    return float(10.0 * np.log10(peak**2 / mean_square)) if mean_square > 0 else float("inf")


def mean_square(value: float, peak: float) -> float:
    """The mean square of an error of so many dB: `decibels`, turned round."""
    return float(peak**2 / 10.0 ** (value / 10.0))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB between uint8 arrays of the same shape."""
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape:
        raise ValueError(
            f"psnr compares uint8 of one shape, got {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        )
    return decibels(((a.astype(np.float64) - b) ** 2).mean(), 255.0)


def ssim(truth: np.ndarray, coded: np.ndarray) -> float:
    """Structural similarity of two frames [H, W, 3] (Wang et al. 2004: Gaussian window)."""
    return structural_similarity(
        truth,
        coded,
        data_range=PEAK,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


def gradient(video: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels."""
    return np.mean([np.abs(np.diff(video, axis=axis)).mean(dtype=np.float64) for axis in (1, 2)])


def summarize(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of all clips of one length, from what `measure` gave for each.

    Returns:
      psnr (dB, errors pooled over all pixels of all clips before the logarithm), and the same of
      first frames, of the others, of the `BORDER` pixels at the edges and of the rest;
      psnr_by_frames: of clips cut after 1, 5, 9, ... frames; ssim; flicker: mean absolute change of
      the error from frame to frame (0 is best); sharpness: mean pixel gradient relative to the
      truth's (1 is right, below is blurred); and the means of whatever else the parts hold.
    """
    mean = {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}
    squares = mean["squares"]
    frames = [*range(1, len(squares), 4), len(squares)]
    rest = squares[1:] if len(squares) > 1 else squares
    return {
        "psnr": decibels(squares.mean(), PEAK),
        "psnr_first_frame": decibels(squares[0], PEAK),
        "psnr_other_frames": decibels(rest.mean(), PEAK),
        "psnr_border": decibels(mean["border"], PEAK),
        "psnr_center": decibels(mean["center"], PEAK),
        "psnr_by_frames": {
            str(count): decibels(squares[:count].mean(), PEAK) for count in sorted(set(frames))
        },
        "ssim": float(mean["ssim"]),
        "flicker": float(mean["flicker"]),
        "sharpness": float(mean["gradient"] / max(mean["true_gradient"], 1e-12)),
        **{name: float(mean[name]) for name in mean if name not in OWN},
    }
