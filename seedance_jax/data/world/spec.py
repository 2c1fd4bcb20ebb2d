"""What a caller asks the synthetic world for."""

import dataclasses

from seedance_jax.data import schema
from seedance_jax.data.world.vocabulary import SLICES

# Part of every seed: raise it whenever the same (split, index, spec) would give other bytes.
WORLD_VERSION = "1.3.0"

DURATIONS = (0.9, 6.0)
# The edges of small coloured objects are the content of these videos: keep the colour sharp.
CODEC = {"crf": 12, "pixel_format": "yuv444p"}


@dataclasses.dataclass(frozen=True)
class WorldSpec:
    """Form of the clips: 4n+1 frames, sides that are multiples of 16, and a slice of the world.

    Raises:
      ValueError: a value is illegal; the message names it and the legal ones.
    """

    num_frames: int = 17
    height: int = 64
    width: int = 64
    fps: int = 12
    slice: str = "full"

    def __post_init__(self):
        if self.slice not in SLICES:
            raise ValueError(f"slice={self.slice!r} is not one of {sorted(SLICES)}")
        if self.num_frames < 5 or self.num_frames % 4 != 1:
            raise ValueError(f"num_frames={self.num_frames} is not one of 5, 9, 13, ... (4n + 1)")
        for name in ("height", "width"):
            if getattr(self, name) < 16 or getattr(self, name) % 16:
                raise ValueError(
                    f"{name}={getattr(self, name)} is not a multiple of 16: 16, 32, ..."
                )
        if self.fps <= 0 or not DURATIONS[0] <= self.duration <= DURATIONS[1]:
            raise ValueError(
                f"num_frames={self.num_frames} at fps={self.fps} is not a clip of {DURATIONS[0]} "
                f"to {DURATIONS[1]} s: an event must fit between the first frame and the last"
            )

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.num_frames - 1) / self.fps if self.fps > 0 else 0.0

    @property
    def cut_lengths(self) -> list[int]:
        """Frames of the two shots of a cut clip: latent frames are halved, the first has the rest.

        So a clip of 5 frames is cut after its fifth, that is, not at all.
        """
        second = self.num_frames // schema.FRAME_STRIDE // 2 * schema.FRAME_STRIDE
        return [self.num_frames - second, second] if second else [self.num_frames]
