"""Layers that every transformer here shares: projections, norms, gated MLP, modulation."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models import products
from seedance_jax.sharding import param

FAN_IN = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
ZEROS = nn.initializers.zeros_init()
EPSILON = 1e-6  # beside the mean square in norms


def linear(
    features: Any, axes: tuple, init: Any = FAN_IN, dtype: Any = None, **kwargs: Any
) -> nn.DenseGeneral:
    """Projection whose kernel dimensions are named by `axes`; dtype as of `products.choose`."""
    kwargs = {"use_bias": False, **products.choose(dtype)} | kwargs
    return nn.DenseGeneral(features, kernel_init=param(init, *axes), **kwargs)


class Scale(nn.Module):
    """The parameter of an RMSNorm: one factor of each channel, from 1 on."""

    @nn.compact
    def __call__(self, channels: int) -> jax.Array:
        return self.param("scale", nn.initializers.ones, (channels,))


class RMSNorm(nn.Module):
    """`rms_norm` with a scale that is a parameter."""

    epsilon: float = EPSILON

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        return rms_norm(x, scale, self.epsilon)


def rms_norm(x: jax.Array, scale: jax.Array, epsilon: float = EPSILON) -> jax.Array:
    """Divides the last dimension by its root mean square, in float32, and scales it."""
    y = x.astype(jnp.float32)
    y = y * jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + epsilon)
    return (y * scale).astype(x.dtype)


def layer_norm(x: jax.Array, epsilon: float = EPSILON) -> jax.Array:
    """Parameter-free layer norm in float32; modulation follows it."""
    y = x.astype(jnp.float32)
    y = y - y.mean(-1, keepdims=True)
    return (y * jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + epsilon)).astype(x.dtype)


class LayerNorm(nn.Module):
    """`layer_norm` with a scale and a bias that are parameters."""

    epsilon: float = EPSILON

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", ZEROS, (x.shape[-1],))
        y = layer_norm(x.astype(jnp.float32), self.epsilon)
        return (y * scale + bias).astype(x.dtype)


class SwiGLU(nn.Module):
    """Gated MLP down(silu(gate(x)) * up(x)); `out_init` zeros make its branch start closed."""

    hidden: int
    out_init: Any = FAN_IN
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gate = linear(self.hidden, ("embed", "mlp"), dtype=self.dtype, name="gate")(x)
        up = linear(self.hidden, ("embed", "mlp"), dtype=self.dtype, name="up")(x)
        down = linear(x.shape[-1], ("mlp", "embed"), self.out_init, dtype=self.dtype, name="down")
        return down(nn.silu(gate) * up)


def swiglu_hidden(width: int, multiple: int = 32) -> int:
    """8/3 of the width, rounded up: as many weights as a plain MLP of four times the width."""
    return -(-8 * width // (3 * multiple)) * multiple


class Modulation(NamedTuple):
    """adaLN of one branch: `shift` and `scale` of its normed input, `gate` of its output.

    Each [B, ..., D].
    """

    shift: jax.Array
    scale: jax.Array
    gate: jax.Array


MODULATION_PARTS = 6  # a Modulation of the attention and one of the MLP


class BlockModulation(nn.Module):
    """The shared timestep modulation plus a bias of this block.

    The bias starts at zero and so does the shared projection, hence every gate starts closed.
    """

    @nn.compact
    def __call__(self, shared: jax.Array) -> tuple[Modulation, Modulation]:
        """shared [B, ..., 6, D] -> that of the attention, that of the MLP."""
        bias = self.param("bias", ZEROS, (MODULATION_PARTS, shared.shape[-1]))
        parts = [(shared + bias)[..., i, :] for i in range(MODULATION_PARTS)]
        return Modulation(*parts[:3]), Modulation(*parts[3:])


def spread(vector: jax.Array, x: jax.Array) -> jax.Array:
    """Puts axes before the last of `vector` [*lead, D] until it broadcasts to x [*lead, ..., D]."""
    return vector.reshape(*vector.shape[:-1], *(1,) * (x.ndim - vector.ndim), -1)


def modulate(x: jax.Array, shift: jax.Array, scale: jax.Array) -> jax.Array:
    """Applies shift and scale [*lead, D] to normalised tokens x [*lead, ..., D]."""
    return (x * (1 + spread(scale, x)) + spread(shift, x)).astype(x.dtype)


def gated(x: jax.Array, gate: jax.Array) -> jax.Array:
    """Scales the branch output x [*lead, ..., D] by gate [*lead, D]."""
    return (x * spread(gate, x)).astype(x.dtype)


def timestep_features(t: jax.Array, width: int, max_period: float = 10_000.0) -> jax.Array:
    """Sinusoidal features of t in [0, 1] (scaled by 1000): [...] -> [..., width], float32."""
    half = width // 2
    frequencies = jnp.exp(-math.log(max_period) * jnp.arange(half) / half)
    angles = 1000.0 * t.astype(jnp.float32)[..., None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
