"""A suite that is drawn from a split of the data set of a run: its captions, its clips."""

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from seedance_jax.data import schema, sources, transforms
from seedance_jax.data.buckets import Bucket, eligible_rows, num_shots
from seedance_jax.data.world.showing import expected_scene
from seedance_jax.data.world.spec import read_spec
from seedance_jax.evaluation.judges.forms import Form
from seedance_jax.evaluation.suite.cases import Case, Suite
from seedance_jax.sampling.shots import write_prompt

NUM_PROMPTS = 48
FIRST_AND_LAST = 16  # clips: a given frame only passes through the autoencoder


def draw_split(
    data: Mapping[str, Any], split: str, num_prompts: int | None = None
) -> tuple[Suite, int]:
    """(suite, how many of its cases): the clips of a split, generated again from their captions.

    The clips of a single shot come as text_to_video, as image_to_video (the true first frame is
    given) and, the first of them, as first_and_last (so is the last frame); those of several shots
    as two_shots. They take turns, so that a larger suite begins with a smaller one. Clips with a
    flaw (`data.world.flawed`), of which no caption tells, are left out.

    Args:
      data: the section of a config.
      num_prompts: clips of a single shot, and of several shots, at most; the latter are rare.
        None is NUM_PROMPTS, or all that there are.

    Raises:
      ValueError: the split is missing, not of the synthetic world or has fewer clips.
    """
    data = sources.sources_of(data)[0].data
    if data["source"] != "world":
        raise ValueError(
            "only clips of the synthetic world can be judged, and the (first) source of the data "
            f"is of the kind {data['source']!r}, not 'world'"
        )
    form, source = form_of(data), sources.open_split(data, split)
    bucket = sources.video_bucket(data["buckets"])
    numbers, _ = eligible_rows(source.table, bucket)
    cut = num_shots(source.table)[numbers] > 1
    read = functools.partial(read_case, source, bucket, split, form.fps)
    # Beyond what is wanted, for the scenes of others.
    most = max(num_prompts or 0, NUM_PROMPTS)
    single = list(itertools.islice(filter(is_sound, map(read, numbers[~cut])), most))
    several = filter(is_sound, map(read, numbers[cut][:most]))
    several = (case for case in several if len(case.scene["shots"]) > 1)
    check_count(split, num_prompts, len(single))
    turns = [list(turn) for turn in take_turns(single, several, form.num_frames - 1)]
    cases = [case._replace(number=k) for k, case in enumerate(itertools.chain(*turns))]
    clip = functools.partial(read_clip, source, bucket)
    suite = Suite(split, identify(form, bucket, split, len(source)), form, cases, clip)
    return suite, sum(map(len, turns[: num_prompts or NUM_PROMPTS]))


def is_sound(case: Case) -> bool:
    """Whether a clip has no flaw."""
    return not case.scene.get("flaw")


def form_of(data: Mapping[str, Any]) -> Form:
    """The form of the clips of a section of a config."""
    world, shape = read_spec(data["world"]), sources.video_bucket(data["buckets"]).shape
    return Form(*shape, sources.clip_fps(data), world.slice, world.version)


def check_count(split: str, num_prompts: int | None, count: int) -> None:
    """Raises ValueError if more clips are wanted than a split has; None wants what there is."""
    if not count:
        raise ValueError(f"the split {split!r} has no clips of a single shot to judge")
    if num_prompts is not None and not 1 <= num_prompts <= count:
        raise ValueError(
            f"num_prompts={num_prompts} must be from 1 to {count}: so many clips of a single shot "
            f"has the split {split!r}"
        )


def take_turns(
    single: Iterator[Case], several: Iterator[Case], last: int
) -> Iterator[Iterator[Case]]:
    """Yields the cases that come of each clip of a single shot, and of one of several beside it."""
    for place, case in enumerate(single):
        yield itertools.chain(
            [
                case._replace(group="text_to_video"),
                case._replace(group="image_to_video", given=[[0, 0]]),
            ],
            [case._replace(group="first_and_last", given=[[0, 0], [last, last]])]
            if place < FIRST_AND_LAST
            else [],
            [cut._replace(group="two_shots") for cut in itertools.islice(several, 1)],
        )


def read_case(source: Any, bucket: Bucket, split: str, fps: float, number: int) -> Case:
    """The `Case` of the middle of a row, of which the model is given nothing."""
    row = source[int(number)]
    frames = transforms.choose_frames(row, bucket.frames, bucket.stride, None)
    shots = schema.read_shots(row)
    shot_of = np.repeat(np.arange(len(shots)), [shot.num_frames for shot in shots])
    seen, lengths = np.unique(shot_of[frames], return_counts=True)
    prompt = shots[seen[0]].caption
    if len(seen) > 1:
        captions = [shots[shot].caption for shot in seen]
        prompt = write_prompt(row["caption"], captions, lengths.tolist(), fps)
    return Case(0, "", split, int(number), prompt, [], expected_scene(row, frames))


def read_clip(source: Any, bucket: Bucket, case: Case) -> np.ndarray:
    """The true clip of a case, uint8 [T,H,W,3]."""
    return transforms.middle_clip(source[case.index], bucket.shape, bucket.stride)


def identify(form: Form, bucket: Bucket, split: str, count: int) -> str:
    """Checksum of all clips of a split in this form, whatever other splits its data set has."""
    parts = [form.version, *form[:-1], bucket.stride, split, count]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
