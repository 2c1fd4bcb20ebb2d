"""Pairs of scenes of the world that `build_pairs` made: of severities, and of captions."""

import collections
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from seedance_jax.data.builders import storage
from seedance_jax.data.preferences.compared_clips import Clips
from seedance_jax.data.preferences.comparisons import TIE, UNKNOWN, Found, Pair, stored
from seedance_jax.data.preferences.dimensions import UNCHANGED, WORSE, check_corruptions
from seedance_jax.data.remote import Place
from seedance_jax.data.world.vocabulary import EDITED

HARD = 0.5  # severity of an edit that is hard to see; of others 1
Level = tuple[int, float]  # (row, severity)


class Scenes(NamedTuple):
    """Scenes of a split: their rows, and what `scenes.json` has of each, with `row` its first."""

    rows: Any
    scenes: list[dict[str, Any]]

    @property
    def captions(self) -> dict[str, dict[str, Any]]:
        """{caption: its (first) scene}."""
        return {scene["caption"]: scene for scene in reversed(self.scenes)}


def open_scenes(directory: Place, split: str) -> Scenes:
    """The scenes of a split.

    Raises ValueError if they are not built, there is no such split, or those to train on have
    corruptions that training may not have.
    """
    rows = storage.open_split(directory, split)
    scenes = json.loads((directory / "scenes.json").read_text())[split]
    starts = itertools.accumulate((len(scene["variants"]) for scene in scenes), initial=0)
    scenes = [scene | {"row": row} for scene, row in zip(scenes, starts, strict=False)]
    check_corruptions(corruptions_of(scenes), training=split == "train")
    return Scenes(rows, scenes)


def corruptions_of(scenes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The corruptions of scenes, each once."""
    kinds = {kind for scene in scenes for kind, _ in scene["variants"]}
    return sorted(kinds - {""})


def severity_pairs(scenes: Scenes, kinds: Sequence[str] = (), ties: bool = True) -> Found:
    """Two severities of one corruption of a scene: the lower one is better, at all its axes.

    With ties, also the true clip and the most severe one, at the axes that are not changed.

    Args:
      kinds: the corruptions; () for all that the scenes have.

    Raises ValueError for a corruption that no scene has.
    """
    present = corruptions_of(scenes.scenes)
    check_corruptions(kinds, training=False)
    if missing := sorted({*kinds} - {*present}):
        raise ValueError(f"corruptions {missing} are in no scene; there are {present}")
    wanted = frozenset(kinds or present)
    captions = [scene["caption"] for scene in scenes.scenes]
    pairs = (
        pair
        for number, scene in enumerate(scenes.scenes)
        for kind, levels in levels_of(scene).items()
        if kind in wanted
        for pair in _pairs_of(kind, levels, number, ties)
    )
    return Found(stored(pairs), Clips(dataset=scenes.rows), captions)


def levels_of(scene: Mapping[str, Any]) -> dict[str, list[Level]]:
    """{corruption: its levels, from the true clip on}."""
    levels = {}
    for place, (kind, severity) in enumerate(scene["variants"]):
        if kind:
            start = [(scene["row"], 0.0)]
            levels.setdefault(kind, start).append((scene["row"] + place, severity))
    return levels


def _pairs_of(kind: str, levels: list[Level], scene: int, ties: bool) -> Iterator[Pair]:
    for axis in (axis for axis, kinds in WORSE.items() if kind in kinds):
        for (one, less), (other, more) in itertools.combinations(levels, 2):
            good = (UNKNOWN if less else 1.0, 0.0 if more == 1 else UNKNOWN)
            yield Pair((one, other), (scene, scene), 1.0, good, axis, kind, more - less)
    for axis in (axis for axis, kinds in UNCHANGED.items() if ties and kind in kinds):
        clips = (levels[0][0], levels[-1][0])
        yield Pair(clips, (scene, scene), TIE, (1.0, 1.0), axis, kind, levels[-1][1])


def edit_pairs(scenes: Scenes, attributes: Sequence[str] = ()) -> Found:
    """A clip with its caption, which is better, and with one that is wrong in one attribute.

    attributes: of `vocabulary.EDITED`; () for all. ValueError for another.
    """
    check_attributes(attributes)
    edits = [(scene, edit) for scene in scenes.scenes for edit in scene["edits"]]
    edits = [(scene, edit) for scene, edit in edits if edit["attribute"] in (attributes or EDITED)]
    prompts = [text for _, edit in edits for text in (edit["true"], edit["caption"])]
    pairs = (
        wrong_caption(scene["row"], 2 * number, edit, good=1.0)
        for number, (scene, edit) in enumerate(edits)
    )
    return Found(stored(pairs), Clips(dataset=scenes.rows), prompts)


def wrong_caption(clip: int, prompt: int, edit: Mapping[str, Any], good: float) -> Pair:
    """A clip with prompt number `prompt`, and with the next one, which is wrong about it."""
    prompts = (prompt, prompt + 1)
    kind, severity = f"edit_{edit['attribute']}", HARD if edit["hard"] else 1.0
    return Pair((clip, clip), prompts, 1.0, (good, 0.0), "prompt_following", kind, severity)


def check_attributes(attributes: Sequence[str]) -> None:
    """Raises ValueError for what is no attribute that captions can be wrong in."""
    for name in attributes:
        if name not in EDITED:
            raise ValueError(f"attribute {name!r} is not one of {list(EDITED)}")


def describe(scenes: Scenes) -> list[str]:
    """Lines on how many scenes have which corruption, and which wrong captions."""
    kinds = collections.Counter(kind for s in scenes.scenes for kind in levels_of(s))
    edits = [edit for scene in scenes.scenes for edit in scene["edits"]]
    attributes = collections.Counter(edit["attribute"] for edit in edits)
    hard = sum(edit["hard"] for edit in edits)
    return [
        f"{len(scenes.scenes)} scenes with " + _listed(kinds),
        f"{len(edits)} wrong captions ({hard} hard): " + _listed(attributes),
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
