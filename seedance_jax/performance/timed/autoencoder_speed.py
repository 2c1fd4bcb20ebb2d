"""Seconds and peak memory of the autoencoder, side by side with diffusers' on one machine.

Times are medians of runs that take turns, so that a slow moment of the machine hits both. Peaks are
of processes of their own, less what they held before.
"""

import ctypes
import multiprocessing
import re
import statistics
import time
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.models.public import torch_file, wan
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import codec

CHANNELS = 48


def autoencoder(width, decoder_width):
    """Our wan22 form at other widths."""
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


def random_params(model):
    """Its parameters at initialisation."""
    init = jax.jit(model.init)
    return nn.unbox(init(jax.random.key(0), jnp.zeros((1, 5, 16, 16, 3))))["params"]


def reference(width, decoder_width):
    """diffusers' AutoencoderKLWan of the same shape, with random weights (extra: parity)."""
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


def our_weights(model, theirs):
    """The weights of `reference` as ours."""
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    shapes = {name: value.shape for name, value in state.items()}
    tensors = torch_file.Tensors("diffusers", shapes, state.__getitem__)
    video = jax.ShapeDtypeStruct((1, 5, 16, 16, 3), jnp.float32)
    like = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), video))["params"]
    zero, one = jnp.zeros(CHANNELS), jnp.ones(CHANNELS)
    return {"params": wan.import_params(tensors, like), "mean": zero, "std": one}


def make_runners(size, width, decoder_width, chunk=1):
    """{(ours or diffusers, encode or decode): function without arguments} on one random clip.

    Both go through the clip in chunks, theirs of one frame of latents, ours of `chunk`.
    """
    import torch

    theirs = reference(width, decoder_width)
    model = autoencoder(width, decoder_width)
    weights = our_weights(model, theirs)
    video = np.random.default_rng(0).uniform(-1, 1, (1, *size, 3)).astype(np.float32)
    latents = np.concatenate(list(codec.encode_stream(model, weights, video, chunk)), axis=1)
    clip = torch.from_numpy(np.moveaxis(video, -1, 1).copy())
    code = torch.from_numpy(np.moveaxis(latents, -1, 1).copy())
    return {
        ("ours", "encode"): lambda: list(codec.encode_stream(model, weights, video, chunk)),
        ("diffusers", "encode"): lambda: theirs.encode(clip).latent_dist.mode(),
        ("ours", "decode"): lambda: list(codec.decode_stream(model, weights, latents, chunk)),
        ("diffusers", "decode"): lambda: theirs.decode(code).sample,
    }


def in_turns(runners, repeats):
    """{name: median seconds} of functions that take turns; a first round compiles."""
    seconds = {name: [] for name in runners}
    for turn in range(repeats + 1):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def compare(size, width, decoder_width, chunk=1, repeats=5):
    """Median seconds of every runner, in turns, and ours / diffusers, for clips of (T, H, W)."""
    median = in_turns(make_runners(size, width, decoder_width, chunk), repeats)
    report = {f"{who} {what} s": value for (who, what), value in median.items()}
    for what in ("encode", "decode"):
        report[f"{what} ratio"] = median["ours", what] / median["diffusers", what]
    return report


def peak_memory(function, *args):
    """MiB by which the resident memory of a process of its own grows at most in `function(*args)`.

    `function` is of this module; it gets what it needs as `args` and returns a function to measure.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (function, args))


def _measure(function, args):
    run = function(*args)
    run()  # compiles, and leaves what stays
    ctypes.CDLL(None).malloc_trim(0)  # glibc: what it only keeps for later goes back
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts again from here
    before = _resident_peak()
    run()
    return _resident_peak() - before


def _resident_peak():
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def one_runner(who, what, size, width, decoder_width, chunk):
    """One of `make_runners`."""
    return make_runners(size, width, decoder_width, chunk)[who, what]


def stream_runner(frames, side, width, decoder_width, whole=False):
    """Decodes a clip of `frames` frames of side x side, frame by frame of latents, keeping none."""
    return decode_runner(autoencoder(width, decoder_width), frames, side, whole)


def decode_runner(model, frames, side, whole):
    """`stream_runner` of any model; `whole` takes all frames at once."""
    params = random_params(model)
    weights = {"params": params, "mean": jnp.zeros(CHANNELS), "std": jnp.ones(CHANNELS)}
    shape = (1, *model.latent_shape(frames, side, side))
    latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def run():
        for _ in codec.decode_stream(model, weights, latents, shape[1] if whole else 1):
            pass

    return run
