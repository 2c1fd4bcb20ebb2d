"""How the camera of a shot of the synthetic world moves, measured in the background.

Every move of the vocabulary shifts the background in its own way, so a move is found by trying:
each axis in all amounts, of which that counts that makes early and late frames agree. Where
cameras can do several moves at once, more are added as long as frames agree better for it. This is
done part by part of a shot, and moves may go by as those that were asked for, or evenly over the
part. What was asked for is tried, too, and is believed if others explain frames little better.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seedance_jax.data.world import paths
from seedance_jax.evaluation.judges.camera_amounts import AMOUNTS
from seedance_jax.evaluation.judges.camera_background import Background, Comparison
from seedance_jax.evaluation.judges.camera_views import View

# What was asked for must lower the misfit to so much together, and a move that looks like it.
ASKED, CONFUSED = 0.97, 0.8
# How far what a camera orbits may be from where the objects' size has it, as a share.
PIVOT = 0.18
PAIRS = 3  # of frames, for each lag
WIDEST = 18.0  # degrees of a pan, beyond which lags are shorter and pairs more
GRID = 24  # places a side at which they are compared
TRIED = 3  # moves whose best amounts are looked at closely
KEPT = 2  # sets of moves to which others are added
SAME = 0.03  # profiles that differ by less are one


class Part(NamedTuple):
    """A part of a shot, from frame `first` to `last`.

    Attributes:
      asked: {axis: change} of the moves that it should have.
      profile: [T] how far these are, from 0 before the part to 1 after it; None if there are none.
    """

    first: int
    last: int
    asked: Mapping
    profile: np.ndarray | None


class Repertoire(NamedTuple):
    """What cameras of a world can do, and how they are watched.

    Attributes:
      axes: those that they have.
      most: axes that may move in one part of a shot.
      lags: shares of a part that frames which are compared lie apart.
      grid: places a side at which all amounts are tried.
      least: share of the places that must be background in both frames.
      worth: a move that was not asked for must lower the misfit to so much.
      refine: (comparison, path, amounts [K], axes) -> (misfit, amounts [K]).
      follows: whether moves are looked for that go by as those that were asked for.
      from_start: axes that begin at 0; others have it in the middle of what they cover.
    """

    axes: tuple
    most: int
    lags: tuple
    grid: int
    least: float
    worth: float
    refine: Callable
    follows: bool
    from_start: tuple = ("roll",)


class Term(NamedTuple):
    """A move: an axis, and how far it is [T], from 0 to 1."""

    axis: str
    profile: np.ndarray


class Moves(NamedTuple):
    """Terms, their amounts, their misfit over that of a camera that stands, and this with what
    every term must be worth."""

    terms: tuple = ()
    amounts: tuple = ()
    misfit: float = 1.0
    score: float = 1.0


@dataclasses.dataclass(frozen=True)
class CameraPath:
    """What a camera does over a shot of T frames.

    Attributes:
      values: {axis: [T]}, as in `data/world/paths.py`; axes that are not there stand.
      misfits: of the background in each part, over that of a camera that stands; 1 is no better.
      shake: pixels by which frames lie off the path, and
      breaks: [T-1] what is new in every frame but the first, see `steps_of`; empty in worlds whose
        cameras do not follow paths.
    """

    values: dict
    misfits: tuple = ()
    shake: float = 0.0
    breaks: tuple = ()

    def change(self, first: int, last: int) -> dict[str, float]:
        """{axis: change} from one frame to another."""
        return {axis: float(v[last] - v[first]) for axis, v in self.values.items()}


def find_path(
    lab: np.ndarray,
    objects: Sequence[np.ndarray],
    view: View,
    flies: bool,
    parts: Sequence[Part],
    repertoire: Repertoire,
) -> CameraPath:
    """The `CameraPath` of a shot in CIE Lab [T,H,W,3].

    Args:
      objects: masks [T,H,W] of its objects.
      flies: whether they leave the floor.
    """
    if len(lab) < 3:
        return CameraPath({})
    background = Background(lab, objects, view, flies, wide=repertoire.follows)
    terms, amounts, misfits = (), (), []
    for part in parts:
        search = Search(background, part, repertoire, Moves(terms, amounts))
        best = search.best()
        terms, amounts = (*terms, *best.terms), (*amounts, *best.amounts)
        misfits.append(best.misfit)
    values = values_of(terms, amounts, repertoire.from_start)
    shake, breaks = steps_of(background, values) if repertoire.follows else (0.0, ())
    return CameraPath(values, tuple(misfits), shake, tuple(breaks))


def values_of(
    terms: Sequence[Term], amounts: Sequence[float], from_start: Sequence[str]
) -> dict[str, np.ndarray]:
    """{axis: [T]} of terms of some amounts, as in `data/world/paths.py`; see `Repertoire`."""
    values = {}
    for (axis, profile), amount in zip(terms, amounts, strict=True):
        values[axis] = values.get(axis, 0.0) + amount * profile
    return {
        axis: path if axis in from_start else path - (path.min() + path.max()) / 2
        for axis, path in values.items()
    }


class Search:
    """Of the moves of a `Part` of a shot, after those of the parts before it."""

    def __init__(self, background: Background, part: Part, repertoire: Repertoire, before: Moves):
        wide = max(1.0, abs(part.asked.get("pan", 0.0)) / WIDEST)
        pairs = pairs_of(part.first, part.last, np.array(repertoire.lags) / wide, PAIRS * wide)
        self.coarse = Comparison(background, pairs, repertoire.grid, repertoire.least)
        self.fine = Comparison(background, pairs, GRID, repertoire.least)
        self.repertoire, self.before = repertoire, before
        self.values = functools.partial(values_of, from_start=repertoire.from_start)
        self.asked = part.asked if repertoire.follows else {}
        frames = np.arange(len(background.images))
        evenly = np.clip((frames - part.first) / (part.last - part.first), 0.0, 1.0)
        profiles = [part.profile] if self.asked else []
        if not profiles or np.abs(evenly - part.profile).max() > SAME:
            profiles.append(evenly)
        self.options = {axis: [Term(axis, p) for p in profiles] for axis in repertoire.axes}

    def best(self) -> Moves:
        """The `Moves` of the least score: sets of moves, to the best of which others are added."""
        level = self.added(Moves(), TRIED, slice(None))
        terms = [self.options[axis][0] for axis in self.asked]
        if terms:
            level.append(self.refined(terms, list(self.asked.values())))
        if "orbit" in self.asked and "truck" not in self.asked:
            own = [*terms, self.options["truck"][0]]
            level.append(self.refined(own, [*self.asked.values(), 0.0]))
        if len(terms) > 1:
            amounts = self.asked.values()
            level += [self.refined([t], [a]) for t, a in zip(terms, amounts, strict=True)]
        every = [Moves(), *level]
        for _ in range(self.repertoire.most - 1):
            level = sorted(level, key=lambda moves: moves.score)[:KEPT]
            level = [new for moves in level for new in self.added(moves, KEPT, slice(1, -1, 2))]
            every += level
        return min(every, key=lambda moves: moves.score)

    def refined(self, terms: Sequence[Term], amounts: Sequence[float]) -> Moves:
        """The `Moves` of terms whose amounts are near these."""
        axes = [term.axis for term in terms]

        def path(own):
            return self.values([*self.before.terms, *terms], [*self.before.amounts, *own])

        misfit, amounts = self.repertoire.refine(self.fine, path, np.array(amounts, float), axes)
        needed = math.prod(self._worth(axis, amounts, axes) for axis in axes)
        return Moves(tuple(terms), tuple(amounts), misfit, misfit / needed)

    def _worth(self, axis, amounts, axes):
        """What a move must lower the misfit to; some truck is an orbit's own, see `pivot`."""
        if axis in self.asked:
            return ASKED ** (1 / len(self.asked))
        changes = dict(zip(axes, amounts, strict=True))
        if axis == "truck" and abs(changes[axis]) <= pivot(changes, self.coarse.background.view):
            return 1.0
        alike = {other for name in self.asked for other in paths.ALIKE.get(name, ())}
        return CONFUSED if axis in alike else self.repertoire.worth

    def added(self, moves: Moves, number: int, thin: slice) -> list[Moves]:
        """Those that come of some by a term of another axis, of which some amounts are tried."""
        have = {term.axis for term in moves.terms}
        tries = [
            (term, amount)
            for axis, terms in self.options.items()
            if axis not in have
            for term in terms
            for amount in AMOUNTS[axis][thin]
        ]
        if not tries:
            return []
        misfits = self.coarse.misfits(self._paths(moves, tries))
        best = {}
        for k in np.argsort(misfits, kind="stable"):
            best.setdefault(tries[k][0].axis, tries[k])
        return [
            self.refined([*moves.terms, term], [*moves.amounts, amount])
            for term, amount in list(best.values())[:number]
        ]

    def _paths(self, moves, tries):
        """{axis: [A,T]} of A paths with one more term each."""
        terms, amounts = [*self.before.terms, *moves.terms], [*self.before.amounts, *moves.amounts]
        paths = [self.values([*terms, term], [*amounts, amount]) for term, amount in tries]
        still = np.zeros(len(tries[0][0].profile))
        axes = {axis: None for path in paths for axis in path}
        return {axis: np.array([path.get(axis, still) for path in paths]) for axis in axes}


def pivot(changes: Mapping[str, float], view: View) -> float:
    """Metres of truck that come with an orbit, if what it goes about is nearer or farther away."""
    turn = math.radians(changes.get("orbit", 0.0))
    return PIVOT * view.distance * abs(math.sin(turn))


def pairs_of(first: int, last: int, lags: Sequence[float], number: float) -> np.ndarray:
    """[P,2] frames, from `first` to `last` of a shot, that are to be compared: `number` a lag."""
    count, pairs = last - first, []
    for share in lags:
        lag = max(1, int(share * count))
        starts = np.unique(np.linspace(0, count - lag, round(number)).round().astype(int))
        pairs += [(first + start, first + start + lag) for start in starts]
    return np.array(pairs)


def steps_of(background: Background, values: Mapping[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """How frames follow each other along a path {axis: [T]}.

    Returns:
      pixels by which steps differ from those of the path, and from those before: a median, so that
      a jump or an uneven pace counts for little; and what steps leave unexplained [T-1], squared
      Lab units.
    """
    count = len(background.images)
    pairs = np.stack([np.arange(count - 1), np.arange(1, count)], -1)
    values = values or {"pan": np.zeros(count)}
    strays, rest = Comparison(background, pairs, GRID, 0.0).strays(values)
    return float(np.median(np.hypot(*np.diff(strays, axis=0).T))), rest
