"""From the section `preferences` of a config to batches of comparisons.

    preferences = {
        "source": "severities:3,edits:2,votes:1",   # each with its share of the examples
        "dimensions": ("prompt_following", "motion_quality"),
        "scenes": {"train": 2000},                  # of `build_pairs`, beyond those of data.world
        "severities": {"kinds": (), "ties": True},
        "edits": {"attributes": ("color", "count")},
        "true_renders": {"folder": "samples/sft"},
        "edited_prompts": {"folder": "samples/sft"},
        "more_steps": {"folders": ("samples/30", "samples/4")},
        "more_given": {"folders": ("samples/9_given", "samples/1_given")},
        "votes": {"path": "votes.jsonl", "contradictions": "majority"},
        "labels": {"path": "labels.csv", "contradictions": "drop"},
        "pass_fail": {"path": "verdicts.csv", "per_clip": 1, "seed": 0},
    }

A section of another name says of which kind it is: "bob": {"source": "votes", "path": ...}.
`comparison_batches` makes batches of what is opened here.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seedance_jax.data import sources
from seedance_jax.data.buckets import Bucket
from seedance_jax.data.builders import graded_clips, storage
from seedance_jax.data.preferences import graded_pairs, judgements, sample_pairs, verdicts
from seedance_jax.data.preferences.comparisons import Comparisons, Found
from seedance_jax.data.preferences.dimensions import check_axes
from seedance_jax.data.remote import Place
from seedance_jax.data.tokenizer import BYTES, Tokenizer
from seedance_jax.data.world.spec import read_spec
from seedance_jax.data.world.vocabulary import SPLITS

# Kind of source -> what finds its pairs; a first argument `scenes` is given, others are settings.
FINDERS: dict[str, Callable[..., Found]] = {
    "severities": graded_pairs.severity_pairs,
    "edits": graded_pairs.edit_pairs,
    "true_renders": sample_pairs.true_render_pairs,
    "edited_prompts": sample_pairs.edited_prompt_pairs,
    "more_steps": sample_pairs.more_steps_pairs,
    "more_given": sample_pairs.more_given_pairs,
    "votes": judgements.vote_pairs,
    "labels": judgements.label_pairs,
    "pass_fail": verdicts.pass_fail_pairs,
}


def pair_spec(data: Mapping[str, Any], preferences: Mapping[str, Any]) -> graded_clips.PairSpec:
    """The scenes of a config: the form and the splits of `data.world`, and what
    `preferences.scenes` says otherwise. ValueError for settings that there are not."""
    world, scenes = {**data["world"]}, {**preferences.get("scenes", {})}
    own = ("severities", "corruptions", "edits", "kinds")
    if unknown := scenes.keys() - {*world, *own, *SPLITS}:
        raise ValueError(f"preferences.scenes: {sorted(unknown)}; legal: {sorted({*world, *own})}")
    world |= {name: value for name, value in scenes.items() if name not in own}
    splits = {split: world[split] for split in SPLITS if world.get(split)}
    settings = {name: scenes[name] for name in own if name in scenes}
    settings = {n: tuple(v) if n in ("severities", "kinds") else v for n, v in settings.items()}
    return graded_clips.PairSpec(read_spec(world), splits, **settings)


def build(data: Mapping[str, Any], preferences: Mapping[str, Any]) -> Place:
    """Builds the scenes of a config, unless they are there; returns their directory."""
    spec = pair_spec(data, preferences)
    return graded_clips.build_pairs(data["data_dir"], spec, data["num_processes"])


def open_scenes(
    data: Mapping[str, Any], preferences: Mapping[str, Any], split: str
) -> graded_pairs.Scenes:
    """The scenes of a config; ValueError if they are not built."""
    directory = graded_clips.pairs_directory(data["data_dir"], pair_spec(data, preferences))
    if not storage.is_complete(directory):
        raise ValueError(
            f"no complete scenes in {directory}; build them with the same config:\n"
            "  python -m seedance_jax build_pairs --config=..."
        )
    return graded_pairs.open_scenes(directory, split)


def find(
    preferences: Mapping[str, Any], name: str, scenes: Callable[[], graded_pairs.Scenes]
) -> Found:
    """The pairs of the source of a name, maybe of scenes. ValueError if there is none, or it has
    settings that there are not."""
    section = {**preferences.get(name, {})}
    kind = section.pop("source", name)
    if kind not in FINDERS:
        raise ValueError(f"preferences.source: {name!r} is not one of {list(FINDERS)}")
    finder = FINDERS[kind]
    legal = inspect.signature(finder).parameters
    settings = [parameter for parameter in legal if parameter != "scenes"]
    needed = [n for n in settings if legal[n].default is inspect.Parameter.empty]
    if not {*needed} <= section.keys() <= {*settings}:
        raise ValueError(
            f"preferences.{name} has {sorted(section)}; it needs {needed}, and may have {settings}"
        )
    if "scenes" in legal:
        section["scenes"] = scenes()
    return finder(**section)


def open_sources(
    data: Mapping[str, Any],
    preferences: Mapping[str, Any],
    tokenizer: Tokenizer = BYTES,
    split: str = "train",
) -> dict[Bucket, dict[str, Comparisons]]:
    """{bucket: {name: its comparisons}} of all sources of a config, checked.

    Args:
      data: section `data`: data_dir, world, buckets, text_length.
      split: of the scenes.

    Raises ValueError for whatever training would trip over: clips that are missing or of two sizes,
    prompts that do not fit, a source without pairs of the dimensions.
    """
    wanted = check_axes(preferences["dimensions"], "preferences.dimensions")
    names = [name for name, _ in sources.named_weights(preferences["source"], "preferences.source")]
    buckets = sources.make_buckets(data["buckets"])
    opened = {bucket: {} for bucket in buckets}
    scenes = functools.cache(lambda: open_scenes(data, preferences, split))
    for name in names:
        found = find(preferences, name, scenes)
        for bucket in buckets:
            opened[bucket][name] = Comparisons(name, found, bucket, wanted)
        check_prompts(name, found.prompts, data["text_length"], tokenizer)
    return opened


def check_prompts(name: str, prompts: Sequence[str], length: int, tokenizer: Tokenizer) -> None:
    """Raises ValueError if a prompt of a source does not fit in `length` tokens."""
    longest = max(prompts, key=tokenizer.count)
    if (count := tokenizer.count(longest)) > length:
        raise ValueError(
            f"preferences.{name}: text_length={length} is too short for {longest!r}, of {count} "
            "tokens"
        )


def report(opened: Mapping[Bucket, Mapping[str, Comparisons]]) -> list[str]:
    """Lines on what sources have, and what was left out."""
    lines = []
    for bucket, named in opened.items():
        for name, source in named.items():
            counts = [f"{axis} {kind} {n}" for (axis, kind), n in source.counts().items()]
            lines.append(f"{name}, {bucket.shape}: {len(source)} pairs: {', '.join(counts)}")
            lines += [f"{name}: {note}" for note in source.notes]
    return lines
