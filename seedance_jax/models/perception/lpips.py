"""Learned perceptual distance of two images: LPIPS v0.1 on VGG16 (arXiv:1801.03924).

The distance compares unit feature vectors at five depths of a VGG16 trained on ImageNet, with
channel weights fitted to human judgements. Neither set of weights comes with this package:

    vgg = open_tensors("vgg16-397923af.pth")  # torchvision's VGG16
    heads = open_tensors("vgg.pth")  # weights/v0.1/vgg.pth of the `lpips` package, 7 KB
    params = from_torch(vgg, heads)
    distance = LPIPS().apply({"params": params}, images, others)
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from seedance_jax.models.public.torch_file import check_shapes

# Mean and deviation of ImageNet's pixels, moved from [0, 1] to [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

WIDTHS = (64, 128, 256, 512, 512)
# Positions of the convolutions of each stage in torchvision's `features`.
POSITIONS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
MINIMUM = 2 ** (len(WIDTHS) - 1)


class VGG16(nn.Module):
    """Images [N, H, W, 3] -> features of relu1_2, 2_2, 3_3, 4_3, 5_3: [N, H/2^k, W/2^k, C_k]."""

    precision: Any = "highest"

    @nn.compact
    def __call__(self, x):
        features = []
        for stage, (width, positions) in enumerate(zip(WIDTHS, POSITIONS, strict=True)):
            if stage:
                x = nn.max_pool(x, (2, 2), (2, 2))
            for position in positions:
                conv = nn.Conv(width, (3, 3), precision=self.precision, name=f"conv{position}")
                x = nn.relu(conv(x))
            features.append(x)
        return features


class LPIPS(nn.Module):
    """Perceptual distance: 0 for equal images, and symmetric.

    Attributes:
      precision: of the convolutions. "highest" is what published numbers are made with; "default"
        is quicker on accelerators, where it rounds to bfloat16 or TF32, and serves as a loss.
    """

    precision: Any = "highest"

    @nn.compact
    def __call__(self, x, y):
        """x, y [N, H, W, 3] in [-1, 1] -> [N] float32.

        Raises:
          ValueError: the shapes differ, or a side is below 16 pixels.
        """
        if x.shape != y.shape or min(x.shape[1:3]) < MINIMUM or x.shape[3:] != (3,):
            expected = f"two equal [N, H, W, 3], sides from {MINIMUM} pixels"
            raise ValueError(f"images of shape {x.shape} and {y.shape}: must be {expected}")
        images = jnp.concatenate([x, y]).astype(jnp.float32)
        images = (images - jnp.array(SHIFT)) / jnp.array(SCALE)
        distance = jnp.zeros(len(x))
        for stage, features in enumerate(VGG16(self.precision, name="vgg")(images)):
            head = self.param(f"head{stage}", nn.initializers.ones, features.shape[-1:])
            a, b = jnp.split(to_unit(features), 2)
            distance += ((a - b) ** 2 * head).sum(-1).mean((1, 2))
        return distance


def to_unit(features):
    """Scales the vectors [..., C] to length 1; zero vectors stay zero."""
    squares = (features * features).sum(-1, keepdims=True)
    # The square root has no slope at zero, and after a ReLU whole vectors can be zero.
    return features / (jnp.sqrt(jnp.maximum(squares, 1e-30)) + 1e-10)


def from_torch(vgg, heads):
    """The parameters of `LPIPS` from state dicts of arrays.

    Args:
      vgg: torchvision's `vgg16`: `features.{i}.weight` [out, in, 3, 3] and `.bias`; its classifier
        may be there, and is not read.
      heads: of the `lpips` package: `lin{k}.model.1.weight` [1, C, 1, 1].

    Raises:
      ValueError: a tensor is missing, unexpected or of another shape; all such are reported.
    """
    check_shapes("VGG16", vgg, vgg_shapes(), optional=("classifier.",))
    check_shapes("LPIPS heads", heads, {_head(k): (1, c, 1, 1) for k, c in enumerate(WIDTHS)})
    convolutions = {
        f"conv{i}": {
            "kernel": np.asarray(vgg[f"features.{i}.weight"], np.float32).transpose(2, 3, 1, 0),
            "bias": np.asarray(vgg[f"features.{i}.bias"], np.float32),
        }
        for positions in POSITIONS
        for i in positions
    }
    weights = [np.asarray(heads[_head(k)], np.float32).reshape(-1) for k in range(len(WIDTHS))]
    return {"vgg": convolutions, **{f"head{k}": weight for k, weight in enumerate(weights)}}


def _head(stage):
    return f"lin{stage}.model.1.weight"


def vgg_shapes():
    """{name: shape} of what `from_torch` needs of torchvision's VGG16."""
    shapes, channels = {}, 3
    for width, positions in zip(WIDTHS, POSITIONS, strict=True):
        for i in positions:
            shapes[f"features.{i}.weight"] = (width, channels, 3, 3)
            shapes[f"features.{i}.bias"] = (width,)
            channels = width
    return shapes
