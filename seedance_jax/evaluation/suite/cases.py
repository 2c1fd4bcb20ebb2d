"""Fixed suites of prompts: stored as data, with a checksum, so that they never change silently.

A suite is a file of one JSON object a line, a case each, made once by `drawing.draw_suite`; groups
take turns, so that the first clips of a suite are a small suite. Another suite is another name.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from seedance_jax.data.world import WORLD_VERSION, WorldSpec, generate

FOLDER = Path(__file__).parent
# Name -> (form of the clips, sha256 of the file).
SUITES = {
    "world_v1": (
        WorldSpec(17, 64, 64, 12, "tiny"),
        "289c4cec9ee2d14d2e10f5c942cb71556da14866bd9c7b1f76b92b3a7a10c18f",
    ),
}


class Case(NamedTuple):
    """A clip that is asked for.

    Attributes:
      number: its place in the suite.
      group: what it tries, a key of `drawing.GROUPS`.
      split, index: of the world, which renders what the prompt tells of.
      prompt: text; of two shots JSON with durations.
      given: [first, last] of the runs of frames of the true clip that the model is given.
      asked: the record of the scene, see `judges.verdict.judge_clip`.
    """

    number: int
    group: str
    split: str
    index: int
    prompt: str
    given: list
    asked: dict


class Suite(NamedTuple):
    """A suite: its name, sha256 of its file, `WorldSpec` of its clips and its `Case`s."""

    name: str
    checksum: str
    spec: Any
    cases: list


def read_suite(name):
    """The `Suite` of a name.

    Raises ValueError for another name, or if the file is not the one that the name stands for.
    """
    if name not in SUITES:
        raise ValueError(f"suite={name!r} is not one of {sorted(SUITES)}")
    spec, wanted = SUITES[name]
    data = (FOLDER / f"{name}.jsonl").read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ValueError(
            f"{name}.jsonl has the checksum {found[:16]}, {name} has {wanted[:16]}: a changed "
            "suite needs another name"
        )
    return Suite(name, found, spec, [Case(**json.loads(line)) for line in data.splitlines()])


def first_cases(suite, limit=None):
    """The first `limit` cases of a suite, or all; ValueError unless it has so many."""
    most = len(suite.cases)
    if limit is not None and not 1 <= limit <= most:
        raise ValueError(f"limit={limit} must be from 1 to {most}, the clips of {suite.name}")
    return suite.cases[:limit]


def check_model(suite, config, metadata):
    """Raises ValueError unless a generator makes clips of the size, rate and kind of a suite."""
    spec = suite.spec
    wanted = (spec.num_frames, spec.height, spec.width)
    trained = [tuple(bucket) for bucket in metadata["buckets"]]
    if wanted not in trained:
        raise ValueError(
            f"{suite.name} is of clips of {by_times(wanted)} (frames x height x width), the run "
            f"was trained on {', '.join(map(by_times, trained))}"
        )
    if metadata["fps"] != spec.fps:
        raise ValueError(
            f"{suite.name} is of {spec.fps} frames a second, the run of {metadata['fps']:g}"
        )
    data = config["data"]
    if data["source"] == "world" and data["world"]["slice"] != spec.slice:
        raise ValueError(
            f"{suite.name} is of the slice {spec.slice!r} of the world, the run was trained on "
            f"{data['world']['slice']!r}"
        )


def by_times(size):
    """(17, 64, 64) as text: 17x64x64."""
    return "x".join(map(str, size))


def true_clip(suite, case):
    """uint8 [T,H,W,3]: what the prompt of a case tells of, as the world renders it.

    Raises ValueError if the world of this version does not show that scene any more.
    """
    row = generate(case.split, case.index, suite.spec)
    scene = json.loads(row["scene"])
    if scene != {name: case.asked.get(name) for name in scene}:
        raise ValueError(
            f"clip {case.number} of {suite.name} is of the world {case.asked['version']}; the "
            f"world {WORLD_VERSION} shows another scene as {case.split}/{case.index}"
        )
    return row["frames"]


def given_frames(case, frames):
    """{frame: image or clip that begins there} that the model is given; {} for text alone.

    Args:
      frames: the `true_clip` of the case.
    """
    runs = {first: frames[first : last + 1] for first, last in case.given}
    return {first: run[0] if len(run) == 1 else run for first, run in runs.items()}
