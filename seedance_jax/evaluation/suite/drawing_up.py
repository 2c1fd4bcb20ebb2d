"""How a suite is drawn up, once: scenes of the world's own grammar, from splits never trained on.

    python -c "from seedance_jax.evaluation.suite import drawing_up; drawing_up.write('world_v1')"

Scenes are chosen by what was simulated, never by how a clip of them looks. The indices lie beyond
those of any data set. Captions have no numbers, so what is out of the training range is shown: the
model goes on with the first frames.
"""

import hashlib
import itertools
import json
from typing import Any, NamedTuple

from seedance_jax.data import schema
from seedance_jax.data.world import generate
from seedance_jax.data.world.vocabulary import SLICES
from seedance_jax.evaluation.generation import write_prompt
from seedance_jax.evaluation.judges.verdict import asked_of
from seedance_jax.evaluation.suite.cases import FOLDER, SUITES

FIRST_INDEX, INDICES = 10_000_000, 100_000  # of the first group; of each
CASES = 32  # of each group
BEGINNING = [0, 4]  # frames that show speed and fall: two latent frames


class Group(NamedTuple):
    """What a group of cases tries.

    Attributes:
      split: where its scenes are from.
      kind: of the record of a scene, which of several kinds it is, that come equally often; None
        is a scene that does not belong here.
      given: `Case.given`.
    """

    split: str
    kind: Any
    given: tuple = ()


def single(asked):
    """Scenes of one shot."""
    return "single" if len(asked["shots"]) == 1 else None


def two_shots(asked):
    """Scenes of two shots."""
    return "two shots" if len(asked["shots"]) == 2 else None


def by_move(asked):
    """Scenes of one shot by the move of the camera, unless it stands."""
    move = asked["camera"]["move"]
    return move if single(asked) and move != "static" else None


GROUPS = {
    "in_range": Group("validation", single),
    "held_out": Group("held_out_combinations", single),
    "camera": Group("validation", by_move),
    "two_shot": Group("validation", two_shots),
    "image_to_video": Group("validation", single, ([0, 0],)),
    "first_and_last": Group("validation", single, ([0, 0], [16, 16])),
    "out_of_range": Group("out_of_range", single, (BEGINNING,)),
}


def draw_suite(spec, count=CASES):
    """Rows of the cases of a suite, `count` of each group, in turns."""
    drawn = [list(draw_group(spec, name, count)) for name in GROUPS]
    cases = itertools.chain.from_iterable(zip(*drawn, strict=True))
    return [{"number": number, **case} for number, case in enumerate(cases)]


def draw_group(spec, name, count):
    """Yields `count` cases of a group, as dicts."""
    group, start = GROUPS[name], FIRST_INDEX + INDICES * list(GROUPS).index(name)
    moves = len(SLICES[spec.slice].moves) - 1
    most = {"camera": -(-count // moves)}.get(name, count)  # of a kind
    found = {}
    for index in range(start, start + INDICES):
        row = generate(group.split, index, spec)
        asked = asked_of(row)
        kind = group.kind(asked)
        if kind is None or found.get(kind, 0) == most:
            continue
        found[kind] = found.get(kind, 0) + 1
        yield {
            "group": name,
            "split": group.split,
            "index": index,
            "prompt": prompt_of(row),
            "given": list(group.given),
            "asked": asked,
        }
        if sum(found.values()) == count:
            return


def prompt_of(row):
    """What is asked for in words: the caption, and of two shots theirs with their durations."""
    shots = schema.read_shots(row)
    if len(shots) == 1:
        return row["caption"]
    captions, lengths = [s.caption for s in shots], [s.num_frames for s in shots]
    return write_prompt(row["caption"], captions, lengths, row["fps"])


def write(name):
    """Writes the file of a suite and prints its checksum, which belongs into `cases.SUITES`."""
    spec, _ = SUITES[name]
    lines = "".join(json.dumps(case) + "\n" for case in draw_suite(spec))
    (FOLDER / f"{name}.jsonl").write_text(lines)
    print(name, hashlib.sha256(lines.encode()).hexdigest())
