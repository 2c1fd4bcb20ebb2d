"""Suites of prompts with the scene that each one describes, pinned or drawn from a data set.

A pinned suite is a file of one JSON object a line, a case each, made once by
`drawing_up.draw_suite` and stored with its checksum, so that it never changes silently; groups take
turns, so that the first clips of a suite are a small suite. It comes twice, with scenes of its own
each: `*_dev` for whatever chooses (early stopping, merging, the best checkpoint), `*_test` for
tables. Another suite is another name. A suite of a run's own data set is drawn by `splits`.

For stages at a low resolution or rate the same scenes are suites of other forms (SAME_SCENES), as
training takes these clips of the full ones: without those that are cut inside a latent frame.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import sources
from seedance_jax.data.world import generate
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.data.world.spec import read_spec
from seedance_jax.data.world.vocabulary import WORLDS
from seedance_jax.evaluation.judges import true_clips
from seedance_jax.evaluation.judges.forms import Form, find_bounds

FOLDER = Path(__file__).parent
DEV, TEST = "_dev", "_test"


WORLD_V1 = Form(17, 64, 64, 12, "tiny", "1.3.0")
WORLD_V2 = Form(17, 64, 64, 12, "tiny", "2.0.0")
LONG = Form(241, 64, 64, 12, "long", "2.0.0")
FORMS = {
    "world_v1": WORLD_V1,
    "world_v2": WORLD_V2,
    "world_v2_image": WORLD_V2._replace(num_frames=1),
    "world_v2_long": LONG,
    "world_v2_plain": true_clips.PLAIN,
    "world_v2_plain_6fps": true_clips.SLOW,
    "world_v2_plain_image": true_clips.PICTURE,
    "world_v2_plain_low": true_clips.LOW,
    "world_v2_plain_low_image": true_clips.LOW_PICTURE,
}
# Suites of other forms -> those whose scenes they show.
SAME_SCENES = {
    "world_v2_plain_6fps": "world_v2_plain",
    "world_v2_plain_low": "world_v2_plain",
    "world_v2_plain_low_image": "world_v2_plain_image",
}
CHECKSUMS = {
    "world_v1_dev": "8990e85a8c08aaf162c8161366243b067b0908e997d4e5b83b57cc493df0ba5f",
    "world_v1_test": "289c4cec9ee2d14d2e10f5c942cb71556da14866bd9c7b1f76b92b3a7a10c18f",
    "world_v2_dev": "46a0e83cbfa1af97cf8f11c872955a9465dc359d7a713eab2e1bf12ca14af7ec",
    "world_v2_image_dev": "25d1a8a30e20fcae99cdc0fe6d28e7f879e4e80f08eb56ab577fa8320473e97d",
    "world_v2_image_test": "ef82bfaafa88e1db58ace1490a918c9b78a7f8c14c48d7fee3371da04cb41e7c",
    "world_v2_long_dev": "3baac2649b33e900183eb69134889b2230c17950978c9626522ff5d81da12811",
    "world_v2_long_test": "2c24206150acdea8e4550a0afd1ad43e3b865c8d3433ddabd8e4157b91d8cfc3",
    "world_v2_plain_dev": "2ab9a25d1da8b312a59b0b06b0420567b78a80cde35cba1481dc50ac116d0894",
    "world_v2_plain_image_dev": "b47af6bd33674aa7ff8c0680abb6a061f8a1e813ab7a0f8410b73a823aa4d28c",
    "world_v2_plain_image_test": "29f49613e059f46a789275bb59e21665dbe687580c4b268a82cc8efe19af32b9",
    "world_v2_plain_test": "3abbac18b5ee9b44f1547ea244cd955ee63e0070fb1a5a711b4f1cf7d9aeebf3",
    "world_v2_test": "644e4977fb14381bd57bd40807e4bf88f92e9d04b0c10277e962794b378b1854",
}


def family_of(name: str) -> str:
    """The name of a suite without what it is for."""
    return name.removesuffix(DEV).removesuffix(TEST)


def file_of(name: str) -> str:
    """The suite whose file has the scenes of a suite."""
    family = family_of(name)
    return SAME_SCENES.get(family, family) + name.removeprefix(family)


NAMES = [*CHECKSUMS, *(family + kind for family in SAME_SCENES for kind in (DEV, TEST))]
# Name -> (form of the clips, sha256 of the file).
SUITES = {name: (FORMS[family_of(name)], CHECKSUMS[file_of(name)]) for name in sorted(NAMES)}


class Case(NamedTuple):
    """A clip to be generated.

    Attributes:
      number: its place in the suite.
      group: what it tries, such as a key of `drawing_up.GROUPS`.
      split, index: of the world, or of a data set, which has the true clip.
      prompt: text; of two shots JSON with durations.
      given: [first, last] of the runs of frames of the true clip that the model is given.
      scene: the record of the scene, see `judges.verdict.judge_clip`.
    """

    number: int
    group: str
    split: str
    index: int
    prompt: str
    given: list
    scene: dict


class Suite(NamedTuple):
    """A suite of `cases`.

    Attributes:
      name: of `SUITES`, or the split that it was drawn from.
      checksum: sha256 of what it is.
      form: of its clips.
      cases: all of them.
      clip: function of a `Case`: the true clip, uint8 [T, H, W, 3].
    """

    name: str
    checksum: str
    form: Form
    cases: list[Case]
    clip: Callable[[Case], np.ndarray]


def read_suite(name: str) -> Suite:
    """The pinned `Suite` of a name.

    Raises ValueError for another name, or if the file is not the one that the name stands for.
    """
    if name not in SUITES:
        raise ValueError(f"suite={name!r} is not one of {sorted(SUITES)}")
    form, wanted = SUITES[name]
    data = (FOLDER / f"{file_of(name)}.jsonl").read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ValueError(
            f"{file_of(name)}.jsonl has the checksum {found[:16]}, {name} has {wanted[:16]}: a "
            "changed suite needs another name"
        )
    cases = [read_case(line) for line in data.splitlines()]
    if form in true_clips.TAKEN_OF:
        cases = of_form(form, cases)
    return Suite(name, found, form, cases, functools.partial(render_case, form))


def read_case(line: bytes) -> Case:
    """The `Case` of a line of a pinned suite, which calls the scene "asked"."""
    row = json.loads(line)
    return Case(**{"scene": row.pop("asked"), **row})


def of_form(form: Form, cases: Sequence[Case]) -> list[Case]:
    """Those of some cases that a form shows, as it does, numbered anew."""
    lengths = ([shot["num_frames"] for shot in case.scene["shots"]] for case in cases)
    shown = [case for case, own in zip(cases, lengths, strict=True) if true_clips.shows(form, own)]
    return [
        case._replace(
            number=number,
            given=[true_clips.run_of(form, run) for run in case.given],
            scene=true_clips.of_form(form, case.scene),
        )
        for number, case in enumerate(shown)
    ]


def read_dev_suite(name: str) -> Suite:
    """`read_suite` for what chooses; ValueError, too, for a suite that tables are of."""
    if name in SUITES and not name.endswith(DEV):
        raise ValueError(
            f"suite={name!r} is for tables alone; what chooses among weights looks at one of "
            f"{dev_suites()}"
        )
    return read_suite(name)


def dev_suites() -> list[str]:
    """Names of the suites that may be chosen by."""
    return sorted(name for name in SUITES if name.endswith(DEV))


def is_test(suite: Suite) -> bool:
    """Whether a suite is for tables, so that every look at it counts."""
    return suite.name in SUITES and suite.name.endswith(TEST)


def test_suite_of(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    """Name of the newest test suite of the clips which a generator makes, or of its pictures if
    none is of its clips; None without one."""
    forms = {name: form for name, (form, _) in SUITES.items() if name.endswith(TEST)}
    fits = [name for name, form in forms.items() if not misfits(name, form, config, metadata)]
    return max(fits, key=lambda name: (forms[name].num_frames > 1, name), default=None)


def first_cases(suite: Suite, limit: int | None = None) -> list[Case]:
    """The first `limit` cases of a suite, or all; ValueError unless it has so many."""
    most = len(suite.cases)
    if limit is not None and not 1 <= limit <= most:
        raise ValueError(f"limit={limit} must be from 1 to {most}, the clips of {suite.name}")
    return suite.cases[:limit]


def check_model(suite: Suite, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Raises ValueError unless a generator makes clips of the size, rate and kind of a suite, and
    the judges have thresholds for them."""
    find_bounds(suite.form)
    if reason := misfits(suite.name, suite.form, config, metadata):
        raise ValueError(reason)


def misfits(
    name: str, form: Form, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str | None:
    """Why a generator does not make clips of a form; None if it does."""
    wanted = (form.num_frames, form.height, form.width)
    trained = [tuple(bucket) for bucket in metadata["buckets"]]
    if wanted not in trained:
        return (
            f"{name} is of clips of {by_times(wanted)} (frames x height x width), the run "
            f"was trained on {', '.join(map(by_times, trained))}"
        )
    if form.num_frames > 1 and metadata["fps"] != form.fps:
        return f"{name} is of {form.fps} frames a second, the run of {metadata['fps']:g}"
    worlds = [read_spec(world) for world in sources.worlds_of(config["data"])]
    later = list(WORLDS)[list(WORLDS).index(form.version) :]  # each shows what earlier ones do
    if worlds and not any(w.slice == form.slice and w.version in later for w in worlds):
        return (
            f"{name} is of the slice {form.slice} of the world {form.version}, the run was trained "
            f"on {', '.join(f'{world.slice} of {world.version}' for world in worlds)}"
        )
    return None


def by_times(size: Sequence[int]) -> str:
    """(17, 64, 64) as text: 17x64x64."""
    return "x".join(map(str, size))


def render_case(form: Form, case: Case) -> np.ndarray:
    """uint8 [T,H,W,3]: what the prompt of a case describes, as the world renders it.

    Raises ValueError if the world of this version does not show that scene any more.
    """
    row = generate(case.split, case.index, true_clips.stored_spec(form))
    scene = expected_scene(row, true_clips.frame_numbers(form))
    if scene != {name: case.scene.get(name) for name in scene}:
        raise ValueError(
            f"clip {case.number}: the world {scene['version']} shows another scene as "
            f"{case.split}/{case.index} than it did when the suite was drawn up"
        )
    frames = row["frames"]
    return true_clips.take(form, frames) if form in true_clips.TAKEN_OF else frames


def given_frames(case: Case, frames: np.ndarray) -> dict[int, np.ndarray]:
    """{frame: image or clip that begins there} that the model is given; {} for text alone.

    Args:
      frames: the true clip of the case, uint8 [T,H,W,3].
    """
    runs = {first: frames[first : last + 1] for first, last in case.given}
    return {first: run[0] if len(run) == 1 else run for first, run in runs.items()}


def other_scene(suite: Suite, case: Case) -> dict | None:
    """The scene of another case of the same group, the one before; None if it is the only one.

    A true clip that is judged by it passes by chance.
    """
    group = [other for other in suite.cases if other.group == case.group]
    place = group.index(case)
    others = group[place - 1 : place] or group[1:2]
    return others[0].scene if others else None
