"""A small network that tells the state of the synthetic world from a clip: features for distances.

It stands in for I3D where no public weights are at hand, on clips of the synthetic world only. Its
distances are called `fvd_world` and `kvd_world`; no number of it can be compared with an FVD.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.i3d import Conv

SIZE = 64  # pixels that every frame is resized to
STRIDE = 4  # frames of the clip per step of the features
PATCH = 4
WIDTH = 24
MINIMUM = 5  # frames


class WorldFeatures(nn.Module):
    """Clips -> features of every fourth frame, of nine frames around it.

    Attributes:
      heads: {what is told of a frame: numbers it takes}; see `tell`.
    """

    heads: dict[str, int]

    def setup(self):
        self.patches = Conv((3, 1, 1), (1, 1, 1), 32)
        self.first = Conv((3, 3, 3), (2, 2, 2), 64)
        self.second = Conv((3, 3, 3), (2, 2, 2), 96)
        self.features = nn.Dense(WIDTH)
        self.told = {name: nn.Dense(size) for name, size in self.heads.items()}

    def __call__(self, video):
        """video [B, T, 64, 64, 3] in [-1, 1], see `preprocess` -> [B, ceil(T / 4), 24]."""
        side = SIZE // PATCH
        x = video.reshape(*video.shape[:2], side, PATCH, side, PATCH, 3).swapaxes(3, 4)
        x = nn.gelu(self.patches(x.reshape(*x.shape[:4], -1)))
        x = nn.gelu(self.second(nn.gelu(self.first(x))))
        return self.features(x.reshape(*x.shape[:2], -1))

    def tell(self, video):
        """What the features are trained to tell: {head: [B, ceil(T / 4), numbers]}."""
        features = nn.gelu(self(video))
        return {name: head(features) for name, head in self.told.items()}


def preprocess(frames):
    """uint8 [B, T, H, W, 3] -> float32 [B, T, 64, 64, 3] in [-1, 1], whole frames, bilinear."""
    video = jnp.asarray(frames, jnp.float32) / 127.5 - 1.0
    if video.shape[2:4] == (SIZE, SIZE):
        return video
    return jax.image.resize(video, (*video.shape[:2], SIZE, SIZE, 3), "bilinear")


def clip_features(steps):
    """Features of a clip [B, 48] from those of its steps [B, S, 24]: their mean and deviation."""
    return jnp.concatenate([steps.mean(1), steps.std(1)], axis=-1)
