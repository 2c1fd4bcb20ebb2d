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
from seedance_jax.data.world import WorldSpec, kinds
from seedance_jax.evaluation.suite.cases import DEV, FOLDER, FORMS, TEST
from seedance_jax.sampling.shots import write_prompt

# Of the first group of a suite; how many each group may search.
FAMILIES = ("v1", "v2", "v2_plain", "v2_image", "v2_plain_image", "v2_long")  # in their order
NAMES = [f"world_{family}{kind}" for family in FAMILIES for kind in (TEST, DEV)]
FIRST_INDEX = {name: 10_000_000 * (k + 1) for k, name in enumerate(NAMES)}
INDICES = 100_000
LAST = -1  # in `Group.given`: the last frame
BEGINNING = [0, 4]  # frames that show speed and fall: two latent frames


class Group(NamedTuple):
    """What a group of cases tries.

    Attributes:
      split: where its scenes are from.
      kind: of `data.world.kinds`.
      given: `Case.given`.
    """

    split: str
    kind: Callable[[Mapping[str, Any]], str | None]
    given: tuple = ()


GIVEN = {
    "image_to_video": Group("validation", kinds.single, ([0, 0],)),
    "first_and_last": Group("validation", kinds.single, ([0, 0], [LAST, LAST])),
    "out_of_range": Group("out_of_range", kinds.single, (BEGINNING,)),
}
MADE = {
    "in_range": Group("validation", kinds.single),
    "held_out": Group("held_out_combinations", kinds.single),
    "camera": Group("validation", kinds.by_move),
}
CUT = {"two_shot": Group("validation", kinds.two_shots), **GIVEN}
V1 = MADE | CUT
V2 = MADE | {"camera_path": Group("validation", kinds.by_path)} | CUT
PICTURES = {
    "in_range": Group("validation", kinds.by_count),
    "held_out": Group("held_out_combinations", kinds.by_count),
}
LONG = {
    "episodes": Group("validation", kinds.single),
    "image_to_video": GIVEN["image_to_video"],
}
# What the name of a suite contains -> its groups, and cases of each; the first that fits counts.
PLANS = {
    "v1": (V1, 32),
    "image": (PICTURES, 32),
    "long": (LONG, 16),
    "plain": (V2 | {"in_range": Group("validation", kinds.by_event)}, 32),
    "v2": (V2, 32),
}


def plan_of(name: str) -> tuple[dict[str, Group], int]:
    """(groups, cases of each) of a suite."""
    return next(plan for part, plan in PLANS.items() if part in name)


def draw_suite(name: str) -> list[dict]:
    """The lines of a suite of that name, the cases of each group in turns."""
    groups, count = plan_of(name)
    drawn = [list(draw_group(name, group, count)) for group in groups]
    cases = itertools.chain.from_iterable(zip(*drawn, strict=True))
    return [{"number": number, **case} for number, case in enumerate(cases)]


def draw_group(name: str, group: str, count: int) -> Iterator[dict]:
    """Yields `count` cases of a group of a suite, as they stand in its file."""
    spec, groups = WorldSpec(*FORMS[name.removesuffix(DEV).removesuffix(TEST)]), plan_of(name)[0]
    split, kind_of, given = groups[group]
    start = FIRST_INDEX[name] + INDICES * list(groups).index(group)
    drawn = kinds.draw_evenly(split, kind_of, spec, range(start, start + INDICES), count)
    for index, row, scene in drawn:
        yield {
            "group": group,
            "split": split,
            "index": index,
            "prompt": prompt_of(row),
            "given": [[k % spec.num_frames for k in run] for run in given],
            "asked": scene,
        }


def prompt_of(row: Mapping[str, Any]) -> str:
    """The prompt of a record: its caption, or of two shots theirs with their durations, as JSON."""
    shots = schema.read_shots(row)
    if len(shots) == 1:
        return row["caption"]
    captions, lengths = [s.caption for s in shots], [s.num_frames for s in shots]
    return write_prompt(row["caption"], captions, lengths, row["fps"])


def write(name: str) -> None:
    """Writes the file of a suite and prints its checksum, which belongs into `cases.CHECKSUMS`."""
    lines = "".join(json.dumps(case) + "\n" for case in draw_suite(name))
    (FOLDER / f"{name}.jsonl").write_text(lines)
    print(name, hashlib.sha256(lines.encode()).hexdigest())
