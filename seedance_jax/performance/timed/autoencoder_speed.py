"""Seconds and peak memory of the autoencoder next to diffusers' on the same machine.

Times are medians of alternating runs, so that a slow moment of the machine affects both. Peak
memory is measured in a subprocess, relative to its memory before the run.
"""

import ctypes
import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.models.public import torch_file, wan
from seedance_jax.models.vae import VAE
from seedance_jax.performance.timed import turns
from seedance_jax.pretrained import codec

CHANNELS = 48


def autoencoder(width: int, decoder_width: int) -> VAE:
    """The architecture `wan22` of this package at other widths."""
    steps = (1, 2, 4, 4)
    return VAE(
        latent_channels=CHANNELS,
        patch=2,
        encoder_widths=tuple(width * step for step in steps),
        decoder_widths=tuple(decoder_width * step for step in reversed(steps)),
        strides=((1, 2), (2, 2), (2, 2)),
        encoder_blocks=(2,) * 4,
        decoder_blocks=(3,) * 4,
    )


def random_params(model: VAE) -> Any:
    """Parameters of a model at initialisation."""
    init = jax.jit(model.init)
    return nn.unbox(init(jax.random.key(0), jnp.zeros((1, 5, 16, 16, 3))))["params"]


def reference(width: int, decoder_width: int) -> Any:
    """diffusers' AutoencoderKLWan of the same widths, randomly initialised (extra: parity)."""
    import torch
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    return AutoencoderKLWan(
        base_dim=width,
        decoder_base_dim=decoder_width,
        z_dim=CHANNELS,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    ).eval()


def import_reference(model: VAE, theirs: Any) -> dict[str, Any]:
    """{"params", "mean", "std"} of `model` with the parameters of `reference`."""
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    shapes = {name: value.shape for name, value in state.items()}
    tensors = torch_file.Tensors(shapes, state.__getitem__)
    video = jax.ShapeDtypeStruct((1, 5, 16, 16, 3), jnp.float32)
    like = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), video))["params"]
    zero, one = jnp.zeros(CHANNELS), jnp.ones(CHANNELS)
    return {"params": wan.import_params(tensors, like), "mean": zero, "std": one}


def make_runners(
    size: tuple[int, int, int], width: int, decoder_width: int, chunk: int = 1
) -> dict[tuple[str, str], Callable[[], Any]]:
    """{(ours or diffusers, encode or decode): function without arguments} for one random clip.

    Both work in chunks: diffusers' of one latent frame, ours of `chunk`.
    """
    import torch

    theirs = reference(width, decoder_width)
    model = autoencoder(width, decoder_width)
    loaded = import_reference(model, theirs)
    video = np.random.default_rng(0).uniform(-1, 1, (1, *size, 3)).astype(np.float32)
    latents = np.concatenate(list(codec.encode_stream(model, loaded, video, chunk)), axis=1)
    clip = torch.from_numpy(np.moveaxis(video, -1, 1).copy())
    code = torch.from_numpy(np.moveaxis(latents, -1, 1).copy())
    return {
        ("ours", "encode"): lambda: list(codec.encode_stream(model, loaded, video, chunk)),
        ("diffusers", "encode"): lambda: theirs.encode(clip).latent_dist.mode(),
        ("ours", "decode"): lambda: list(codec.decode_stream(model, loaded, latents, chunk)),
        ("diffusers", "decode"): lambda: theirs.decode(code).sample,
    }


def compare(
    size: tuple[int, int, int], width: int, decoder_width: int, chunk: int = 1, repeats: int = 5
) -> dict[str, float]:
    """Median seconds of every runner and the ratios ours / diffusers, for a clip of (T, H, W)."""
    median = turns.in_turns(make_runners(size, width, decoder_width, chunk), repeats)
    report = {f"{who} {what} s": value for (who, what), value in median.items()}
    for what in ("encode", "decode"):
        report[f"{what} ratio"] = median["ours", what] / median["diffusers", what]
    return report


def peak_memory(function: Callable[..., Callable[[], Any]], *args: Any) -> float:
    """MiB by which a subprocess' resident memory grows at most while `function(*args)()` runs.

    `function` must be picklable: a top-level one.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (function, args))


def _measure(function, args):
    run = function(*args)
    run()  # compiles, and fills caches
    ctypes.CDLL(None).malloc_trim(0)  # glibc returns freed memory
    Path("/proc/self/clear_refs").write_text("5")  # Linux resets the peak
    before = _resident_peak()
    run()
    return _resident_peak() - before


def _resident_peak():
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def one_runner(
    who: str, what: str, size: tuple[int, int, int], width: int, decoder_width: int, chunk: int
) -> Callable[[], Any]:
    """One of `make_runners`."""
    return make_runners(size, width, decoder_width, chunk)[who, what]


def stream_runner(
    frames: int, side: int, width: int, decoder_width: int, whole: bool = False
) -> Callable[[], None]:
    """A function that decodes a clip of `frames` frames of side x side, discarding the frames."""
    return decode_runner(autoencoder(width, decoder_width), frames, side, whole)


def decode_runner(model: VAE, frames: int, side: int, whole: bool) -> Callable[[], None]:
    """`stream_runner` of any model: latent frame by latent frame, or all at once if `whole`."""
    params = random_params(model)
    loaded = {"params": params, "mean": jnp.zeros(CHANNELS), "std": jnp.ones(CHANNELS)}
    shape = (1, *model.latent_shape(frames, side, side))
    latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def run():
        for _ in codec.decode_stream(model, loaded, latents, shape[1] if whole else 1):
            pass

    return run
