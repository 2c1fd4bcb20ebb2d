"""The record that rewards are trained on: two clips, and which of them is better at what.

Every source (`severities`, `votes`, ...) is a `Comparisons`: so many of them, each by its number
alone. `mixtures` opens those of a config, `comparison_batches` makes batches of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seedance_jax.data.buckets import Bucket
from seedance_jax.data.preferences.answers import AXES
from seedance_jax.data.preferences.compared_clips import Clips
from seedance_jax.data.preferences.dimensions import CORRUPTIONS
from seedance_jax.data.world.vocabulary import EDITED

UNKNOWN = float("nan")  # whether a clip alone is good
TIE = 0.5
DIMENSIONS = tuple(AXES)
EDITS = tuple(f"edit_{attribute}" for attribute in EDITED)
# What the two clips differ in: a batch has its number. What is new goes to the end.
KINDS = (
    *(*CORRUPTIONS, *EDITS, "true_render", "more_steps", "more_given"),
    *("vote", "label", "pass_fail"),
)


class Comparison(NamedTuple):
    """Two clips of one size.

    Attributes:
      clips: uint8 [2, T, H, W, 3].
      prompts: that each is to be scored with; they differ where a caption was made wrong, or where
        clips of two prompts are compared.
      label: probability that the first is the better one; .5 is a tie.
      good: of each alone, 1 if it deserves a yes, 0 if a no, NaN where that is not known.
      dimension: what they are compared by, one of `answers.AXES`.
      source: the name of its section in the config.
      kind: one of KINDS.
      severity: how far apart they are, from 0 to 1: of severities their difference, of edits .5 for
        hard ones; 1 where nothing is known.
    """

    clips: np.ndarray
    prompts: tuple[str, str]
    label: float
    good: tuple[float, float]
    dimension: str
    source: str
    kind: str
    severity: float


class Pair(NamedTuple):
    """A `Comparison` without pixels. clips, prompts: numbers of them; the others as there."""

    clips: tuple[int, int]
    prompts: tuple[int, int]
    label: float
    good: tuple[float, float]
    dimension: str
    kind: str
    severity: float = 1.0


# A pair takes 35 bytes: there may be millions, in each of several processes.
STORED = np.dtype(
    [
        ("clips", np.int32, 2),
        ("prompts", np.int32, 2),
        ("label", np.float32),
        ("good", np.float32, 2),
        ("dimension", np.int8),
        ("kind", np.int16),
        ("severity", np.float32),
    ]
)


class Found(NamedTuple):
    """What a source found: its pairs (`stored`), what their numbers mean, what there is to report.

    where: the file or folder that it was found in, if it is one.
    """

    pairs: np.ndarray
    clips: Clips
    prompts: Sequence[str]
    notes: Sequence[str] = ()
    where: str = ""


class Comparisons:
    """The comparisons of a source that a bucket can show, by number; raises ValueError if none.

    Attributes:
      prompts: all that it may have.
      notes: what was left out, and why.
    """

    def __init__(self, source: str, found: Found, bucket: Bucket, dimensions: Sequence[str]):
        name = f"preferences.{source}" + f" ({found.where})" * bool(found.where)
        kept = _of_dimensions(found.pairs, dimensions, name)
        numbers, places = np.unique(kept["clips"], return_inverse=True)
        fits = np.array([found.clips.fit(int(number), bucket) for number in numbers])
        self._pairs = kept[fits[places.reshape(-1, 2)].all(1)]
        if not len(self._pairs):
            raise ValueError(f"{name}: all {len(kept)} pairs are of clips that do not fit {bucket}")
        self._source, self._bucket, self._clips = source, bucket, found.clips
        self.prompts, self.notes = found.prompts, [*found.notes]
        if rest := len(kept) - len(self._pairs):
            self.notes.append(f"{rest} of {len(kept)} pairs are of clips that do not fit {bucket}")

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Comparison:
        pair = self._pairs[int(index)]
        first, second = pair["clips"].tolist()
        one = self._clips.read(first, self._bucket)
        other = one if second == first else self._clips.read(second, self._bucket)
        return Comparison(
            np.stack([one, other]),
            tuple(self.prompts[number] for number in pair["prompts"]),
            float(pair["label"]),
            tuple(pair["good"].tolist()),
            DIMENSIONS[pair["dimension"]],
            self._source,
            KINDS[pair["kind"]],
            float(pair["severity"]),
        )

    def counts(self) -> Mapping[tuple[str, str], int]:
        """{(dimension, kind): pairs}."""
        both, counts = np.unique(self._pairs[["dimension", "kind"]], return_counts=True)
        names = [(DIMENSIONS[dimension], KINDS[kind]) for dimension, kind in both.tolist()]
        return dict(zip(names, counts.tolist(), strict=True))


def stored(pairs: Iterable[Pair]) -> np.ndarray:
    """Pairs as an array of STORED."""
    kinds = {name: number for number, name in enumerate(KINDS)}
    axes = {name: number for number, name in enumerate(DIMENSIONS)}
    rows = (
        tuple(pair._replace(dimension=axes[pair.dimension], kind=kinds[pair.kind]))
        for pair in pairs
    )
    return np.fromiter(rows, STORED)


def _of_dimensions(pairs: np.ndarray, dimensions: Sequence[str], name: str) -> np.ndarray:
    """The pairs of some dimensions; ValueError, beginning with a name, if there are none."""
    wanted = [DIMENSIONS.index(dimension) for dimension in dimensions]
    kept = pairs[np.isin(pairs["dimension"], wanted)]
    if not len(kept):
        others = sorted({DIMENSIONS[number] for number in pairs["dimension"]})
        raise ValueError(
            f"{name} has no pairs of {list(dimensions)}, but {len(pairs)} of {others}; the "
            f"dimensions are {list(DIMENSIONS)}"
        )
    return kept


def exchanged(comparison: Comparison) -> Comparison:
    """The same comparison with its clips in the other order."""
    return comparison._replace(
        clips=comparison.clips[::-1],
        prompts=comparison.prompts[::-1],
        label=1 - comparison.label,
        good=comparison.good[::-1],
    )


def numbered(names: Sequence[str]) -> tuple[list[str], Callable[[str], int]]:
    """(each name once, in order; name -> its number)."""
    once = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return list(once), once.__getitem__
