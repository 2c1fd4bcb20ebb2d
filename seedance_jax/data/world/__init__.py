"""Synthetic physics world: captioned clips with exact ground truth, made from a seed, offline.

MuJoCo simulates (without OpenGL), our own ray caster draws. What they need comes with the extra
`[world]`; importing this package or its `vocabulary` needs none of it, calling `generate` all.
"""

from typing import Any

from seedance_jax.data.world.spec import WORLD_VERSION, WorldSpec

__all__ = ["WORLD_VERSION", "WorldSpec", "generate", "stream"]


def generate(split: str, index: int, spec: WorldSpec, dense: bool = False) -> dict:
    """Makes clip `index` of `split`: a pure function of its arguments and the version of `spec`.

    Returns the fields of a world clip record (`data/schema.py`), with `frames` uint8 [T, H, W, 3]
    in the place of the encoded video and, if `dense`, depth, segmentation, flow and camera_flow.

    Raises:
      ValueError: unknown split, or negative index.
      RuntimeError: no scene can be filmed as this one is asked for; the message says what stands
        in the way.
      ImportError: MuJoCo or numba is missing.
    """
    from seedance_jax.data.world.generation import make_clip

    return make_clip(split, index, spec, dense)


def stream(split: str, index: int, spec: WorldSpec, dense: bool = False) -> Any:
    """The same clip as `generation.Stream`: its record and its frames, in parts as they are taken.

    What is held at a time does not grow with the length of the clip, but for the poses of objects.
    """
    from seedance_jax.data.world.generation import make_stream

    return make_stream(split, index, spec, dense)
