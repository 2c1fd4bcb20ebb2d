"""A scene of the world as a true clip, clips that are ever more wrong, and wrong captions."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.world import corruptions, seeds, vocabulary
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.descriptions import describe
from seedance_jax.data.world.filming import film
from seedance_jax.data.world.generation import shoot
from seedance_jax.data.world.language import edits
from seedance_jax.data.world.language.captions import captions
from seedance_jax.data.world.spec import WorldSpec

RECOLORS = ("recolor", "recolor_hidden")
LEAST_CHANGE = 0.05  # mean difference (of 255) to the clip that is less wrong; less is not seen


class Variant(NamedTuple):
    """A clip that is wrong in one way; corruption "" is the true one.

    frames: uint8 [T, H, W, 3].
    """

    corruption: str
    severity: float
    frames: np.ndarray


class Graded(NamedTuple):
    """A scene: the fields of its clips but for video, the clips, the true one first, and edits."""

    about: dict[str, Any]
    scene: dict[str, Any]
    variants: list[Variant]
    edits: list[edits.Edit]


class Wanted(NamedTuple):
    """What is made of a scene.

    Attributes:
      kinds: corruptions in groups, which take turns.
      severities: rising, of (0, 1].
      corruptions, edits: at most so many of a scene.
    """

    kinds: Sequence[Sequence[str]]
    severities: Sequence[float]
    corruptions: int
    edits: int


def grade(split: str, index: int, spec: WorldSpec, wanted: Wanted) -> Graded | None:
    """A scene of the world, graded; None if it has two shots.

    Of a corruption all severities draw the same random numbers, so that a clip differs from one
    that is less wrong in the severity alone. Severities that are not seen are left out.
    """
    shots, attempt = shoot(split, index, spec)
    if len(shots) > 1:
        return None
    [shot], scene = shots, describe(shots, spec, (split, index, attempt))
    choices = seeds.generator(split, index, 0, "pairs", spec.version)
    variants = [Variant("", 0.0, film(shot))]
    for kind in choose_kinds(scene, wanted, choices):
        rng = functools.partial(draw, shot, kind, (split, index), spec)
        variants += worse(shot, variants[0].frames, kind, wanted.severities, rng, spec.fps)
    found = edits.edited(shot, spec, split, choices) if wanted.edits else []
    return Graded(_about(shots, spec, f"{split}/{index:06d}"), scene, variants,
                  edits.choose(found, wanted.edits, choices))  # fmt: skip


def choose_kinds(scene: dict, wanted: Wanted, rng: np.random.Generator) -> list[str]:
    """Corruptions that apply to a scene, of every group in turn."""
    groups = []
    for kinds in wanted.kinds:
        fitting = [kind for kind in kinds if corruptions.applies(kind, scene)]
        groups.append([fitting[number] for number in rng.permutation(len(fitting))])
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    return [*dict.fromkeys(kind for kind in turns if kind)][: wanted.corruptions]


def worse(
    shot: Shot,
    true: np.ndarray,
    kind: str,
    severities: Sequence[float],
    rng: Callable[[], np.random.Generator],
    fps: float,
) -> list[Variant]:
    """A shot, whose frames are `true`, at rising severities of a corruption, each seen to differ
    from the one before; `rng` makes the same random numbers again for each."""
    made, before = [], true
    for severity in severities:
        frames = corruptions.corrupt(kind, shot, severity, rng(), fps)
        if np.abs(frames.astype(np.int16) - before).mean() > LEAST_CHANGE:
            made.append(Variant(kind, severity, frames))
            before = frames
    return made


def draw(shot: Shot, kind: str, place: tuple[str, int], spec: WorldSpec) -> np.random.Generator:
    """The random numbers of a corruption of a scene, the same at each severity.

    No colour that they give the main object makes a pair with its shape that is held out.
    """
    for attempt in itertools.count():
        stream = (*place, attempt, f"pairs {kind}", spec.version)
        if kind not in RECOLORS or place[0] == "held_out_combinations":
            return seeds.generator(*stream)
        body = corruptions.recolored(shot, seeds.generator(*stream)).scene.bodies[0]
        if body.shape not in vocabulary.HELD_OUT[body.color]:
            return seeds.generator(*stream)


def _about(shots: list[Shot], spec: WorldSpec, name: str) -> dict[str, Any]:
    full, motion, [own] = captions(shots, spec)
    return {
        "id": name,
        "caption": full,
        "caption_motion": motion,
        "shots": schema.write_shots([schema.Shot(spec.num_frames, own)]),
        "fps": float(spec.fps),
        "num_frames": spec.num_frames,
        "height": spec.height,
        "width": spec.width,
    }
