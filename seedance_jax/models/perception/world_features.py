"""A small network that predicts the state of the synthetic world from a clip: features for FVD.

It replaces I3D on clips of the synthetic world where I3D's public weights are missing. Its
distances are called `fvd_world` and `kvd_world`; their values cannot be compared with an FVD.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.models.perception.i3d import Conv

SIZE = 64  # pixels that every frame is resized to
STRIDE = 4  # frames of the clip per feature vector
PATCH = 4
WIDTH = 24
MINIMUM = 5  # frames


class WorldFeatures(nn.Module):
    """Clips -> one feature vector for every fourth frame, from eight frames around it.

    Attributes:
      heads: {name of a target: its size}; see `predict`.
    """

    heads: dict[str, int]

    def setup(self) -> None:
        self.patches = nn.Dense(32)
        self.first = Conv((3, 3, 3), (2, 2, 2), 48)
        self.second = Conv((3, 3, 3), (2, 2, 2), 96)
        self.features = nn.Dense(WIDTH)
        # "told" is the name in the released parameters.
        self.told = {name: nn.Dense(size) for name, size in self.heads.items()}

    def __call__(self, video: jax.Array) -> jax.Array:
        """video [B, T, 64, 64, 3] in [-1, 1], see `preprocess` -> [B, ceil(T / 4), 24]."""
        x = jnp.concatenate([to_patches(video), statistics(video)], axis=-1)
        x = nn.gelu(self.patches(x))
        x = nn.gelu(self.second(nn.gelu(self.first(x))))
        return self.features(x.reshape(*x.shape[:2], -1))

    def predict(self, video: jax.Array) -> dict[str, jax.Array]:
        """{head: predicted target [B, ceil(T / 4), its size]}, what the features are trained on."""
        features = nn.gelu(self(video))
        return {name: head(features) for name, head in self.told.items()}


def to_patches(video: jax.Array) -> jax.Array:
    """The pixels of every patch, [B, T, H, W, C] -> [B, T, H / 4, W / 4, 16 C]."""
    batch, length, height, width, _ = video.shape
    x = video.reshape(batch, length, height // PATCH, PATCH, width // PATCH, PATCH, -1)
    return x.swapaxes(3, 4).reshape(batch, length, height // PATCH, width // PATCH, -1)


def statistics(video: jax.Array) -> jax.Array:
    """Gradient energies along x, y and time and the motion of every patch, [B, T, H/4, W/4, 5].

    They show noise, blur and small motions, which a short training does not learn. Energies are
    logarithms, motion is in pixels per frame (least squares, Lucas and Kanade 1981).
    """
    grey = video.mean(-1, keepdims=True)
    x, y, t = (change(grey, axis) for axis in (3, 2, 1))
    xx, yy, tt, xt, yt = (
        to_patches(a * b).mean(-1) for a, b in ((x, x), (y, y), (t, t), (x, t), (y, t))
    )
    energies = [jnp.log(energy + 1e-5) / 5 + 1 for energy in (xx, yy, tt)]
    motion = [jnp.clip(-a / (b + 1e-4), -2, 2) for a, b in ((xt, xx), (yt, yy))]
    return jnp.stack(energies + motion, axis=-1)


def change(video: jax.Array, axis: int) -> jax.Array:
    """Difference to the element before along an axis; 0 for the first."""
    first = jax.lax.slice_in_dim(video, 0, 1, axis=axis)
    return jnp.diff(video, axis=axis, prepend=first)


def preprocess(frames: jax.Array | np.ndarray) -> jax.Array:
    """uint8 [B, T, H, W, 3] -> float32 [B, T, 64, 64, 3] in [-1, 1], whole frames, bilinear."""
    video = jnp.asarray(frames, jnp.float32) / 127.5 - 1.0
    if video.shape[2:4] == (SIZE, SIZE):
        return video
    return jax.image.resize(video, (*video.shape[:2], SIZE, SIZE, 3), "bilinear")


def clip_features(steps: jax.Array) -> jax.Array:
    """Mean and deviation over the features of a clip, [B, steps, 24] -> [B, 48]."""
    return jnp.concatenate([steps.mean(1), steps.std(1)], axis=-1)
