"""How well an autoencoder gives back clips it has not seen, next to PCA with as many numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import svds

from seedance_jax.data import loader, sources, transforms
from seedance_jax.data.schema import FRAME_STRIDE, LATENT_CHANNELS, PIXEL_STRIDE
from seedance_jax.evaluation.judges import decibels
from seedance_jax.sampling import runs
from seedance_jax.stages.vae import to_pixels

# What PCA is fitted to: enough for 48 components, little enough for seconds.
PCA_CLIPS = 400
PATCHES_PER_CLIP = 30
PATCH_SIZE = 3 * FRAME_STRIDE * PIXEL_STRIDE**2


def evaluate_autoencoder(workdir, split, limit=None, batch_size=16):
    """Compares a finished run with PCA on the first `limit` clips of a split (all by default).

    Returns:
      split, clips; psnr and psnr_first_frame in dB, over all pixels of all clips together; the same
      with pca_ in front; margin = psnr - pca_psnr.

    Raises:
      ValueError: no such split or not a run of the autoencoder.
    """
    data = runs.read_stage(workdir, "vae")["data"]
    bucket = video_bucket(data["buckets"])
    source, train = (sources.open_split(data, name) for name in (split, "train"))
    bucket = dataclasses.replace(bucket, batch_size=batch_size)
    batches = functools.partial(
        loader.eval_batches, source, bucket, text_length=data["text_length"], limit=limit
    )
    own = autoencoder_psnr(*runs.load_autoencoder(workdir), batches())
    clips = (clip for batch in batches() for clip in batch["video"][batch["valid"]])
    pca = pca_psnr(read_clips(train, bucket, PCA_CLIPS), clips)
    count = len(loader.eligible_rows(source.table, bucket)[0])
    return {
        "split": split,
        "clips": count if limit is None else min(limit, count),
        **own,
        **{f"pca_{name}": value for name, value in pca.items()},
        "margin": own["psnr"] - pca["psnr"],
    }


def video_bucket(buckets):
    """The first bucket of a config that holds clips; ValueError if all hold images."""
    for bucket in sources.make_buckets(buckets):
        if bucket.frames > 1:
            return bucket
    raise ValueError(f"evaluation needs a bucket of clips, there are {buckets}")


def read_clips(source, bucket, limit):
    """Yields the first rows that can serve a bucket, as uint8 [T,H,W,3]."""
    rows, _ = loader.eligible_rows(source.table, bucket)
    for row in rows[:limit]:
        yield transforms.load_video(source[int(row)], bucket.shape, bucket.stride)


def autoencoder_psnr(model, weights, batches):
    """PSNR of what the autoencoder makes of `eval_batches`, from the mean of its posterior."""

    @jax.jit
    def squares(params, video):
        video = to_pixels(video)
        reconstruction = jnp.clip(model.apply({"params": params}, video)[0], -1.0, 1.0)
        return ((reconstruction - video) ** 2).mean((2, 3, 4))  # [B, T]

    parts = [
        np.asarray(squares(weights["params"], batch["video"]))[batch["valid"]] for batch in batches
    ]
    return pooled_psnr(np.concatenate(parts))


def pooled_psnr(squares):
    """Mean squares [N, T] of pixels in [-1, 1] -> PSNR in dB over all and over first frames."""
    return {
        "psnr": decibels(squares.mean(dtype=np.float64), 2.0),
        "psnr_first_frame": decibels(squares[:, 0].mean(dtype=np.float64), 2.0),
    }


def pca_psnr(train, clips, components=LATENT_CHANNELS, seed=0):
    """PSNR of the best linear code of the autoencoder's size: PCA of 4x16x16 pixels to 48 numbers.

    Args:
      train, clips: iterables of uint8 [T,H,W,3], to fit (`PATCHES_PER_CLIP`) and to score.
    """
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(to_patches(clip))[:PATCHES_PER_CLIP] for clip in train]
    mean, basis = fit_pca(np.concatenate(chosen), components)
    return pooled_psnr(np.stack([pca_squares(clip, mean, basis) for clip in clips]))


def fit_pca(patches, components):
    """Mean [D] and orthonormal directions [components, D] of the largest variance of [N, D]."""
    mean = patches.mean(0)
    start = np.random.default_rng(0).normal(size=min(patches.shape))
    _, _, basis = svds(patches - mean, k=components, v0=start)
    return mean, basis


def pca_squares(clip, mean, basis):
    """Mean square error [T] of a clip uint8 [T,H,W,3] in [-1, 1] after PCA.

    The first frame is four times in its patches; it is the mean of the four that comes back.
    """
    patches = to_patches(clip)
    coded = np.clip((patches - mean) @ basis.T @ basis + mean, -1.0, 1.0)
    count = 1 + (len(clip) - 1) // FRAME_STRIDE
    # [n+1, patches of a frame, 4, pixels of a patch]
    truth, coded = (
        x.reshape(count, -1, FRAME_STRIDE, 3 * PIXEL_STRIDE**2) for x in (patches, coded)
    )
    first = ((coded[0].mean(1) - truth[0, :, 0]) ** 2).mean()
    rest = ((coded[1:] - truth[1:]) ** 2).mean((1, 3))
    return np.append(first, rest)


def to_patches(clip):
    """uint8 [T,H,W,3] -> float32 [(n+1) H/16 W/16, 4*16*16*3] in [-1, 1]."""
    _, height, width, _ = clip.shape
    clip = np.concatenate([clip[:1].repeat(FRAME_STRIDE - 1, 0), clip]) / np.float32(127.5) - 1
    rows, columns = height // PIXEL_STRIDE, width // PIXEL_STRIDE
    shape = (-1, FRAME_STRIDE, rows, PIXEL_STRIDE, columns, PIXEL_STRIDE, 3)
    return clip.reshape(shape).transpose(0, 2, 4, 1, 3, 5, 6).reshape(-1, PATCH_SIZE)
