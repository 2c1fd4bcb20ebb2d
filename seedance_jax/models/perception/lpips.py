"""LPIPS v0.1 on VGG16 (arXiv:1801.03924), a learned perceptual distance of two images.

It compares unit feature vectors at five depths of a VGG16 trained on ImageNet, with weights per
channel fitted to human judgements. Neither is part of this package:

    vgg = open_tensors("vgg16-397923af.pth")  # torchvision's VGG16
    heads = open_tensors("vgg.pth")  # weights/v0.1/vgg.pth of the `lpips` package, 7 KB
    params = from_torch(vgg, heads)
    distance = LPIPS().apply({"params": params}, images, others)
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.models.public.names import check_shapes

# Mean and standard deviation of ImageNet's pixels in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

WIDTHS = (64, 128, 256, 512, 512)
# Indices of the convolutions of each stage in torchvision's `features`.
POSITIONS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
MINIMUM = 2 ** (len(WIDTHS) - 1)


class VGG16(nn.Module):
    """Images [B, H, W, 3] -> features of relu1_2, 2_2, 3_3, 4_3, 5_3: [B, H/2^k, W/2^k, C_k]."""

    precision: Any = "highest"

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
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
    """Perceptual distance: symmetric, and 0 for equal images.

    Attributes:
      precision: of the convolutions. "highest" is that of published values; "default" rounds to
        bfloat16 or TF32 on accelerators, which is faster and good enough for a loss.
    """

    precision: Any = "highest"

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """x, y [B, H, W, 3] in [-1, 1] -> float32 [B].

        Raises:
          ValueError: the shapes differ, or a side is below 16 pixels.
        """
        if x.shape != y.shape or min(x.shape[1:3]) < MINIMUM or x.shape[3:] != (3,):
            expected = f"two equal [B, H, W, 3], sides from {MINIMUM} pixels"
            raise ValueError(f"images of shape {x.shape} and {y.shape}: must be {expected}")
        images = jnp.concatenate([x, y]).astype(jnp.float32)
        images = (images - jnp.array(SHIFT)) / jnp.array(SCALE)
        distance = jnp.zeros(len(x))
        for stage, features in enumerate(VGG16(self.precision, name="vgg")(images)):
            head = self.param(f"head{stage}", nn.initializers.ones, features.shape[-1:])
            a, b = jnp.split(to_unit(features), 2)
            distance += ((a - b) ** 2 * head).sum(-1).mean((1, 2))
        return distance


def to_unit(features: jax.Array) -> jax.Array:
    """Scales vectors [..., C] to length 1; zero vectors stay zero."""
    squares = (features * features).sum(-1, keepdims=True)
    # The gradient of the square root is infinite at 0, and after a ReLU whole vectors can be 0.
    return features / (jnp.sqrt(jnp.maximum(squares, 1e-30)) + 1e-10)


def from_torch(vgg: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The parameters of `LPIPS` from state dicts.

    Args:
      vgg: of torchvision's `vgg16`: `features.{i}.weight` [out, in, 3, 3] and `.bias`; its
        classifier is ignored.
      heads: of the `lpips` package: `lin{k}.model.1.weight` [1, C, 1, 1].

    Raises:
      ValueError: tensors that are missing, unexpected or of another shape.
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
    scales = [np.asarray(heads[_head(k)], np.float32).reshape(-1) for k in range(len(WIDTHS))]
    return {"vgg": convolutions, **{f"head{k}": scale for k, scale in enumerate(scales)}}


def _head(stage):
    return f"lin{stage}.model.1.weight"


def vgg_shapes() -> dict[str, tuple[int, ...]]:
    """{name: shape} of the tensors of torchvision's VGG16 that `from_torch` needs."""
    shapes, channels = {}, 3
    for width, positions in zip(WIDTHS, POSITIONS, strict=True):
        for i in positions:
            shapes[f"features.{i}.weight"] = (width, channels, 3, 3)
            shapes[f"features.{i}.bias"] = (width,)
            channels = width
    return shapes
