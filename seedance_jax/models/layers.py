"""Layers that every transformer here shares: projections, norms, gated MLP, modulation."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.sharding import param

FAN_IN = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
ZEROS = nn.initializers.zeros_init()


def linear(features, axes, init=FAN_IN, use_bias=False, **kwargs):
    """Projection whose kernel dimensions are named by `axes`."""
    return nn.DenseGeneral(features, use_bias=use_bias, kernel_init=param(init, *axes), **kwargs)


class RMSNorm(nn.Module):
    """Divides the last dimension by its root mean square, in float32, and scales it."""

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + self.epsilon)
        return (y * scale).astype(x.dtype)


def layer_norm(x, epsilon=1e-6):
    """Parameter-free layer norm in float32; modulation follows it."""
    y = x.astype(jnp.float32)
    y = y - y.mean(-1, keepdims=True)
    return (y * jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + epsilon)).astype(x.dtype)


class SwiGLU(nn.Module):
    """Gated MLP down(silu(gate(x)) * up(x)); `out_init` zeros make its branch start closed."""

    hidden: int
    out_init: Any = FAN_IN
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        gate = linear(self.hidden, ("embed", "mlp"), dtype=self.dtype, name="gate")(x)
        up = linear(self.hidden, ("embed", "mlp"), dtype=self.dtype, name="up")(x)
        down = linear(x.shape[-1], ("mlp", "embed"), self.out_init, dtype=self.dtype, name="down")
        return down(nn.silu(gate) * up)


def swiglu_hidden(width, multiple=32):
    """8/3 of the width, rounded up: as many weights as a plain MLP of four times the width."""
    return -(-8 * width // (3 * multiple)) * multiple


class Modulation(nn.Module):
    """Splits the shared timestep modulation, plus a bias of this block, into `parts` vectors.

    Returns shift, scale and gate vectors, each broadcastable over the tokens. The bias starts at
    zero and so does the shared projection, hence every gate starts closed.
    """

    parts: int

    @nn.compact
    def __call__(self, shared):
        """shared [B, ..., P, D] with P >= parts -> `parts` arrays [B, ..., D]."""
        bias = self.param("bias", ZEROS, (self.parts, shared.shape[-1]))
        modulation = shared[..., : self.parts, :] + bias
        return tuple(modulation[..., i, :] for i in range(self.parts))


def spread(vector, x):
    """Puts axes before the last of `vector` [*lead, D] until it broadcasts to x [*lead, ..., D]."""
    return vector.reshape(*vector.shape[:-1], *(1,) * (x.ndim - vector.ndim), -1)


def modulate(x, shift, scale):
    """Applies shift and scale [*lead, D] to normalised tokens x [*lead, ..., D]."""
    return (x * (1 + spread(scale, x)) + spread(shift, x)).astype(x.dtype)


def gated(x, gate):
    """Scales the branch output x [*lead, ..., D] by gate [*lead, D]."""
    return (x * spread(gate, x)).astype(x.dtype)


def timestep_features(t, width, max_period=10_000.0):
    """Sinusoidal features of t in [0, 1] (scaled by 1000): [...] -> [..., width], float32."""
    half = width // 2
    frequencies = jnp.exp(-math.log(max_period) * jnp.arange(half) / half)
    angles = 1000.0 * t.astype(jnp.float32)[..., None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
