"""Vision transformer in the layout of SigLIP2 (arXiv:2502.14786): tokens of single images.

Images are cut into square patches, embedded by one projection, and given learned positions. The
*fixed* form sees square images of one size; the *NaFlex* form any size, with the positions
interpolated to its grid. `models/public/siglip.py` reads the public files of both. The tower of
Qwen3-VL (arXiv:2511.21631) is the NaFlex form with more: RoPE of rows and columns, two frames in
a patch, tokens of several blocks, other interpolation (`models/public/qwen_vision.py`).

    size = tower.size_for(*video.shape[2:4])
    patches = tower.read(resize(video, size))
    tokens = tower.apply({"params": params}, patches)
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models import products
from seedance_jax.models.attention import attend_groups
from seedance_jax.models.layers import EPSILON, ZEROS, LayerNorm, linear
from seedance_jax.models.perception.patches import (
    Patches,
    cut,
    fit_size,
    interpolate,
    join_frames,
)
from seedance_jax.models.rope import rope_1d, rotate
from seedance_jax.sharding import constrain, param

TOKENS = ("batch", "frames", None, None)  # logical axes of the tokens of images


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
    def __call__(
        self, queries: jax.Array, x: jax.Array, mask: jax.Array, rope: tuple | None = None
    ) -> jax.Array:
        """mask [B, T, L] -> [B, T, Q, D]; rope: (cos, sin), each [B, T, L, K / 2]."""
        query, key, value = (
            self._project(name, tokens)
            for name, tokens in (("query", queries), ("key", x), ("value", x))
        )
        if rope is not None:
            query, key = rotate(query, rope), rotate(key, rope)
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
    collect: bool

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, rope: tuple | None
    ) -> tuple[jax.Array, jax.Array | None]:
        """x [B, T, L, D], mask [B, T, L] -> (output, the output again if `collect`, else None)."""
        layout, x = self.layout, constrain(x, *TOKENS)
        y = LayerNorm(layout.epsilon, name="attention_norm")(x)
        x = x + VisionAttention(layout, name="attention")(y, y, mask, rope)
        y = LayerNorm(layout.epsilon, name="mlp_norm")(x)
        x = x + GeluMLP(layout, name="mlp")(y)
        return x, x if self.collect else None


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
      frames: consecutive frames in one patch.
      rope_theta: base of the RoPE of rows and columns, one half of the channels of a head each;
        None for none.
      corners: whether interpolation keeps the positions of the corners (as `align_corners`).
      norm: whether the tokens pass a last norm.
      deep: blocks, from 0, whose outputs are given, too.
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
    frames: int = 1
    rope_theta: float | None = None
    corners: bool = False
    norm: bool = True
    deep: tuple[int, ...] = ()

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
            in_axes=(nn.broadcast, nn.broadcast),
            length=self.depth,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        self.blocks = scanned(layout, collect=bool(self.deep))
        if self.norm:
            self.norm_out = LayerNorm(self.epsilon)
        self.head = AttentionPool(layout)

    @property
    def side(self) -> int:
        """Patches along a side of the image whose patches have the learned positions."""
        return self.image_size // self.patch_size

    def size_for(
        self, height: int, width: int, block: int = 1, max_patches: int | None = None
    ) -> tuple[int, int]:
        """The (height, width) to which images of a size are resized for this tower.

        Args:
          block: the patches of a side come in multiples of it.
          max_patches: of an image in the NaFlex form; None for as many as there are learned
            positions. The size has about as many, also of an image that is smaller.
        """
        if not self.naflex:
            return self.image_size, self.image_size
        units = (max_patches or self.side**2) // block**2
        return fit_size(height, width, self.patch_size * block, units)

    def read(self, video: jax.Array, block: int = 1) -> Patches:
        """Patches of images [B, T, H, W, 3] in [-1, 1], in blocks of `block` x `block` neighbours.

        Of several frames in a patch, the last one is repeated to fill the last patch.

        Raises:
          ValueError: the size of the images does not fit.
        """
        height, width = self.check_size(*video.shape[2:4], block)
        video = join_frames(video[:, :, :height, :width], self.frames)
        return cut(video, self.patch_size, block)

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
        return self.features(patches)[0]

    def features(self, patches: Patches) -> tuple[jax.Array, jax.Array | None]:
        """(tokens [B, T, L, D], those that the blocks `deep` put out, [n, B, T, L, D] or None)."""
        x, rope = self.embed(patches.pixels), None
        x = (x + interpolate(self.positions, patches, self.corners)).astype(x.dtype)
        if self.rope_theta is not None:
            rope = rope_2d(patches.places, self.width // self.heads, self.rope_theta)
        x, outputs = self.blocks(x, patches.mask, rope)
        x = constrain(self.norm_out(x) if self.norm else x, *TOKENS)
        return x, outputs[jnp.array(self.deep)] if self.deep else None

    def pool(self, patches: Patches) -> jax.Array:
        """One vector of each image, [B, T, D]: what SigLIP2 compares with texts."""
        return self.head(self(patches), patches.mask)


def rope_2d(places: jax.Array, head_size: int, theta: float) -> tuple[jax.Array, jax.Array]:
    """RoPE (cos, sin), each [..., K / 2], of rows and columns [..., 2]: K / 4 pairs each."""
    tables = (rope_1d(places[..., axis], head_size // 2, theta) for axis in (0, 1))
    return tuple(jnp.concatenate(parts, -1) for parts in zip(*tables, strict=True))
