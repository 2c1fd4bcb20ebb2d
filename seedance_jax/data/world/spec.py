"""What a caller asks the synthetic world for."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from seedance_jax.data import schema
from seedance_jax.data.world import vocabulary

# From here on the world changes by additions alone: a feature of its own seeds (`seeds.py`), that
# clips of before do not have. OLD_WORLD is that of the released weights and their suites.
WORLD_VERSION = "2.0.0"
OLD_WORLD = "1.3.0"

DURATIONS = (0.9, 6.0)
LONG_DURATIONS = (9.9, 60.1)
# The edges of small coloured objects are the content of these videos: keep the colour sharp.
CODEC = {"crf": 12, "pixel_format": "yuv444p"}


@dataclasses.dataclass(frozen=True)
class WorldSpec:
    """Form of the clips: 4n+1 frames, sides that are multiples of 16, and a slice of the world.

    One frame is a picture with a caption of its own. The slice "long" has clips of 10 to 60 s.
    flawed: share of the clips that are boring, shaky or badly exposed, which their records say.

    Raises:
      ValueError: a value is illegal; the message names it and the legal ones.
    """

    num_frames: int = 17
    height: int = 64
    width: int = 64
    fps: int = 12
    slice: str = "full"
    version: str = WORLD_VERSION
    flawed: float = 0.0

    def __post_init__(self):
        if self.version not in vocabulary.WORLDS:
            raise ValueError(f"version={self.version!r} is not one of {sorted(vocabulary.WORLDS)}")
        slices = vocabulary.WORLDS[self.version]
        if self.slice not in slices:
            raise ValueError(f"slice={self.slice!r} is not one of {sorted(slices)}")
        self._check_frames()
        for name in ("height", "width"):
            if getattr(self, name) < 16 or getattr(self, name) % 16:
                raise ValueError(
                    f"{name}={getattr(self, name)} is not a multiple of 16: 16, 32, ..."
                )
        unflawed = self.version == OLD_WORLD or self.allowed.long
        if not 0 <= self.flawed <= 1 or (self.flawed and unflawed):
            raise ValueError(
                f"flawed={self.flawed} is not a share from 0 to 1 of clips of {WORLD_VERSION}, of "
                "another slice than 'long'"
            )

    def _check_frames(self):
        if self.is_still:
            if self.allowed.long or self.version == OLD_WORLD:
                raise ValueError(f"num_frames=1: {self.slice} {self.version} has no pictures")
            return
        if self.num_frames < 5 or self.num_frames % 4 != 1:
            raise ValueError(f"num_frames={self.num_frames} is not one of 5, 9, 13, ... (4n + 1)")
        low, high = LONG_DURATIONS if self.allowed.long else DURATIONS
        if self.fps <= 0 or not low <= self.duration <= high:
            raise ValueError(
                f"num_frames={self.num_frames} at fps={self.fps} is not a clip of {low} "
                f"to {high} s: an event must fit between the first frame and the last"
            )

    @property
    def allowed(self) -> vocabulary.Slice:
        """What its slice may show."""
        return vocabulary.WORLDS[self.version][self.slice]

    @property
    def is_still(self) -> bool:
        """Whether its clips are single pictures."""
        return self.num_frames == 1

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

    def as_dict(self) -> dict[str, Any]:
        """Its fields, as they name a data set; of the old world, those that it had."""
        fields = dataclasses.asdict(self)
        if self.version == OLD_WORLD:
            del fields["version"], fields["flawed"]
        return fields


def read_spec(section: Mapping[str, Any]) -> WorldSpec:
    """The clips of a config's section of a world; one without a version is from before 2.0.0."""
    fields = {name: section[name] for name in section if name not in vocabulary.SPLITS}
    return WorldSpec(**{"version": OLD_WORLD, **fields})
