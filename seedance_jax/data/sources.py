"""From the data part of a config to a data set on disk: shared by everything that needs one.

A config names its source and describes it in the section of that name:

    source="world"   world: slice, num_frames, height, width, fps, and clips per split
    source="folder"  folder: path, num_frames, fps, storage_size, validation_fraction, max_lost
    data_dir, num_processes
    buckets          tuples (frames, height, width, batch_size, weight[, stride])
    filter, labels   which rows are trained on, by scores (`curation.selection`)

Several data sets are mixed by naming several, each with a weight:

    --config.data.source=world:3,folder:1

trains three steps of four on clips of the world and one on those of the folder. Every batch comes
from one of them and from one bucket, and each has latents and text tokens of its own, made by the
same `encode`. A section of another name says of which kind it is, so a config may mix two folders:

    config.data.films = {"source": "folder", "path": "films", ...}
    config.data.source = "world:3,films:1"

All of them serve the same buckets. Validation goes by the first. A generator is trained on sources
of one frame rate, unless it knows the rate of each clip: --config.model.conditions=fps.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from seedance_jax.data.buckets import Bucket
from seedance_jax.data.builders import storage
from seedance_jax.data.curation import selection
from seedance_jax.data.remote import Place
from seedance_jax.data.source_kinds import KINDS


class NamedSource(NamedTuple):
    """One of the sources that a config names: the data part that has this one alone, its weight."""

    data: dict[str, Any]
    weight: float


def sources_of(data: Mapping[str, Any]) -> list[NamedSource]:
    """What `data["source"]` names, see the docstring of this module.

    Raises ValueError for a name without a section, one that is empty or named twice, or a weight
    that is no positive number.
    """
    return [_one_source(data, *named) for named in named_weights(data["source"], "data.source")]


def named_weights(text: str, field: str) -> list[tuple[str, float]]:
    """(name, weight) of every source of a mixture such as "world:3,folder:1"; weights are 1 if left
    out.

    Raises ValueError, with the field of the config, for what `sources_of` says.
    """
    parts = [entry.strip().partition(":") for entry in text.split(",")]
    names = [name for name, _, _ in parts]
    if "" in names:
        raise ValueError(f"{field}={text!r} has an empty name; as in world:3,folder:1")
    if len(set(names)) < len(names):
        raise ValueError(f"{field}={text!r} names a source twice")
    return [(name, _weight(f"{field}={text!r}", weight if colon else "1"))
            for name, colon, weight in parts]  # fmt: skip


def _weight(where: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        raise ValueError(f"{where}: the weight {text!r} is no positive number")
    return share


def _one_source(data: Mapping[str, Any], name: str, weight: float) -> NamedSource:
    section = data.get(name)
    section = section if isinstance(section, Mapping) else {}
    kind = section.get("source", name)
    if kind not in KINDS:
        legal = [own for own, part in data.items() if own in KINDS or _has_kind(part)]
        raise ValueError(f"data.source: {name!r} is not one of {sorted({*KINDS, *legal})}")
    fields = {field: value for field, value in section.items() if field != "source"}
    return NamedSource({**data, "source": kind, kind: fields}, weight)


def worlds_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sections of those sources of a config that are the synthetic world."""
    return [own["world"] for own, _ in sources_of(data) if own["source"] == "world"]


def only_world(data: Mapping[str, Any]) -> bool:
    """Whether all sources of a config are the synthetic world."""
    return len(worlds_of(data)) == len(sources_of(data))


def _has_kind(section: Any) -> bool:
    return isinstance(section, Mapping) and section.get("source") in KINDS


def build(data: Mapping[str, Any]) -> list[Place]:
    """Builds the data sets that a config names, unless they are there; returns their directories.

    Raises ValueError, before anything is made, if a folder is not there, or their clips would not
    fit the buckets.
    """
    check_buckets(data)
    for own, _ in sources_of(data):
        KINDS[own["source"]].check(own)
    return [KINDS[own["source"]].build(own) for own, _ in sources_of(data)]


def check_buckets(data: Mapping[str, Any]) -> None:
    """Raises ValueError if a bucket needs longer or larger clips than the config stores."""
    for own, _ in sources_of(data):
        kind, buckets = own["source"], make_buckets(own["buckets"])
        for bucket in buckets:
            needs = KINDS[kind].needs(bucket)
            for name in (name for name, least in needs.items() if own[kind][name] < least):
                raise ValueError(
                    f"data.{kind}.{name}={own[kind][name]} makes clips that cannot serve "
                    f"{bucket}: it must be {needs[name]} or more, or the bucket smaller"
                )


def locate(data: Mapping[str, Any]) -> Place:
    """The directory of the (first) data set that a config names; ValueError if it is not built."""
    own, _ = sources_of(data)[0]
    kind = KINDS[own["source"]]
    directory = kind.locate(own)
    if not storage.is_complete(directory):
        kind.check(own)
        raise ValueError(
            f"no complete data set in {directory}; build it with the same config:\n"
            "  python -m seedance_jax build_data --config=..."
        )
    return directory


# Files of configs that build the data of a run, by what it makes.
CONFIGS = {"autoencoder": "vae", "generator": "pretrain", "adapters": "pretrain"}


def check_built(data: Mapping[str, Any], makes: str, size: str) -> None:
    """Raises ValueError unless the data set of a run is there, with the command that builds it.

    Args:
      data: the section of its config; the command has the fields that say where films and data lie.
      makes: what the run makes; the command is known of CONFIGS.
      size: of the config.
    """
    data = sources_of(data)[0].data
    if storage.is_complete(directory := KINDS[data["source"]].locate(data)):
        return
    missing = f"no complete data set in {directory}; where it is, say by --data_dir, or build it"
    if makes not in CONFIGS:
        raise ValueError(f"{missing} by the config of the run")
    flags = f"--config=configs/{CONFIGS[makes]}.py:{size}"
    flags += f" --config.data.data_dir={data['data_dir']}"
    if data["source"] == "folder":
        flags += f" --config.data.source=folder --config.data.folder.path={data['folder']['path']}"
    raise ValueError(f"{missing}:\n  python -m seedance_jax build_data {flags}")


def open_split(data: Mapping[str, Any], split: str) -> Any:
    """Opens one split of the (first) data set that a config names."""
    return storage.open_split(locate(data), split)


def open_chosen(data: Mapping[str, Any]) -> Any:
    """The training split of the (first) data set of a config, with what its filter keeps of it."""
    source = open_split(data, "train")
    source.selection = selection.select(data, locate(data), "train")
    return source


def make_buckets(buckets: Sequence[Sequence[float]]) -> tuple[Bucket, ...]:
    """The buckets of a config."""
    return tuple(Bucket(*bucket) for bucket in buckets)


def video_bucket(buckets: Sequence) -> Bucket:
    """The first bucket of a config that holds clips; ValueError if all hold images."""
    for bucket in make_buckets(buckets):
        if bucket.frames > 1:
            return bucket
    raise ValueError(f"evaluation needs a bucket of clips, there are {buckets}")


def clip_fps(data: Mapping[str, Any]) -> float:
    """Frames per second of the clips that a config trains on.

    They are those of the first bucket that holds more than images; buckets of other strides show
    their clips at another speed.
    """
    buckets = make_buckets(data["buckets"])
    own, _ = sources_of(data)[0]
    stride = next((bucket.stride for bucket in buckets if bucket.frames > 1), 1)
    return own[own["source"]]["fps"] / stride


def frame_rates(data: Mapping[str, Any]) -> list[float]:
    """Frames per second, rising, of all clips that a config trains on, as its buckets show them."""
    strides = {bucket.stride for bucket in make_buckets(data["buckets"]) if bucket.frames > 1}
    rates = [own[own["source"]]["fps"] for own, _ in sources_of(data)]
    return sorted({rate / stride for rate in rates for stride in strides or {1}})


def check_frame_rates(data: Mapping[str, Any]) -> None:
    """Raises ValueError unless the sources of a config have one frame rate."""
    rates = [own[own["source"]]["fps"] for own, _ in sources_of(data)]
    if len(set(rates)) > 1:
        raise ValueError(
            f"data.source={data['source']!r} mixes frame rates, {rates}, which the model does not "
            "know: store all at one rate, or train with --config.model.conditions=fps"
        )


def open_training(
    data: Mapping[str, Any],
    *,
    seed: int,
    side_tables: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda data: {},
    share: Callable[[Callable[[], Any]], Any] = lambda make: make(),
    **options: Any,
) -> Any:
    """The training batches of a config, of all its sources: a `grain.MapDataset`.

    Args:
      seed: of the order and of the augmentation.
      side_tables: data part of a config that has one source -> what was precomputed of its rows.
      share: make -> its result, which one of several processes may make for all. What all of them
        read, which is everything but the rows of batches, is read in it.
      **options: others of `loader.make_dataset`; text_length is the config's unless given.
    """
    from seedance_jax.data import loader  # as below: whoever reads configs needs no Grain

    buckets, named, datasets = make_buckets(data["buckets"]), sources_of(data), []
    options = {"text_length": data["text_length"], **options}

    def open_one(own):
        tables, source = side_tables(own), open_chosen(own)
        loader.check_dataset(source, buckets, side_tables=tables, **options)
        return tables, source

    for number, (own, _) in enumerate(named):
        tables, source = share(functools.partial(open_one, own))
        own_seed = loader.child_seed(seed, number) if number else seed
        datasets.append(
            loader.arrange(source, buckets, seed=own_seed, side_tables=tables, **options)
        )
    return loader.mix(datasets, [weight for _, weight in named])


def filter_identity(data: Mapping[str, Any]) -> dict[str, Any]:
    """By what the filter of a config keeps the rows of each of its sources; {} without a filter."""
    if selection.parse(data) is None:
        return {}
    named = [entry.partition(":")[0].strip() for entry in data["source"].split(",")]
    chosen = [selection.select(own, locate(own), "train") for own, _ in sources_of(data)]
    return {"filter": {name: one.identity for name, one in zip(named, chosen, strict=True)}}


def iterate(data: Mapping[str, Any], dataset: Any, start_step: int) -> Any:
    """The iterator over `dataset` from `start_step` on, with the config's threads and workers."""
    from seedance_jax.data import loader

    options = {"num_threads": data["num_threads"], "num_workers": data["num_workers"]}
    return loader.make_iterator(dataset, start_step, **options)
