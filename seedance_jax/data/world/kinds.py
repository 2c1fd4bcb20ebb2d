"""Kinds of scenes, and as many clips of each kind: for suites, sheets and trials.

A function of a scene says which of several kinds it is; None is a scene that does not belong there.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world.showing import expected_scene


def single(scene: Mapping[str, Any]) -> str | None:
    """Scenes of one shot."""
    return "single" if len(scene["shots"]) == 1 else None


def two_shots(scene: Mapping[str, Any]) -> str | None:
    """Scenes of two shots."""
    return "two shots" if len(scene["shots"]) == 2 else None


def by_move(scene: Mapping[str, Any]) -> str | None:
    """Scenes of one shot by the move of the camera, unless it stands."""
    move = scene["camera"]["move"]
    return move if single(scene) and move not in ("static", "path") else None


def by_path(scene: Mapping[str, Any]) -> str | None:
    """Scenes of one shot by the kind of its camera's path, of several moves or out and back."""
    kind = scene["camera"]["kind"]
    return kind if single(scene) and kind != "single" else None


def by_event(scene: Mapping[str, Any]) -> str | None:
    """Scenes of one shot by their event."""
    return scene["event"] if single(scene) else None


def by_count(scene: Mapping[str, Any]) -> str | None:
    """Pictures by the number of their objects."""
    return str(scene["num_objects"])


def draw_evenly(
    split: str, kind_of: Callable, spec: WorldSpec, indices: Iterable[int], count: int
) -> Iterator[tuple[int, dict, dict]]:
    """Yields (index, record, scene) of the first `count` clips whose kinds come equally often.

    Args:
      kind_of: one of the functions above.
      indices: that are tried, in turn.
    """
    even, more = divmod(count, num_kinds(kind_of, spec))  # clips of a kind; kinds with one more
    found = collections.Counter()
    for index in indices:
        row = generate(split, index, spec)
        scene = expected_scene(row)
        kind = kind_of(scene)
        if kind is None or found[kind] > even or (found[kind] == even and not more):
            continue
        more -= found[kind] == even
        found[kind] += 1
        yield index, row, scene
        if found.total() == count:
            return


def num_kinds(kind_of: Callable, spec: WorldSpec) -> int:
    """How many kinds a function tells apart, in what a world shows."""
    allowed = spec.allowed
    counts = {
        by_move: len(allowed.moves) - 1,
        by_path: len(allowed.paths) - 1,
        by_event: len(allowed.events),
        by_count: 3 if allowed.companions else 1,
    }
    return counts.get(kind_of, 1)
