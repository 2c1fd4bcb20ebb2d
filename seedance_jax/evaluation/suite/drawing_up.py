"""How a pinned suite is drawn up, once: scenes of the world's own grammar, never trained on.

    python -c "from seedance_jax.evaluation.suite import drawing_up as d; d.write('world_v1_dev')"

Scenes are chosen by what was simulated, never by how a clip of them looks. Their indices lie beyond
those of any data set and of the judges' calibration, and no two suites share one. Captions have no
numbers, so what is out of the training range is shown: the model goes on with the first frames.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from seedance_jax.data import schema
from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world.spec import OLD_WORLD
from seedance_jax.evaluation.judges.verdict import expected_scene
from seedance_jax.evaluation.suite.cases import FOLDER, SUITES
from seedance_jax.sampling.shots import write_prompt

# Of the first group of a suite; how many each group may search.
FIRST_INDEX = {"world_v1_test": 10_000_000, "world_v1_dev": 20_000_000}
VERSIONS = {"world_v1_test": OLD_WORLD, "world_v1_dev": OLD_WORLD}  # of the world
INDICES = 100_000
CASES = 32  # of each group
BEGINNING = [0, 4]  # frames that show speed and fall: two latent frames


def single(scene: Mapping[str, Any]) -> str | None:
    """Scenes of one shot."""
    return "single" if len(scene["shots"]) == 1 else None


def two_shots(scene: Mapping[str, Any]) -> str | None:
    """Scenes of two shots."""
    return "two shots" if len(scene["shots"]) == 2 else None


def by_move(scene: Mapping[str, Any]) -> str | None:
    """Scenes of one shot by the move of the camera, unless it stands."""
    move = scene["camera"]["move"]
    return move if single(scene) and move != "static" else None


class Group(NamedTuple):
    """What a group of cases tries.

    Attributes:
      split: where its scenes are from.
      kind: of a scene, which of several kinds it is, that come equally often; None is a scene that
        does not belong here.
      given: `Case.given`.
    """

    split: str
    kind: Callable[[Mapping[str, Any]], str | None]
    given: tuple = ()


GROUPS = {
    "in_range": Group("validation", single),
    "held_out": Group("held_out_combinations", single),
    "camera": Group("validation", by_move),
    "two_shot": Group("validation", two_shots),
    "image_to_video": Group("validation", single, ([0, 0],)),
    "first_and_last": Group("validation", single, ([0, 0], [16, 16])),
    "out_of_range": Group("out_of_range", single, (BEGINNING,)),
}


def draw_suite(name: str, count: int = CASES) -> list[dict]:
    """The lines of a suite of that name, `count` cases of each group, in turns."""
    drawn = [list(draw_group(name, group, count)) for group in GROUPS]
    cases = itertools.chain.from_iterable(zip(*drawn, strict=True))
    return [{"number": number, **case} for number, case in enumerate(cases)]


def draw_group(name: str, group: str, count: int) -> Iterator[dict]:
    """Yields `count` cases of a group of a suite, as they stand in its file."""
    spec = WorldSpec(*SUITES[name][0], version=VERSIONS[name])
    split, kind_of, given = GROUPS[group]
    start = FIRST_INDEX[name] + INDICES * list(GROUPS).index(group)
    moves = len(spec.allowed.moves) - 1
    most = {"camera": -(-count // moves)}.get(group, count)  # of a kind
    found = {}
    for index in range(start, start + INDICES):
        row = generate(split, index, spec)
        scene = expected_scene(row)
        kind = kind_of(scene)
        if kind is None or found.get(kind, 0) == most:
            continue
        found[kind] = found.get(kind, 0) + 1
        yield {
            "group": group,
            "split": split,
            "index": index,
            "prompt": prompt_of(row),
            "given": list(given),
            "asked": scene,
        }
        if sum(found.values()) == count:
            return


def prompt_of(row: Mapping[str, Any]) -> str:
    """The prompt of a record: its caption, or of two shots theirs with their durations, as JSON."""
    shots = schema.read_shots(row)
    if len(shots) == 1:
        return row["caption"]
    captions, lengths = [s.caption for s in shots], [s.num_frames for s in shots]
    return write_prompt(row["caption"], captions, lengths, row["fps"])


def write(name: str) -> None:
    """Writes the file of a suite and prints its checksum, which belongs into `cases.SUITES`."""
    lines = "".join(json.dumps(case) + "\n" for case in draw_suite(name))
    (FOLDER / f"{name}.jsonl").write_text(lines)
    print(name, hashlib.sha256(lines.encode()).hexdigest())
