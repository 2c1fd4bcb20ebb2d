"""Vision transformer in the layout of SigLIP2 (arXiv:2502.14786): tokens of single images.

Images are cut into square patches, embedded by one projection, and given learned positions. The
*fixed* form sees square images of one size; the *NaFlex* form any size, with the positions
interpolated to its grid. `models/public/siglip.py` reads the public files of both.

    size = tower.size_for(*video.shape[2:4])
    patches = tower.read(resize(video, size))
    tokens = tower.apply({"params": params}, patches)
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.models import products
from seedance_jax.models.attention import attend_groups
from seedance_jax.models.layers import EPSILON, ZEROS, LayerNorm, linear
from seedance_jax.sharding import constrain, param

TOKENS = ("batch", "frames", None, None)  # logical axes of the tokens of images


class Patches(NamedTuple):
    """T images of each of B examples, cut into L squares, row by row or block by block.

    An image has at least one patch; its padding comes after its patches.

    Attributes:
      pixels: [B, T, L, P * P * 3] in [-1, 1]: rows, columns and channels of a square.
      places: int [B, T, L, 2], the row and column of each square in its image.
      shape: int [B, T, 2], the rows and columns of the image.
      mask: bool [B, T, L], False on padding.
    """

    pixels: jax.Array
    places: jax.Array
    shape: jax.Array
    mask: jax.Array


class Layout(NamedTuple):
    """Settings of a block; see VisionTower."""

    heads: int
    hidden: int
    epsilon: float
    dtype: Any


class VisionAttention(nn.Module):
    """Attention of `queries` [B, T, Q, D] to the tokens x [B, T, L, D] of the same image."""

    layout: Layout

    @nn.compact
    def __call__(self, queries: jax.Array, x: jax.Array, mask: jax.Array) -> jax.Array:
        """mask [B, T, L] -> [B, T, Q, D]."""
        query, key, value = (
            self._project(name, tokens)
            for name, tokens in (("query", queries), ("key", x), ("value", x))
        )
        y = attend_groups(query, key, value, mask)
        axes, options = ("heads", None, "embed"), {"axis": (-2, -1), **_biased("embed")}
        return linear(x.shape[-1], axes, dtype=self.layout.dtype, name="out", **options)(y)

    def _project(self, name, x):
        layout, axes = self.layout, ("embed", "heads", None)
        features = (layout.heads, x.shape[-1] // layout.heads)
        return linear(features, axes, dtype=layout.dtype, name=name, **_biased(*axes[1:]))(x)


class GeluMLP(nn.Module):
    """down(gelu(up(x))) with biases, and the approximation of GELU by tanh."""

    layout: Layout

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtype, axes = self.layout.dtype, ("embed", "mlp")
        up = linear(self.layout.hidden, axes, dtype=dtype, name="up", **_biased("mlp"))
        down = linear(x.shape[-1], axes[::-1], dtype=dtype, name="down", **_biased("embed"))
        return down(nn.gelu(up(x)))


def _biased(*axes):
    """Arguments of `linear` for a bias whose dimensions are named by `axes`."""
    return {"use_bias": True, "bias_init": param(ZEROS, *axes)}


class VisionBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): the unit that is scanned over depth."""

    layout: Layout

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, None]:
        """x [B, T, L, D], mask [B, T, L] -> (x, None)."""
        layout, x = self.layout, constrain(x, *TOKENS)
        y = LayerNorm(layout.epsilon, name="attention_norm")(x)
        x = x + VisionAttention(layout, name="attention")(y, y, mask)
        y = LayerNorm(layout.epsilon, name="mlp_norm")(x)
        return x + GeluMLP(layout, name="mlp")(y), None


class AttentionPool(nn.Module):
    """Tokens [B, T, L, D] -> one vector of each image [B, T, D], by a learned query."""

    layout: Layout

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        width = x.shape[-1]
        probe = self.param("probe", nn.initializers.xavier_uniform(), (1, 1, width))
        queries = jnp.broadcast_to(probe.astype(x.dtype), (*x.shape[:2], 1, width))
        x = VisionAttention(self.layout, name="attention")(queries, x, mask)
        y = LayerNorm(self.layout.epsilon, name="mlp_norm")(x)
        return (x + GeluMLP(self.layout, name="mlp")(y))[:, :, 0]


class VisionTower(nn.Module):
    """Patches of images -> their tokens [B, T, L, D].

    Attributes:
      image_size: side, in pixels, of the square image whose patches have the learned positions.
      naflex: whether images may have any other size, too.
      hidden: None for four times the width.
      gradients: type in which devices add up the gradients of kernels; None for `dtype`.
    """

    width: int
    depth: int
    heads: int
    hidden: int | None = None
    patch_size: int = 16
    image_size: int = 256
    naflex: bool = False
    epsilon: float = EPSILON
    dtype: Any = jnp.float32
    gradients: Any = None

    def setup(self) -> None:
        precision = products.Precision(self.dtype, self.gradients)
        layout = Layout(self.heads, self.hidden or 4 * self.width, self.epsilon, precision)
        self.embed = linear(self.width, (None, "embed"), dtype=precision, **_biased("embed"))
        init = param(nn.initializers.normal(self.width**-0.5), None, "embed")
        self.positions = self.param("positions", init, (self.side**2, self.width))
        scanned = nn.scan(
            VisionBlock,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=self.depth,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        self.blocks = scanned(layout)
        self.norm_out = LayerNorm(self.epsilon)
        self.head = AttentionPool(layout)

    @property
    def side(self) -> int:
        """Patches along a side of the image whose patches have the learned positions."""
        return self.image_size // self.patch_size

    def size_for(self, height: int, width: int, block: int = 1) -> tuple[int, int]:
        """The (height, width) to which images of a size are resized for this tower.

        block: the patches of a side come in multiples of it.
        """
        if not self.naflex:
            return self.image_size, self.image_size
        return fit_size(height, width, self.patch_size * block, (self.side // block) ** 2)

    def read(self, video: jax.Array, block: int = 1) -> Patches:
        """Patches of images [B, T, H, W, 3] in [-1, 1], in blocks of `block` x `block` neighbours.

        Raises:
          ValueError: the size of the images does not fit.
        """
        height, width = self.check_size(*video.shape[2:4], block)
        return cut(video[:, :, :height, :width], self.patch_size, block)

    def check_size(self, height: int, width: int, block: int = 1) -> tuple[int, int]:
        """The pixels (height, width) that a tower sees of an image; ValueError if it cannot."""
        unit, fits = self.patch_size * block, (self.image_size,) * 2
        if self.naflex and (height % unit or width % unit or not height * width):
            near = " x ".join(map(str, self.size_for(height, width, block)))
            raise ValueError(
                f"images of {height} x {width} pixels: both must be multiples of {unit}, such as "
                f"{near} (patches of {self.patch_size}, in blocks of {block} x {block})"
            )
        if not self.naflex and (height, width) != fits:
            raise ValueError(
                f"images of {height} x {width} pixels: this tower takes {fits[0]} x {fits[1]} "
                "alone; resize them, or use a NaFlex tower"
            )
        if not self.naflex and self.side % block:
            raise ValueError(
                f"image_size={self.image_size} has {self.side} x {self.side} patches of "
                f"{self.patch_size}, which blocks of {block} x {block} do not divide"
            )
        return (height, width) if self.naflex else (self.side * self.patch_size,) * 2

    def __call__(self, patches: Patches) -> jax.Array:
        """Tokens [B, T, L, D] after the last norm, of type `dtype`."""
        x = self.embed(patches.pixels)
        x = (x + interpolate(self.positions, patches)).astype(x.dtype)
        x, _ = self.blocks(x, patches.mask)
        return constrain(self.norm_out(x), *TOKENS)

    def pool(self, patches: Patches) -> jax.Array:
        """One vector of each image, [B, T, D]: what SigLIP2 compares with texts."""
        return self.head(self(patches), patches.mask)


def cut(video: jax.Array, patch_size: int, block: int = 1) -> Patches:
    """Patches of images [B, T, H, W, 3] whose sides are multiples of patch_size * block.

    Those of a block of `block` x `block` neighbours follow each other.
    """
    rows, columns = (length // patch_size for length in video.shape[2:4])
    lead, count = video.shape[:2], rows * columns
    places = np.moveaxis(np.indices((rows, columns)), 0, -1)[None, None]
    places = _by_block(_by_block(places, 1), block).reshape(count, 2)
    pixels = _by_block(_by_block(video, patch_size), block).reshape(*lead, count, -1)
    shape = jnp.broadcast_to(jnp.array([rows, columns]), (*lead, 2))
    mask = jnp.ones((*lead, count), bool)
    return Patches(pixels, jnp.broadcast_to(places, (*lead, count, 2)), shape, mask)


def _by_block(x, block):
    """[B, T, H, W, ...] -> [B, T, H / block, W / block, block, block, ...]."""
    (batch, frames, height, width), rest = x.shape[:4], x.shape[4:]
    x = x.reshape(batch, frames, height // block, block, width // block, block, *rest)
    return x.swapaxes(3, 4)


def interpolate(positions: jax.Array, patches: Patches) -> jax.Array:
    """Learned positions [side * side, D] of a square grid, at the places of the patches.

    Bilinear, with a wider filter where the image has fewer patches than the grid, as
    `torch.nn.functional.interpolate(antialias=True)`; exact where it has as many. Float32
    [B, T, L, D].
    """
    side = round(len(positions) ** 0.5)
    scale = side / patches.shape[:, :, None].astype(jnp.float32)  # [B, T, 1, 2]
    places = jnp.where(patches.mask[..., None], patches.places, 0)
    center = (places + 0.5) * scale - 0.5
    distance = jnp.abs(jnp.arange(side) - center[..., None]) / jnp.maximum(scale, 1)[..., None]
    factors = jnp.maximum(1 - distance, 0)
    factors = factors / factors.sum(-1, keepdims=True)  # [B, T, L, 2, side]
    rows, columns = factors[..., 0, :, None], factors[..., 1, None, :]
    factors = (rows * columns).reshape(*patches.mask.shape, side * side)
    return jnp.matmul(factors, positions, precision="highest")


def fit_size(height: int, width: int, unit: int, max_units: int) -> tuple[int, int]:
    """The largest size, in multiples of `unit`, of about the same aspect and at most so many units.

    As the image processor of SigLIP2's NaFlex form in `transformers`.
    """

    def units(scale):
        return [max(1, int(np.ceil(length * scale / unit))) for length in (height, width)]

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        scale = (low + high) / 2
        low, high = (scale, high) if np.prod(units(scale)) <= max_units else (low, scale)
    rows, columns = units(low)
    return rows * unit, columns * unit


def resize(video: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Images [B, T, H, W, 3] in another (height, width): bilinear, antialiased, differentiable."""
    shape = (*video.shape[:2], *size, video.shape[-1])
    return video if shape == video.shape else jax.image.resize(video, shape, "linear")
