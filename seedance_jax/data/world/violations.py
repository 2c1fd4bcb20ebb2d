"""Pairs of rendered clips: what the physics of the world does, and the same scene breaking a law.

Needs the extra `[world]`.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from seedance_jax.data.sources import worlds_of
from seedance_jax.data.world import WorldSpec
from seedance_jax.data.world.corruptions import CORRUPTIONS, applies, stage
from seedance_jax.data.world.descriptions import describe
from seedance_jax.data.world.filming import film
from seedance_jax.data.world.language.captions import captions
from seedance_jax.data.world.spec import read_spec

# Corruptions, at full severity, that break a law of physics.
VIOLATIONS = ("linear_fall", "hover", "teleport", "vanish", "disorder", "speed_up")


def spec_of(data: Mapping[str, Any]) -> WorldSpec:
    """The clips of the (first) world that a config's section `data` trains on, without those that
    have flaws, or ValueError."""
    worlds = worlds_of(data)
    if not worlds:
        raise ValueError(
            f"pairs are of the synthetic world, the model was trained on data of {data['source']!r}"
        )
    return dataclasses.replace(read_spec(worlds[0]), flawed=0.0)


def make_pairs(
    name: str, spec: WorldSpec, split: str = "validation", count: int = 48, start: int = 0
) -> tuple[list[str], np.ndarray, np.ndarray, list[int]]:
    """The first `count` pairs of a violation that a split has from clip `start` on.

    Returns:
      (captions, plausible, implausible, indices), clips uint8 [count, T, H, W, 3]; indices are
      those of the scenes in the split, which pairs of other violations share.

    Raises:
      ValueError: no such violation.
    """
    if name not in VIOLATIONS:
        raise ValueError(f"violation={name!r} is not one of {sorted(VIOLATIONS)}")
    rows = []
    for index in itertools.count(start):
        shots = stage(split, index, spec)
        if applies(name, describe(shots, spec, (split, index))):
            wrong = CORRUPTIONS[name](shots[0], 1.0, np.random.default_rng(index), spec.fps)
            rows.append((captions(shots, spec)[0], film(shots[0]), wrong, index))
        if len(rows) == count:
            texts, plausible, implausible, indices = zip(*rows, strict=True)
            return list(texts), np.stack(plausible), np.stack(implausible), list(indices)
