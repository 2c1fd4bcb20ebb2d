"""Captions that are wrong about a clip in one attribute: the scene is changed, and told again.

Nothing is replaced in the text: `changed_records` changes a shot, and the code that captions all of
the world captions it.
"""

import collections
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.language.captions import captions
from seedance_jax.data.world.language.changed_records import CHANGES, with_scene
from seedance_jax.data.world.spec import WorldSpec


class Edit(NamedTuple):
    """A caption that is wrong in one attribute, and the true one, told alike.

    attribute: one of `vocabulary.EDITED`. true: without physics where the event is the attribute,
    for that of another event would not be told. hard: all its words are in the true caption, so
    that it names what is in the scene, or it differs from that in one word alone.
    """

    attribute: str
    true: str
    caption: str
    hard: bool


def edited(shot: Shot, spec: WorldSpec, split: str, rng: np.random.Generator) -> list[Edit]:
    """All edits of the caption of a clip of one shot, each caption once."""
    found = {}
    for attribute, one, other in edited_shots(shot, spec, split, rng):
        true, caption = (captions([each], spec)[0] for each in (one, other))
        if caption != true:
            found.setdefault(caption, Edit(attribute, true, caption, is_hard(true, caption)))
    return list(found.values())


def edited_shots(
    shot: Shot, spec: WorldSpec, split: str, rng: np.random.Generator
) -> Iterator[tuple[str, Shot, Shot]]:
    """Yields (attribute, the shot, the same with that alone changed), as captions would tell."""
    for attribute, changes in CHANGES.items():
        one = with_scene(shot, said=()) if attribute == "event" else shot
        for other in changes(one, spec, split, rng):
            yield attribute, one, other


def choose(found: list[Edit], count: int, rng: np.random.Generator) -> list[Edit]:
    """Up to `count` edits, as many hard ones as others, of different attributes where there are."""
    seen, ranked = collections.Counter(), []
    for number in rng.permutation(len(found)):
        edit = found[number]
        ranked.append((seen[edit.attribute, edit.hard], edit))
        seen[edit.attribute, edit.hard] += 1
    ordered = [edit for _, edit in sorted(ranked, key=lambda item: item[0])]
    hard = [edit for edit in ordered if edit.hard]
    easy = [edit for edit in ordered if not edit.hard]
    each = min(count // 2, len(hard), len(easy))
    return hard[:each] + easy[:each]


def is_hard(true: str, caption: str) -> bool:
    """Whether a wrong caption differs in one word, or has words of the true one alone."""
    one, other = words(true), words(caption)
    differ = sum(a != b for a, b in zip(one, other, strict=False))
    return (len(one) == len(other) and differ == 1) or set(other) <= set(one)


def words(caption: str) -> list[str]:
    """The words of a caption, articles alike."""
    found = re.findall(r"[a-z0-9.]*[a-z0-9]|-", caption.lower())
    return ["a" if word == "an" else word for word in found]
