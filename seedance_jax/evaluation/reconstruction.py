"""How well an autoencoder gives back clips it has not seen, next to trivial codes of its size."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from seedance_jax.data import loader, sources
from seedance_jax.evaluation import baselines, fidelity
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import codec, runs
from seedance_jax.pretrained.runs import Run
from seedance_jax.sampling import media
from seedance_jax.stages.perceptual import perceptual_distance
from seedance_jax.training import cluster, places, run_directory

PCA_CLIPS = 400  # fitted to: enough for 48 components, little enough for seconds
SHEET_CLIPS = 4


def evaluate_autoencoder(
    run: Run,
    split: str,
    limit: int | None = None,
    batch_size: int = 16,
    tile: int = 0,
    data_dir: str = "",
) -> tuple[dict[str, Any], Image.Image]:
    """Measures the autoencoder of a run on the first `limit` clips of a split (all by default).

    Args:
      tile: decode in tiles of so many latent positions; 0 is whole. The report then has "whole"
        too, to see what tiling costs.
      data_dir: where the run's data set is, if not where the config says.

    Returns:
      (report, sheet): split, clips, tile, and `fidelity.summarize` of autoencoder, pca and
      area_bicubic, with the perceptual distance that the run's config names (lower is better);
      margin is the autoencoder's PSNR over PCA's. The sheet (an image) has a row each
      of original, reconstruction and 4 x difference for the first clips.

    Raises ValueError without such a split.
    """
    config, data = run.config, runs.read_data(run, data_dir)
    bucket = sources.video_bucket(data["buckets"])
    source, train = (sources.open_split(data, name) for name in (split, "train"))
    bucket = dataclasses.replace(bucket, batch_size=batch_size)
    batches = loader.eval_batches(source, bucket, limit=limit)
    model, weights = runs.load_autoencoder(run)
    weights = jax.device_put(weights)  # once, not with every batch
    fitted = loader.middle_clips(train, bucket, PCA_CLIPS)
    whole = {"whole": autoencoder_method(model, weights)} if tile else {}
    methods = {
        "autoencoder": autoencoder_method(model, weights, tile),
        **whole,
        "pca": clipwise(baselines.fit_pca(map(codec.from_bytes, fitted))),
        "area_bicubic": clipwise(baselines.area_bicubic),
    }
    distance, frozen = perceptual_distance(config["perceptual"])
    distance = functools.partial(jax.jit(distance), frozen)
    scores, shown = compare(methods, batches, {config["perceptual"]["name"]: distance})
    report = {"split": split, "clips": len(scores["autoencoder"]), "tile": tile}
    report |= {name: fidelity.summarize(parts) for name, parts in scores.items()}
    report["margin"] = report["autoencoder"]["psnr"] - report["pca"]["psnr"]
    return report, difference_sheet(shown)


def report_autoencoder(run: Run, split: str, tile: int = 0, **settings: Any) -> dict[str, Any]:
    """`evaluate_autoencoder`, kept as evaluation_<split>.json and .png in the run; the report."""
    found, sheet = evaluate_autoencoder(run, split, tile=tile, **settings)
    stem = f"evaluation_{split}" + (f"_tile{tile}" if tile else "")
    if cluster.is_main():
        run_directory.write_json(run.path, f"{stem}.json", found)
        with places.writing(run.path / f"{stem}.png") as file:
            media.save_png(sheet, file)
    return found


def autoencoder_method(
    model: VAE, weights: Mapping[str, Any], tile: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """[B, T, H, W, 3] in [-1, 1] -> what the autoencoder makes of it, from the posterior's mean."""
    encode = jax.jit(lambda weights, video: codec.encode(model, weights, video))
    decode = jax.jit(lambda weights, latents: codec.decode(model, weights, latents))

    def reconstruct(video):
        latents = encode(weights, video)
        if tile:
            return codec.decode_tiled(model, weights, latents, tile, tile // 4)
        return np.asarray(decode(weights, latents))

    return reconstruct


def clipwise(method: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A method for one clip as a method for batches."""
    return lambda video: np.stack([method(clip) for clip in video])


def compare(
    methods: Mapping[str, Callable],
    batches: Iterable[Mapping[str, np.ndarray]],
    distances: Mapping[str, Callable] | None = None,
) -> tuple[dict[str, list], list]:
    """Measures every clip of `loader.eval_batches` with every method.

    `distances` names functions of frames (x, y) [N, H, W, 3] -> [N] to measure as well.

    Returns:
      ({method: [measures of a clip]}, [(clip, reconstruction by the first method)] of a few).
    """
    scores, shown = {name: [] for name in methods}, []
    for batch in batches:
        video = codec.from_bytes(batch["video"])
        for name, method in methods.items():
            pairs = list(zip(video, method(video), batch["valid"], strict=True))
            pairs = [(truth, coded) for truth, coded, valid in pairs if valid]
            for pair in pairs:
                extra = {key: np.mean(fn(*pair)) for key, fn in (distances or {}).items()}
                scores[name].append(fidelity.measure(*pair) | extra)
            if name == next(iter(methods)):
                shown += pairs[: SHEET_CLIPS - len(shown)]
    return scores, shown


def difference_sheet(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Image.Image:
    """Image of rows original, reconstruction, 4 x difference (grey is none) of clips."""
    rows = []
    for truth, coded in pairs:
        for name, video in (
            ("original", truth),
            ("reconstruction", coded),
            ("4 x difference", np.clip(4 * (coded - truth), -1, 1)),
        ):
            rows.append((name, codec.to_bytes(video)))
    return media.contact_sheet(rows)
